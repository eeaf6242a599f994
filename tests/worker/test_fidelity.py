"""How well the real worker transcodes: each phone of a bridge hears the other as well as the two codecs allow, and all of it.

Phones, codecs and yardsticks are `tests/support/codec_phone.py`; they share nothing with the worker. The phones keep time as well as
this machine lets them: where it holds them back, a jitter buffer does right to lengthen and shorten what is said. So each piece is
looked for where it is, and a bridge that fails where somebody was held up (`pace.py`) is heard again, among few, before it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.codec_phone import (
    G722,
    OPUS,
    PCMA,
    PCMU,
    CodecPhone,
    Decoder,
    Encoder,
    Format,
    chirp,
    encode_all,
    l16,
    opus,
    resample,
    silence_packet,
    speech,
    through,
)
from tests.support.likeness import Likeness, compare
from tests.support.pace import HARMLESS_S, PACE, judged_by_time
from tests.support.phones import bridged
from tests.support.sound import Samples
from tests.support.worker import WORKER, Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]

NARROW, WIDE = l16(16_000), l16(48_000, 2)
ALL = [PCMU, PCMA, G722, OPUS, NARROW, WIDE]
# A beginning that was held back is forgotten after five seconds: what keeps its time from the end of the first one is heard evenly.
BEGUN_S, SETTLED_S = 1.0, 6.0
# How many bridges are heard again at a time.
FEW = 5
LEAD_S, GAP_S = 0.5, 0.2
# What the worker may add to the noise of the codecs, for the chirp and for speech, and what is as good as perfect.
MARGINS_DB = (2.0, 1.5)
ENOUGH_DB = (53.0, 53.5)
# Where our Opus frames may begin: any place within 20 ms.
ALIGNMENTS_MS = (0, 5, 10, 15)
# What keeps pace changes a delay by whole periods of a voice. A smaller step is samples lost or made up.
PERIOD_S = 0.0024
STEP_S = 0.00001


@functools.cache
def sounds(rate_hz: int) -> tuple[Samples, Samples]:
    """A chirp (300 to 3300 Hz) and a woman's speech below 3.3 kHz."""
    return chirp(rate_hz, 1.5), speech(rate_hz, below_hz=3300)


def said(rate_hz: int) -> Samples:
    chirp_, speech_ = sounds(rate_hz)
    return np.concatenate((chirp_, np.zeros(int(rate_hz * GAP_S), dtype=np.int16), speech_))


def likenesses(one: Format, other: Format, heard: Samples) -> Iterator[list[Likeness]]:
    """Of the chirp and of the speech of `one` in what was heard at the rate of `other`."""
    rate_hz = min(other.rate_hz, 16_000)
    heard = resample(heard, other.rate_hz, rate_hz)
    for original in sounds(one.rate_hz):
        yield compare(resample(original, one.rate_hz, rate_hz), heard, rate_hz, piece_s=0.1, search_s=0.5)


def usual_db(pieces: list[Likeness]) -> float:
    return float(np.median([piece.snr_db for piece in pieces]))


# --- what the codecs allow ----------------------------------------------------------------------------------------------


def opus_as_we_speak_it(rate_hz: int) -> Format:
    """Opus with the bit rate that RFC 7587 3.1.1 recommends for that width, as the worker encodes it."""
    rate_hz = rate_hz if rate_hz in (8000, 16_000, 24_000) else 48_000
    bits = {8000: 16_000, 16_000: 24_000, 24_000: 32_000, 48_000: 40_000}[rate_hz]
    spoken = opus(bit_rate=str(bits), compression_level="1")
    return Format(spoken.codec, rate_hz, spoken.options)


@functools.cache
def at_best(one: Format, other: Format) -> tuple[float, float]:
    """The usual SNR of both sounds through the codecs of both without a worker between: for Opus, where its frames begin worst."""
    lead = np.zeros(int(one.rate_hz * LEAD_S), dtype=np.int16)
    between = through(one, np.concatenate((lead, said(one.rate_hz))))
    if other != OPUS:
        every = [through(other, resample(between, one.rate_hz, other.rate_hz))]
    else:
        every = [_spoken_in_opus(between, one.rate_hz, at_ms) for at_ms in ALIGNMENTS_MS]
    found = [[usual_db(pieces) for pieces in likenesses(one, other, heard)] for heard in every]
    return min(chirp_db for chirp_db, _ in found), min(speech_db for _, speech_db in found)


