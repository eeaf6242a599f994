"""Transcoding in bridges of the real worker: bad networks, codecs that change, holds, mutes, noise, plays. How well it is heard on a good
network is told by `test_fidelity.py`.

Phones, codecs and yardsticks are `tests/support/codec_phone.py`; they share nothing with the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from media.engine import Bridge, Codec, Failed, Mute, Play, PlayEnded, Unbridge
from tests.support import sound
from tests.support.codec_phone import (
    COMFORT_NOISE,
    G722,
    OPUS,
    PCMA,
    PCMU,
    CodecPhone,
    Format,
    Network,
    chirp,
    encode_all,
    l16,
    opus,
    resample,
    speech,
)
from tests.support.likeness import compare, level_at, tone
from tests.support.pace import PACE, in_time, judged_by_time
from tests.support.phones import bridged
from tests.support.rtp import build_packet
from tests.support.sound import Samples
from tests.support.worker import Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]

NARROW = l16(16_000)

STEREO = opus("stereo=1;sprop-stereo=1", channels=2)
WIDEBAND = [(G722, NARROW), (OPUS, G722), (l16(24_000), NARROW), (l16(32_000), NARROW), (l16(44_100), NARROW), (STEREO, NARROW)]


async def test_what_lies_above_the_telephone_band_passes_between_wideband_codecs(media: Controller) -> None:
    """5.5 kHz, both ways; also from L16 of uncommon rates and from Opus with two channels."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = []
        for number, formats in enumerate(WIDEBAND):
            phones = [await CodecPhone.open_as(format) for format in formats]
            await stack.enter_async_context(bridged(media, *phones, name=f"{number}-"))
            pairs += [(phones[0], phones[1]), (phones[1], phones[0])]
        for speaker, _ in pairs:
            speaker.say(tone(speaker.format.rate_hz, 5500, 2.5))
        await asyncio.sleep(2.0)
        for _, listener in pairs:
            await listener.until(90)
    found = {}
    for speaker, listener in pairs:
        rate_hz = listener.format.rate_hz
        heard = listener.heard()[rate_hz:][: rate_hz // 2]
        found[f"{speaker.format} to {listener.format}"] = level_at(heard, 5500, rate_hz)
    with judged_by_time():
        assert all(2800 < level < 5200 for level in found.values()), found


# --- bad networks -------------------------------------------------------------------------------------------------------


@functools.cache
def telephone() -> Samples:
    return speech(16_000, below_hz=3300)


def seconds_of_speech(format: Format, seconds: float) -> Samples:
    said = resample(telephone(), 16_000, format.rate_hz)
    return np.tile(said, int(seconds * format.rate_hz / len(said)) + 1)[: int(seconds * format.rate_hz)]


async def test_speech_over_a_bad_network_stays_whole_and_its_delay_stays_bounded(media: Controller) -> None:
    """5 % loss, 40 ms jitter (which disorders packets), 1 % duplicates, clocks 300 ppm off, for 24 s.

    Half of the pieces of 100 ms are as good as without a network (20 dB, for Opus 8 dB), nine of ten are recognised where they
    belong (likeness of 0.7, which is an SNR of 3 dB), and the delay at the end is that of the beginning within 40 ms.
    """
    cases = [(PCMU, G722, 300), (G722, PCMA, -300), (opus("useinbandfec=1", fec="1", packet_loss="10"), PCMU, 100), (NARROW, OPUS, -100)]
    said = {one: seconds_of_speech(one, 24.0) for one, _, _ in cases}
    packets = {one: encode_all(one, audio) for one, audio in said.items()}
    async with contextlib.AsyncExitStack() as stack:
        pairs = []
        for number, (one, other, drift_ppm) in enumerate(cases):
            network = Network(seed=number, loss=0.05, jitter_s=0.04, duplicates=0.01, drift_ppm=drift_ppm)
            phones = [await CodecPhone.open_as(one, network=network), await CodecPhone.open_as(other)]
            await stack.enter_async_context(bridged(media, *phones, name=f"{number}-"))
            phones[0].say_encoded(packets[one])
            pairs.append(phones)
        await asyncio.gather(*(phones[0].said() for phones in pairs))
        await asyncio.sleep(0.5)
    for speaker, listener in pairs:
        rate_hz = listener.format.rate_hz
        original = resample(said[speaker.format], speaker.format.rate_hz, rate_hz)
        found = compare(original, await asyncio.to_thread(listener.heard), rate_hz, piece_s=0.1, slip_s=0.06, search_s=0.3, within_s=2.0)
        by_snr = np.array([piece.snr_db for piece in found])
        text = f"{speaker.format} to {listener.format}: {np.percentile(by_snr, [5, 10, 25, 50, 75])}"
        with judged_by_time():
            assert np.median(by_snr) >= (8.0 if speaker.format.name == "opus" or listener.format == OPUS else 20.0), text
            assert np.percentile(by_snr, 10) >= 3.0, text
        third = len(found) // 3
        begin, end = (
            float(np.median([piece.at_s for piece in part if piece.snr_db > 5]))
            for part in (found[third // 2 : third], found[-third // 2 :])
        )
        drifted = 24.0 * 0.75 * speaker.network.drift_ppm * 1e-6
        with judged_by_time():
            assert abs(end - begin + drifted) < 0.04, f"{text}; delay {begin:.3f} s, then {end:.3f} s"


async def test_lost_opus_packets_are_repaired_from_the_copies_in_the_next__rfc7587_3_2(media: Controller) -> None:
    """Both at the same time, so that whatever else happens happens to both."""
    said = seconds_of_speech(OPUS, 8.0)
    formats = {fec: opus("useinbandfec=1", bit_rate="24000", fec=fec, packet_loss="25") for fec in ("0", "1")}
    packets = {fec: encode_all(format, said) for fec, format in formats.items()}
    pairs = {}
    async with contextlib.AsyncExitStack() as stack:
        for fec, format in formats.items():
            speaker, listener = await CodecPhone.open_as(format, network=Network(seed=3, loss=0.15)), await CodecPhone.open_as(NARROW)
            await stack.enter_async_context(bridged(media, speaker, listener, name=f"fec{fec}-"))
            pairs[fec] = speaker, listener
        for fec, (speaker, _) in pairs.items():
            speaker.say_encoded(packets[fec])
        await asyncio.gather(*(speaker.said() for speaker, _ in pairs.values()))
        await asyncio.sleep(0.3)
    heard = {}
    for fec, (_, listener) in pairs.items():
        found = compare(resample(said, 48_000, 16_000), listener.heard(), 16_000, piece_s=0.06, within_s=2.0)
        heard[fec] = float(np.mean(np.clip([piece.snr_db for piece in found], 0, 20)))
    with judged_by_time():
        assert heard["1"] > heard["0"] + 0.7, heard


# --- packets ------------------------------------------------------------------------------------------------------------


def assert_one_stream(phone: CodecPhone, since: int = 0, *, slack_s: float = 0.06) -> None:
    """One SSRC, a sequence that rises by one, and timestamps that say when packets were sent (of one clock)."""
    packets = phone.packets[since:]
    assert len({packet.ssrc for packet in packets}) == 1
    assert {(after.sequence - before.sequence) % 65536 for before, after in itertools.pairwise(packets)} == {1}
    audio = [packet for packet in packets if packet.payload_type != phone.event_type]
    clock_hz = phone.format.codec.clock_rate_hz
    off = [packet.at - audio[0].at - ((packet.timestamp - audio[0].timestamp) % 2**32) / clock_hz for packet in audio]
    slack_s += PACE.allowance(audio[0].at, audio[-1].at)
    with judged_by_time(audio[0].at):
        assert np.ptp(np.convolve(off, np.ones(5) / 5, "valid")) < slack_s, (
            f"timestamps and time differ: {min(off):.3f} to {max(off):.3f} s"
        )


@pytest.mark.parametrize("other", [PCMU, G722, OPUS, NARROW], ids=str)
async def test_packets_have_the_agreed_length(media: Controller, other: Format) -> None:
    async with contextlib.AsyncExitStack() as stack:
        phones = []
        for ptime_ms in (10, 20, 30, 40, 60):
            speaker = await CodecPhone.open_as(PCMA if other != PCMU else G722, ptime_ms=20)
            listener = await CodecPhone.open_as(other)
            await stack.enter_async_context(bridged(media, speaker, listener, name=f"{ptime_ms}-"))
            media.connect_to(f"{ptime_ms}-1", listener, listener.codecs, ptime_ms=ptime_ms)
            await media.settled(f"{ptime_ms}-1")
            await asyncio.sleep(0.1)
            listener.packets.clear()
            phones.append((listener, ptime_ms))
        await asyncio.sleep(1.0)
        for listener, ptime_ms in phones:
            await listener.until(1000 // ptime_ms)
    for listener, ptime_ms in phones:
        clock_hz = listener.format.codec.clock_rate_hz
        steps = {(after.timestamp - before.timestamp) % 2**32 * 1000 // clock_hz for before, after in itertools.pairwise(listener.packets)}
        # Opus has no frame of 30 ms, and 60 ms of L16 at 16 kHz fit into no packet of an Ethernet.
        expected = {(OPUS, 30): 20, (NARROW, 60): 40}.get((other, ptime_ms), ptime_ms)
        with judged_by_time(allowed_s=0.1):  # a speaker that is silent for much longer pauses, and so do we
            assert steps == {expected}
        assert len(listener.heard()) > 0.8 * other.rate_hz
        assert_one_stream(listener)


async def hears_chirp(speaker: CodecPhone, listener: CodecPhone) -> None:
    """A chirp comes over. It is said again, after a rest, where this machine kept anyone from their time."""
    rate_hz = listener.format.rate_hz
    expected = chirp(rate_hz, 0.6)

    def found(since: int) -> list[float]:
        heard = listener.heard(since)
        return [piece.snr_db for piece in compare(expected, heard, rate_hz, piece_s=0.1, search_s=0.3)] if len(heard) else [0.0]

    async def once() -> None:
        since = listener.mark()
        speaker.say(chirp(speaker.format.rate_hz, 0.6))
        await speaker.said()
        await asyncio.sleep(0.3)
        # In a thread, or the phones would miss their time.
        pieces = await asyncio.to_thread(found, since)
        text = f"{speaker.format} to {listener.format}: {np.round(pieces)} dB, {len(listener.packets) - since} packets"
        assert np.median(pieces) > 8, text

    # A jitter buffer forgets within five seconds that it was kept waiting, and before that lengthens and shortens what it gives out.
    await in_time(once, rest_s=1.5, memory_s=5.0)


async def test_another_codec_in_mid_bridge(media: Controller) -> None:
    alice, bob = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(PCMU)
    async with bridged(media, alice, bob):
        since = bob.mark()
        for format in (PCMU, G722, PCMA, opus(), l16(8000), PCMU):
            bob.change(format)
            media.connect_to("1", bob, bob.codecs)
            await asyncio.sleep(0.3)
            await hears_chirp(alice, bob)
            await hears_chirp(bob, alice)
        assert len({packet.ssrc for packet in bob.packets}) == 1
        assert {(after.sequence - before.sequence) % 65536 for before, after in itertools.pairwise(bob.packets[since:])} == {1}
        assert_one_stream(alice)


async def test_hold_and_resume(media: Controller) -> None:
    alice, bob = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(OPUS)
    async with bridged(media, alice, bob):
        await hears_chirp(alice, bob)
        media.connect_to("1", bob, bob.codecs, direction="recvonly")
        await media.settled("1")
        await asyncio.sleep(0.1)
        since = bob.mark()
        alice.say(chirp(8000, 0.5))
        await alice.said()
        await asyncio.sleep(0.4)
        assert bob.mark() == since
        media.connect_to("1", bob, bob.codecs)
        await hears_chirp(alice, bob)
        await hears_chirp(bob, alice)
        assert_one_stream(bob)


@pytest.mark.parametrize("other", [PCMU, PCMA, G722], ids=str)
async def test_the_muted_and_the_deaf_are_silence_and_their_keys_pass(media: Controller, other: Format) -> None:
    alice, bob = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(other)
    async with bridged(media, alice, bob):
        await hears_chirp(alice, bob)
        for mute in (Mute(stream="0", muted=True), Mute(stream="1", deaf=True)):
            media.send(mute)
            await media.settled("0", "1")
            await asyncio.sleep(0.15)
            since = bob.mark()
            began = time.monotonic()
            alice.say(tone(8000, 1000, 1.0))
            await asyncio.sleep(0.8)
            with judged_by_time(began):
                assert 35 <= len(bob.packets) - since <= 45
            assert sound.loudness(bob.heard(since)) < 10
            await hears_chirp(bob, alice)
            alice.press("5")
            await bob.hears_digits("5", since=since)
            media.send(Mute(stream=mute.stream))
            await media.settled("0", "1")
            await alice.said()
            await hears_chirp(alice, bob)
        assert_one_stream(bob, slack_s=0.09)


async def test_noise_that_is_told_is_heard_at_its_level__rfc3389_3_1(media: Controller) -> None:
    alice, bob = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(NARROW)
    async with bridged(media, alice, bob):
        media.connect_to("0", alice, [*alice.codecs, COMFORT_NOISE])
        await hears_chirp(alice, bob)
        for below_db in (40, 60):
            alice.silent_packets = False
            alice.send_noise(below_db)
            await asyncio.sleep(0.3)
            since = bob.mark()
            await asyncio.sleep(0.8)
            level_db = 20 * np.log10(sound.loudness(bob.heard(since)) / 32_124)
            with judged_by_time():
                assert abs(level_db + below_db) < 1.5, below_db
            alice.silent_packets = True
            await hears_chirp(alice, bob)
        assert_one_stream(bob)


async def test_pauses_are_told_and_not_sent_where_noise_was_agreed__rfc3389(media: Controller) -> None:
    alice, bob = await CodecPhone.open_as(G722), await CodecPhone.open_as(PCMU)
    async with bridged(media, alice, bob):
        media.connect_to("1", bob, [*bob.codecs, COMFORT_NOISE])
        await hears_chirp(alice, bob)
        background = np.random.default_rng(1).normal(0, 30, 16_000 * 2).astype(np.int16)
        since = bob.mark()
        alice.say(np.concatenate((background, chirp(16_000, 0.5))))
        await alice.said()
        await asyncio.sleep(0.5)
        packets = bob.packets[since:]
        told = [packet for packet in packets if packet.payload_type == COMFORT_NOISE.payload_type]
        level_db = 20 * np.log10(sound.loudness(resample(background, 16_000, 8000)) / 32_124)
        with judged_by_time():  # what is made up for what came late is no background
            assert told and min(abs(packet.payload[0] + level_db) for packet in told) <= 6
            assert len(packets) < 100  # of 150
            assert sound.find(chirp(8000, 0.5), bob.heard(since)).likeness > 0.9
        first = next(after for before, after in itertools.pairwise(packets) if before in told and after not in told)
        assert first.marker
        assert_one_stream(bob, since)


G729 = Codec(payload_type=18, name="G729")


async def test_g729_passes_where_both_agreed_and_is_refused_otherwise(media: Controller) -> None:
    alice, bob, carol = [await CodecPhone.open_as(PCMU, host) for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4")]
    async with alice, bob, carol:
        for name, phone, codecs in (("a", alice, [G729]), ("b", bob, [G729]), ("c", carol, [PCMU.codec])):
            opened = await media.open(name, call="CA")
            media.connect_to(name, phone, codecs)
            phone._target = (opened.address, opened.port)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.synchronize()
        for index in range(10):
            alice.send_raw(build_packet(18, index, index * 160, 7, bytes([index] * 20)))
            await asyncio.sleep(0.02)
        await bob.until(10)
        assert [packet.payload for packet in bob.packets] == [bytes([index] * 20) for index in range(10)]
        media.send(Unbridge(bridge="ab"))
        media.send(Bridge(bridge="ac", first="a", second="c"))
        assert (await media.expect(Failed, op="bridge", subject="ac", code="codec")).reason


async def test_what_a_phone_hears_goes_on_through_bridges_and_plays(media: Controller, tmp_path: Path) -> None:
    """Passed through, a play, passed through, transcoded, a play, passed through again: one stream of packets."""
    prompt = tmp_path / "p.wav"
    prompt.write_bytes(sound.wav(sound.chirp_down(0.5)))
    phones = [await CodecPhone.open_as(format) for format in (PCMU, PCMU, G722)]
    alice, bob, carol = phones
    async with alice, bob, carol:
        for name, phone in zip("abc", phones, strict=True):
            opened = await media.open(name, call="CA")
            media.connect_to(name, phone, phone.codecs)
            phone.send_to((opened.address, opened.port))
        for number in range(2):
            media.send(Bridge(bridge="ab", first="a", second="b"))
            await hears_chirp(bob, alice)
            media.send(Play(stream="a", play=f"p{number}", files=[str(prompt)]))
            await media.expect(PlayEnded, play=f"p{number}", reason="finished")
            await hears_chirp(bob, alice)
            media.send(Unbridge(bridge="ab"))
            media.send(Bridge(bridge="ac", first="a", second="c"))
            await hears_chirp(carol, alice)
            media.send(Play(stream="a", play=f"q{number}", files=[str(prompt)]))
            await media.expect(PlayEnded, play=f"q{number}", reason="finished")
            await hears_chirp(carol, alice)
            media.send(Unbridge(bridge="ac"))
        assert sound.find(sound.chirp_down(0.5), alice.heard()).likeness > 0.95
        assert_one_stream(alice)
