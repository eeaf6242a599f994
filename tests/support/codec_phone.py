"""A phone that talks any of the codecs, over a network that may be bad: G.711, G.722, Opus, L16, comfort noise.

The codecs are FFmpeg's (PyAV) and numpy's, so they share nothing with the code under test. Audio is mono int16 at the format's own
rate (`Format.rate_hz`); where two channels were agreed, both carry it. A phone may lose, delay, reorder and duplicate its own packets,
from a seed, and its clock may run too fast or too slow.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from media.engine import Codec
from tests.support import sound
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.sound import Samples

SENTENCE = "She had your dark suit in greasy wash water all year. Never trust a call that ends before you hear a voice."
_SPEAKER = Path(__file__).parents[2] / "media" / "prompts" / "espeak_child.py"


@dataclass(frozen=True, slots=True)
class Format:
    """A codec as a phone talks it. `rate_hz` is that of the samples, `codec.clock_rate_hz` that of RTP."""

    codec: Codec
    rate_hz: int
    options: tuple[tuple[str, str], ...] = ()  # of the encoder

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def payload_type(self) -> int:
        return self.codec.payload_type

    def units(self, samples: int) -> int:
        return samples * self.codec.clock_rate_hz // self.rate_hz

    def __str__(self) -> str:
        channels = f"/{self.codec.channels}" if self.name == "L16" else ""
        return f"{self.name}/{self.codec.clock_rate_hz}{channels}"


def l16(rate_hz: int, channels: int = 1, payload_type: int = 96) -> Format:
    return Format(Codec(payload_type=payload_type, name="L16", clock_rate_hz=rate_hz, channels=channels), rate_hz)


def opus(fmtp: str = "", payload_type: int = 111, channels: int = 1, **options: str) -> Format:
    """`channels`: what the encoder makes of it, the name being Opus with two in any case (RFC 7587 4.1)."""
    codec = Codec(payload_type=payload_type, name="opus", clock_rate_hz=48_000, channels=2, fmtp=fmtp)
    return Format(codec, 48_000, (("channels", str(channels)), ("application", "voip"), ("compression_level", "3"), *options.items()))


PCMU = Format(Codec(payload_type=0, name="PCMU"), 8000)
PCMA = Format(Codec(payload_type=8, name="PCMA"), 8000)
G722 = Format(Codec(payload_type=9, name="G722"), 16_000)
OPUS = opus()
COMFORT_NOISE = Codec(payload_type=13, name="CN")


# --- the codecs ---------------------------------------------------------------------------------------------------------


class Encoder:
    """Samples of `format.rate_hz` to packets, one call for each packet. Shape (n,), or (n, 2) where left and right differ."""

    def __init__(self, format: Format, ptime_ms: int = 20) -> None:
        self._format = format
        self._pts = 0
        self._context: Any = None
        options = dict(format.options)
        self._channels = int(options.pop("channels", "1"))
        if format.name == "G722":
            self._context = av.CodecContext.create("g722", "w")
        elif format.name == "opus":
            self._context = av.CodecContext.create("libopus", "w")
            self._context.bit_rate = int(options.pop("bit_rate", "40000"))
            self._context.options = {"frame_duration": str(ptime_ms), **options}
        if self._context is not None:
            self._context.sample_rate = format.rate_hz
            self._context.format = "s16"
            self._context.layout = "stereo" if self._channels == 2 else "mono"

    def encode(self, samples: Samples) -> bytes:
        name = self._format.name
        if name in ("PCMU", "PCMA"):
            return sound.encode(samples, self._format.payload_type)
        if name == "L16":
            return self._sides(samples, self._format.codec.channels).astype(">i2").tobytes()
        both = np.ascontiguousarray(self._sides(samples, self._channels).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo" if self._channels == 2 else "mono")
        frame.sample_rate, frame.pts = self._format.rate_hz, self._pts
        self._pts += len(samples)
        return b"".join(bytes(packet) for packet in self._context.encode(frame))

    @staticmethod
    def _sides(samples: Samples, channels: int) -> Samples:
        return samples if samples.ndim == 2 else np.repeat(samples, channels)


class Decoder:
    """Packets to samples of `format.rate_hz`; of two channels the first is heard, and `sides_differ` tells whether they were the same."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self.sides_differ = False
        self._context: Any = None
        if format.name == "G722":
            self._context = av.CodecContext.create("g722", "r")
        elif format.name == "opus":
            self._context = av.CodecContext.create("libopus", "r")
        if self._context is not None:
            self._context.sample_rate = format.rate_hz
            self._context.layout = "mono"

    @property
    def remembers(self) -> bool:
        """Whether what a packet sounds like hangs on those before it."""
        return self._context is not None

    def decode(self, payload: bytes) -> Samples:
        name = self._format.name
        if name in ("PCMU", "PCMA"):
            return sound.decode(payload, self._format.payload_type)
        if name == "L16":
            channels = np.frombuffer(payload, dtype=">i2").reshape(-1, self._format.codec.channels).astype(np.int16)
            self.sides_differ |= bool((channels != channels[:, :1]).any())
            return channels[:, 0].copy()
        frames = self._context.decode(av.Packet(payload))
        pieces = [frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0] for frame in frames]
        return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, dtype=np.int16)