def _spoken_in_opus(samples: Samples, rate_hz: int, at_ms: int) -> Samples:
    """What is heard when we speak it, with frames that begin so long before."""
    spoken = opus_as_we_speak_it(rate_hz)
    encoder, decoder = Encoder(spoken), Decoder(OPUS)
    samples = np.concatenate((np.zeros(spoken.rate_hz * at_ms // 1000, dtype=np.int16), resample(samples, rate_hz, spoken.rate_hz)))
    frame = spoken.rate_hz // 50
    samples = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return np.concatenate([decoder.decode(encoder.encode(piece)) for piece in samples])


# --- what is heard ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Talk:
    """What one phone of a bridge said and the other heard."""

    one: Format
    other: Format
    heard: Samples
    on_time: bool  # neither phone was held back, nor the worker

    def complaints(self) -> list[str]:
        pieces = list(likenesses(self.one, self.other, self.heard))
        found = []
        wanted = zip(("chirp", "speech"), at_best(self.one, self.other), MARGINS_DB, ENOUGH_DB, pieces, strict=True)
        for name, best, margin, enough, some in wanted:
            if usual_db(some) < min(best - margin, enough):
                found.append(f"{name}: {usual_db(some):.1f} of {best:.1f} dB, {[round(piece.snr_db) for piece in some]}")
        # Opus is no codec of waveforms: it moves them about.
        steps_ms = [] if OPUS in (self.one, self.other) else [round(1000 * step, 2) for some in pieces for step in _steps(some)]
        small = [step for step in steps_ms if abs(step) < 1000 * PERIOD_S]
        # One may be the end of a packet that came too late, filled in up to its beginning.
        if len(small) > 1 or (steps_ms and self.on_time):
            found.append(f"the delay changed by {steps_ms} ms" + (" though all packets came in time" if self.on_time else ""))
        return [f"{self.one} to {self.other}: {text}" for text in found]


def _steps(pieces: list[Likeness]) -> list[float]:
    """Changes of the delay from one piece to the next, of those pieces that tell it to a part of a sample."""
    clear = [piece for piece in pieces if piece.snr_db > 20]
    steps = (after.at_s - before.at_s for before, after in itertools.pairwise(clear))
    return [step for step in steps if abs(step) > STEP_S]


async def talk(media: Controller, bridges: Sequence[tuple[Format, Format]], name: str) -> list[tuple[Talk, Talk]]:
    """All bridges at once, both sides of each talking."""
    packets = {format: encode_all(format, said(format.rate_hz)) for format in {format for bridge in bridges for format in bridge}}
    for format in packets:
        silence_packet(format)
    async with contextlib.AsyncExitStack() as stack:
        pairs = []
        for number, formats in enumerate(bridges):
            phones = [await CodecPhone.open_as(format) for format in formats]
            await stack.enter_async_context(bridged(media, *phones, name=f"{name}{number}-"))
            pairs.append(phones)
        every = [phone for phones in pairs for phone in phones]
        await asyncio.sleep(BEGUN_S)
        began = time.monotonic()
        for phone in every:
            phone.late_s = 0.0
        await asyncio.sleep(SETTLED_S - BEGUN_S)
        since = {phone.port: phone.mark() for phone in every}
        for phone in every:
            phone.say_encoded(packets[phone.format])
        await asyncio.gather(*(phone.said() for phone in every))
        await asyncio.sleep(0.3)
    workers = max((stall.seconds for stall in PACE.within(began) if stall.who == WORKER), default=0.0)
    on_time = {phone.port: max(phone.late_s, workers) < HARMLESS_S for phone in every}
    heard = await asyncio.to_thread(lambda: {phone.port: phone.heard(since[phone.port]) for phone in every})

    def told(speaker: CodecPhone, listener: CodecPhone) -> Talk:
        return Talk(speaker.format, listener.format, heard[listener.port], on_time[speaker.port] and on_time[listener.port])

    return [(told(a, b), told(b, a)) for a, b in pairs]


async def test_each_of_thirty_pairs_hears_what_its_codecs_can_carry(media: Controller) -> None:
    """Against the same codecs without a worker between, by the median SNR of pieces of 100 ms; and no sample is lost or too many."""
    bridges = list(itertools.combinations(ALL, 2))
    complaints: list[str] = []
    for go, company in enumerate((len(bridges), FEW, FEW)):
        left, complaints, began = [], [], time.monotonic()
        for number in range(0, len(bridges), company):
            for talks in await talk(media, bridges[number : number + company], f"{go}-{number}-"):
                found = await asyncio.to_thread(lambda talks: [text for one in talks for text in one.complaints()], talks)
                if found:
                    left.append((talks[0].one, talks[0].other))
                    complaints += found
        bridges = left
        if PACE.worst(began) <= HARMLESS_S:
            break
    with judged_by_time(began):
        assert not complaints, "\n".join(complaints)
