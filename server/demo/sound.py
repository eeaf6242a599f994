"""Sounds for the demo: G.711, tones and chirps, and finding one sound in another. Plain Python; it need not be fast.

Audio is a list of 16-bit samples, mono, 8000 Hz.
"""

from __future__ import annotations

import array
import math
import sys
import wave
from io import BytesIO
from pathlib import Path

RATE_HZ = 8000
FRAME = 160  # samples in 20 ms
BIAS = 0x84

Samples = list[int]


def _meaning(octet: int) -> int:
    """What a mu-law octet stands for. Source: ITU-T G.711 table 2."""
    code = ~octet & 0xFF
    magnitude = (((code & 0x0F) << 3) + BIAS) << ((code & 0x70) >> 4)
    return BIAS - magnitude if code & 0x80 else magnitude - BIAS


MEANING = [_meaning(octet) for octet in range(256)]


def _octet(sample: int) -> int:
    magnitude = min(abs(sample), 32635) + BIAS
    segment = magnitude.bit_length() - 8
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def encode(samples: Samples) -> bytes:
    """To mu-law."""
    return bytes(map(_octet, samples))


def decode(payload: bytes) -> Samples:
    """From mu-law."""
    return [MEANING[octet] for octet in payload]


def chirp(start_hz: float, end_hz: float, seconds: float = 1.0, level: int = 9000) -> Samples:
    """A sine that runs from one frequency to the other: it is like itself at one delay only, and like its mirror nowhere."""
    slope = (end_hz - start_hz) / (2 * seconds)
    times = (i / RATE_HZ for i in range(int(seconds * RATE_HZ)))
    return [round(level * math.sin(2 * math.pi * (start_hz * t + slope * t * t))) for t in times]


def melody(level: int = 5000) -> Samples:
    """Two seconds of music that can be looped: a broken chord, each note struck and dying away."""
    notes = (392.0, 493.9, 587.3, 784.0, 587.3, 493.9, 440.0, 587.3)
    samples: Samples = []
    for hz in notes:
        for i in range(RATE_HZ // 4):
            t = i / RATE_HZ
            fade = math.exp(-6 * t) * min(1.0, t * 400)
            samples.append(round(level * fade * (math.sin(2 * math.pi * hz * t) + 0.3 * math.sin(4 * math.pi * hz * t))))
    return samples


def find(sound: Samples, heard: Samples) -> tuple[float, float]:
    """Where a sound is in what was heard, and how like it is there: (seconds, correlation up to 1.0); (0, 0) when it cannot be.

    Signs are compared first, all at once in one large integer a position; the best position is then looked at closely.
    """
    if len(heard) < len(sound) or not sound:
        return 0.0, 0.0
    pattern, stream, mask = _signs(sound), _signs(heard), (1 << len(sound)) - 1
    differences = [(((stream >> lag) & mask) ^ pattern).bit_count() for lag in range(len(heard) - len(sound) + 1)]
    rough = min(range(len(differences)), key=differences.__getitem__)
    near = range(max(rough - 3, 0), min(rough + 4, len(differences)))
    likeness, at = max((_correlation(sound, heard[lag : lag + len(sound)]), lag) for lag in near)
    return at / RATE_HZ, likeness


def _signs(samples: Samples) -> int:
    return int("".join("1" if sample > 0 else "0" for sample in reversed(samples)), 2)


def _correlation(one: Samples, other: Samples) -> float:
    energy = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / energy if energy else 0.0


def wav(samples: Samples) -> bytes:
    """As a WAV file."""
    frames = array.array("h", samples)
    if sys.byteorder == "big":
        frames.byteswap()
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(frames.tobytes())
    return out.getvalue()


def read_wav(path: Path) -> Samples:
    """The first channel of a 16-bit WAV."""
    with wave.open(str(path), "rb") as file:
        channels = file.getnchannels()
        frames = array.array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        frames.byteswap()
    return frames[::channels].tolist()