def encode_all(format: Format, samples: Samples, ptime_ms: int = 20) -> list[bytes]:
    encoder, count = Encoder(format, ptime_ms), format.rate_hz * ptime_ms // 1000
    padded = np.concatenate((samples, np.zeros(-len(samples) % count, dtype=np.int16)))
    return [encoder.encode(frame) for frame in padded.reshape(-1, count)]


@functools.cache
def silence_packet(format: Format, ptime_ms: int = 20) -> bytes:
    """What the codec sends for silence once it has got used to it."""
    return encode_all(format, np.zeros(format.rate_hz, dtype=np.int16), ptime_ms)[-1]


def through(format: Format, samples: Samples, ptime_ms: int = 20) -> Samples:
    """What a codec makes of audio at its best: encoded and decoded, with nothing between."""
    decoder = Decoder(format)
    return np.concatenate([decoder.decode(packet) for packet in encode_all(format, samples, ptime_ms)])


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """By the discrete Fourier transform of the whole: as good as it gets, and for tests only."""
    if from_hz == to_hz:
        return samples
    count = round(len(samples) * to_hz / from_hz)
    spectrum = np.fft.rfft(samples.astype(np.float64))
    kept = np.zeros(count // 2 + 1, dtype=complex)
    n = min(len(kept), len(spectrum))
    kept[:n] = spectrum[:n]
    return np.clip(np.round(np.fft.irfft(kept, count) * (count / len(samples))), -32768, 32767).astype(np.int16)


def chirp(rate_hz: int, seconds: float, end_hz: float = 3300.0, start_hz: float = 300.0, level: int = 8000) -> Samples:
    """`sound.chirp` at another rate."""
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (start_hz * at + (end_hz - start_hz) * at**2 / (2 * seconds))
    return np.asarray(level * np.sin(phase)).astype(np.int16)


@functools.cache
def _spoken(text: str) -> tuple[Samples, int]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        wish = {"text": text, "voice": "en-us+f3", "words_per_minute": 165, "ssml": False, "target": str(target), "max_ms": 60_000}
        subprocess.run([sys.executable, str(_SPEAKER)], input=json.dumps(wish).encode() + b"\n", check=True, capture_output=True)
        samples, rate_hz = sound.read_wav(target)
    return samples[:, 0], rate_hz


def speech(rate_hz: int, text: str = SENTENCE, *, below_hz: float = 24_000.0, level: int = 2000) -> Samples:
    """Somebody speaking (espeak-ng), with nothing at and above `below_hz`, of that r.m.s."""
    spoken, spoken_hz = _spoken(text)
    spectrum = np.fft.rfft(spoken.astype(np.float64))
    spectrum[int(below_hz * len(spoken) / spoken_hz) :] = 0
    clean = np.fft.irfft(spectrum, len(spoken))
    clean *= level / np.sqrt(np.mean(clean**2))
    return resample(np.clip(clean, -32768, 32767).astype(np.int16), spoken_hz, rate_hz)


# --- the phone ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Network:
    """What happens to the packets that a phone sends. Parts of 1, seconds, parts of a million."""

    seed: int = 0
    loss: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    drift_ppm: float = 0.0  # how much too fast its clock is


@dataclass(slots=True)
class CodecPhone(RtpEndpoint):
    """An `RtpEndpoint` of another codec; made by `open_as`. `say` takes samples of its format's rate."""

    format: Format = PCMU
    ptime_ms: int = 20
    network: Network = field(default_factory=Network)
    sent: int = 0  # frames of audio so far
    lost: set[int] = field(default_factory=set)
    silent_packets: bool = True  # send silence when there is nothing to say
    _payloads: deque[bytes] = field(default_factory=deque)
    _random: random.Random = field(default_factory=random.Random)

    @classmethod
    async def open_as(cls, format: Format, host: str = "127.0.0.2", *, ptime_ms: int = 20, network: Network | None = None) -> CodecPhone:
        phone = await cls.open(host, format.payload_type)
        assert isinstance(phone, CodecPhone)
        phone.format, phone.ptime_ms, phone.network = format, ptime_ms, network or Network()
        phone._random = random.Random(phone.network.seed)
        silence_packet(format, ptime_ms)  # before it matters how long that takes
        return phone

    @property
    def codecs(self) -> list[Codec]:
        """What it agrees on: its codec and events of the same clock."""
        events = Codec(payload_type=101, name="telephone-event", clock_rate_hz=self.format.codec.clock_rate_hz, fmtp="0-16")
        return [self.format.codec, events]

    @property
    def frame(self) -> int:
        return self.format.rate_hz * self.ptime_ms // 1000

    def change(self, format: Format) -> None:
        """Talk another codec from the next packet on."""
        self.format, self.payload_type = format, format.payload_type
        self._payloads.clear()

    def say(self, samples: Samples) -> None:
        """Queue audio; encoded now, sent in its turn. What is missing to a whole packet is silence."""
        self.say_encoded(encode_all(self.format, samples, self.ptime_ms))

    def say_encoded(self, packets: list[bytes]) -> None:
        """Queue what `encode_all` made: where many phones talk, there is no time for it while they do."""
        self._payloads.extend(packets)
        self._idle.clear()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        units = self.format.units(self.frame)
        marker = True
        while True:
            if self._digits:
                event, tone_ms = self._digits.popleft()
                steps = max(tone_ms // self.ptime_ms, 1)
                for i in range(1, steps + 1):
                    for _ in range(3 if i == steps else 1):
                        body = bytes([event, 0x80 * (i == steps) | 10]) + (i * units).to_bytes(2, "big")
                        self._depart(self.event_type, body, self._timestamp, i == 1)
                    number += 1
                    await self._until(start, number)
                self._timestamp += steps * units
                marker = True
                continue
            units = self.format.units(self.frame)
            if not self._payloads:
                self._idle.set()
            if self._payloads:
                self._depart(self.payload_type, self._payloads.popleft(), self._timestamp, marker)
                marker = False
            elif self.silent_packets:
                self._depart(self.payload_type, silence_packet(self.format, self.ptime_ms), self._timestamp, marker)
                marker = False
            else:
                marker = True
            self._timestamp += units
            number += 1
            await self._until(start, number)

    async def _until(self, start: float, number: int) -> None:
        """Until packet `number` is due; the one before has just left."""
        clock = asyncio.get_running_loop().time
        step = self.ptime_ms / 1000 / (1 + self.network.drift_ppm / 1e6)
        self._left(clock() - start - (number - 1) * step)
        await asyncio.sleep(max(0.0, start + number * step - clock()))

    def send_noise(self, below_db: int, *shape: int) -> None:
        """One comfort noise packet at this moment of the stream (RFC 3389)."""
        self._depart(COMFORT_NOISE.payload_type, bytes([below_db, *shape]), self._timestamp, False)

    def _depart(self, payload_type: int, payload: bytes, timestamp: int, marker: bool) -> None:
        """Onto the network, which may do what it does."""
        number, self.sent = self.sent, self.sent + 1
        data = build_packet(payload_type, self._sequence, timestamp, self._ssrc, payload, marker)
        self._sequence += 1
        lost = self._random.random() < self.network.loss
        delay = self._random.random() * self.network.jitter_s
        twice = self._random.random() < self.network.duplicates
        if self._muted or lost:
            self.lost.add(number)
            return
        for _ in range(1 + twice):
            if self.network.jitter_s:
                asyncio.get_running_loop().call_later(delay, self._arrive, data)
            else:
                self.send_raw(data)

    def _arrive(self, data: bytes) -> None:
        """What was still under way when the phone hung up is gone."""
        if self._media is not None and not self._media.is_closed:
            self.send_raw(data)

    # --- ear ------------------------------------------------------------------------------------------------------------

    def heard(self, since: int = 0) -> Samples:
        """What came in, at the rate of the format, put in place by timestamps and decoded in the order of the sequence.

        Of several formats only the one that is talked now is heard. What came before `since` is decoded too and left out: who begins
        to listen to Opus in the midst of a call hears pieces of it 30 dB worse, even seconds later.
        """
        audio = [packet for packet in self.packets[since:] if packet.payload_type == self.payload_type]
        if not audio:
            return sound.silence(0)
        first = audio[0]
        audio.sort(key=lambda packet: (packet.sequence - first.sequence + 1000) % 65536)
        decoder, ratio = Decoder(self.format), self.format.rate_hz / self.format.codec.clock_rate_hz
        if decoder.remembers:
            for packet in self.packets[:since]:
                if packet.payload_type == self.payload_type:
                    decoder.decode(packet.payload)
        placed = [(round(((p.timestamp - first.timestamp + 2**31) % 2**32 - 2**31) * ratio), decoder.decode(p.payload)) for p in audio]
        heard = np.zeros(max(at + len(samples) for at, samples in placed), dtype=np.int16)
        for at, samples in placed:
            if at >= 0:
                heard[at : at + len(samples)] = samples
        return heard
