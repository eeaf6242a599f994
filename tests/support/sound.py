"""Sounds to send, and what was heard: G.711, tones, chirps, and the questions that tests ask of received audio.

Audio is a numpy array of shape (n,), int16, mono, 8000 Hz. The G.711 tables are made here from ITU-T G.711's definition and
share nothing with the code under test.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
Samples = NDArray[np.int16]


# --- G.711 ----------------------------------------------------------------------------------------------------------


def _mu_law() -> Samples:
    """What each of the 256 mu-law octets means (16-bit scale). Source: ITU-T G.711 table 2."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)


def _a_law() -> Samples:
    """What each of the 256 A-law octets means (16-bit scale). Source: ITU-T G.711 table 1."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    step = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _nearest(table: Samples) -> NDArray[np.uint8]:
    """For each 16-bit value (offset 32768), the octet whose meaning is nearest."""
    order = np.argsort(table, kind="stable")
    levels = table[order].astype(np.int32)
    edges = (levels[1:] + levels[:-1]) / 2
    return order[np.searchsorted(edges, np.arange(-32768, 32768))].astype(np.uint8)


DECODE = {0: _mu_law(), 8: _a_law()}
ENCODE = {payload_type: _nearest(table) for payload_type, table in DECODE.items()}


def encode(samples: Samples, payload_type: int = 0) -> bytes:
    """To G.711: payload type 0 is mu-law, 8 is A-law."""
    return ENCODE[payload_type][samples.astype(np.int32) + 32768].tobytes()


def decode(payload: bytes, payload_type: int = 0) -> Samples:
    """From G.711."""
    return DECODE[payload_type][np.frombuffer(payload, dtype=np.uint8)]


# --- sounds ---------------------------------------------------------------------------------------------------------


def tone(hz: float, seconds: float, level: int = 8000) -> Samples:
    """A sine of `level` at its peak."""
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(level * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE_HZ), dtype=np.int16)


def chirp(seconds: float = 1.0, start_hz: float = 300.0, end_hz: float = 3300.0, level: int = 9000) -> Samples:
    """A sine whose frequency runs from one to the other: it correlates with itself at one delay only, and with its mirror nowhere."""
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (start_hz * at + (end_hz - start_hz) * at**2 / (2 * seconds))
    return np.asarray(level * np.sin(phase)).astype(np.int16)


def chirp_up(seconds: float = 1.0) -> Samples:
    return chirp(seconds, 300.0, 3300.0)


def chirp_down(seconds: float = 1.0) -> Samples:
    return chirp(seconds, 3300.0, 300.0)


def wav(samples: Samples, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    """As a WAV file; `channels` repeats the one channel."""
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(samples, channels).tobytes())
    return out.getvalue()


def read_wav(source: Path | bytes) -> tuple[NDArray[np.int16], int]:
    """A PCM WAV's samples, shape (frames, channels), and its rate."""
    with wave.open(BytesIO(source) if isinstance(source, bytes) else str(source), "rb") as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return frames.reshape(-1, file.getnchannels()).astype(np.int16), file.getframerate()


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole recording at another rate: the spectrum that both rates have, and nothing above."""
    length = len(samples) * to_hz // from_hz
    spectrum = np.fft.rfft(samples.astype(np.float64))[: length // 2 + 1]
    made = np.fft.irfft(spectrum, length) * (length / max(len(samples), 1))
    return np.asarray(np.clip(made, -32768, 32767)).astype(np.int16)


# --- what was heard -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """Where a sound was found: `at_s` seconds into what was heard; `likeness` is the correlation there, 1.0 for the same sound."""

    at_s: float
    likeness: float


def find(sound: Samples, heard: Samples) -> Match:
    """Find a sound by normalised cross-correlation (0.0 when what was heard is shorter than the sound).

    A tenth of it may be missing at the edge of what was heard: whoever listens from the first moment on misses a packet or two.
    """
    n = len(sound)
    if len(heard) < n:
        return Match(0.0, 0.0)
    margin = n // 10
    reference, signal = sound.astype(np.float64), np.pad(heard.astype(np.float64), margin)
    size = 1 << (len(signal) + n).bit_length()
    products = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(reference, size)), size)[: len(signal) - n + 1]
    energy = np.concatenate(([0.0], np.cumsum(signal**2)))
    local = np.maximum(energy[n:] - energy[:-n], 1.0)
    likeness = products / np.sqrt(local * np.sum(reference**2))
    best = int(np.argmax(likeness))
    return Match((best - margin) / RATE_HZ, float(likeness[best]))


def find_in_pieces(sound: Samples, heard: Samples, piece_s: float = 0.1, slip_s: float = 0.002) -> Match:
    """Find a sound that may have slipped by a few samples on its way, as a recorder does that makes up for drifting clocks.

    Returns:
        Where it begins, and how like the least like of its pieces is; each may be `slip_s` off the place that the others have. Its
        first piece does not count (see `find`).
    """
    n, slip = int(piece_s * RATE_HZ), int(slip_s * RATE_HZ)
    starts = range(n, len(sound) - n + 1, n)
    places = [find(sound[start : start + n], heard) for start in starts]
    begin = round(float(np.median([place.at_s * RATE_HZ - start for place, start in zip(places, starts, strict=True)])))
    near = [heard[max(begin + start - slip, 0) : begin + start + n + slip] for start in starts]
    return Match(begin / RATE_HZ, min(find(sound[start : start + n], part).likeness for start, part in zip(starts, near, strict=True)))


def share_found(sound: Samples, heard: Samples, *, piece_s: float = 0.1, slip_s: float = 0.1, likeness: float = 0.7) -> float:
    """How much of a sound is there, 0.0 to 1.0, when a jitter buffer may have moved it and a codec bent it on its way.

    It is looked for in pieces, each near the place that the piece before it had.
    """
    n, slip = int(piece_s * RATE_HZ), int(slip_s * RATE_HZ)
    begin = round(find(sound, heard).at_s * RATE_HZ)
    starts = range(0, len(sound) - n + 1, n)
    found = 0
    for start in starts:
        left = max(begin + start - slip, 0)
        match = find(sound[start : start + n], heard[left : left + n + 2 * slip])
        if match.likeness >= likeness:
            found += 1
            begin = left + round(match.at_s * RATE_HZ) - start
    return found / len(starts)


def tone_seconds(heard: Samples, hz: float, *, share: float = 0.6, window_s: float = 0.05, least: float = 100.0) -> float:
    """For how long a tone was there: windows in which `share` of the energy lies within a window's width of `hz`.

    least: windows whose r.m.s. is below that are silence.
    """
    n = int(window_s * RATE_HZ)
    count = len(heard) // n
    if count == 0:
        return 0.0
    windows = heard[: count * n].reshape(count, n).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(n), axis=1)) ** 2
    centre = round(hz * n / RATE_HZ)
    near = spectrum[:, max(centre - 2, 0) : centre + 3].sum(axis=1)
    present = (near > share * spectrum.sum(axis=1)) & (np.sqrt((windows**2).mean(axis=1)) > least)
    return float(present.sum() * window_s)


def loudness(heard: Samples) -> float:
    """Root mean square, 0 for nothing."""
    return float(np.sqrt(np.mean(heard.astype(np.float64) ** 2))) if len(heard) else 0.0


def loud_seconds(heard: Samples, window_s: float = 0.02, least: float = 100.0) -> float:
    """For how long anything was to be heard."""
    n = int(window_s * RATE_HZ)
    count = len(heard) // n
    windows = heard[: count * n].reshape(count, n).astype(np.float64)
    return float((np.sqrt((windows**2).mean(axis=1)) > least).sum() * window_s) if count else 0.0
