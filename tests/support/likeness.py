"""How like its original a piece of audio is, wherever in what was heard it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support import sound
from tests.support.codec_phone import resample
from tests.support.sound import Samples


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like its original a piece of audio is: signal to noise in dB after gain and delay were fitted; where it was found."""

    snr_db: float
    at_s: float


def compare(
    said: Samples,
    heard: Samples,
    rate_hz: int,
    *,
    piece_s: float = 0.25,
    slip_s: float = 0.015,
    search_s: float = 0.0,
    within_s: float = 60.0,
    wide: bool = False,
) -> list[Likeness]:
    """The likeness of each piece of what was said that was not silent. Both at `rate_hz`; above 8 kHz nothing is looked at unless `wide`.

    Each piece is looked for on its own, `slip_s` around the place of the one before, because who keeps pace with another's clock leaves
    out or repeats a period now and then; delays are fitted to a part of a sample, since filters do not stop at whole ones. What is not
    there is looked for `search_s` around it: a jitter buffer whose network stood still for a while goes on that much later. What was said
    begins `within_s`; that must be less than the period of what repeats itself.
    """
    if rate_hz > 16_000 and not wide:
        said, heard, rate_hz = resample(said, rate_hz, 16_000), resample(heard, rate_hz, 16_000), 16_000
    n = int(piece_s * rate_hz)
    near, far = int(slip_s * rate_hz), int(search_s * rate_hz)
    whole = float(_delay(said.astype(np.float64), heard.astype(np.float64), int(within_s * rate_hz)))
    found = []
    loud = sound.loudness(said) * 0.2
    for start in range(0, len(said) - n + 1, n):
        piece = said[start : start + n].astype(np.float64)
        if sound.loudness(said[start : start + n]) < loud:
            continue
        snr_db, lag = _fit_around(piece, heard, start, round(whole), near)
        if snr_db < _SURE_DB and far > near:
            snr_db, lag = max((snr_db, lag), _fit_around(piece, heard, start, round(whole), far))
        found.append(Likeness(snr_db, lag / rate_hz))
        whole = lag if snr_db > 3 else whole
    return found


# A piece of speech looks this much like another one, a period or a vowel off, but hardly more.
_SURE_DB = 6.0


def _fit_around(piece: NDArray[np.float64], heard: Samples, start: int, lag: int, slip: int) -> tuple[float, float]:
    """`_fit` of a piece that began at `start` in what was said, to what was heard up to `slip` samples around that lag."""
    n, low = len(piece), start + lag - slip
    part = np.zeros(n + 2 * slip)
    there = heard[max(low, 0) : max(low + n + 2 * slip, 0)]
    part[max(-low, 0) : max(-low, 0) + len(there)] = there
    return _fit(piece, part, low - start)


def _delay(said: NDArray[np.float64], heard: NDArray[np.float64], most: int) -> int:
    """By how many samples what was heard lags behind what was said, at most."""
    size = 1 << (len(said) + len(heard)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    ahead = min(len(said), most)  # what is looked for may have begun before it was listened for
    best = int(np.argmax(np.concatenate((products[size - ahead :], products[: min(len(heard), most)]))))
    return best - ahead


def _fit(piece: NDArray[np.float64], part: NDArray[np.float64], offset: int) -> tuple[float, float]:
    """The best SNR of a piece within a longer part, by delay (to a part of a sample) and gain; and its lag."""
    n = len(piece)
    size = len(part)  # only whole overlaps are looked at, so nothing wraps around
    cross = np.fft.rfft(part, size) * np.conj(np.fft.rfft(piece, size))
    # Four values to a sample: at one, a wave that lies half a sample off looks less alike than its neighbour.
    fine = np.zeros(2 * size + 1, dtype=complex)
    fine[: len(cross)] = cross
    products = np.fft.irfft(fine, 4 * size)[: 4 * (size - n) + 1]
    energy = np.concatenate(([0.0], np.cumsum(part**2)))
    local = np.repeat(energy[n:] - energy[:-n], 4)[: len(products)]
    best = int(np.argmax(products / np.sqrt(np.maximum(local, 1e-6 * energy[-1] + 1.0))))
    lag, fraction = best // 4, best % 4 / 4
    # The peak between the samples, by two parabolas through a smooth curve.
    radians = 2j * np.pi / size * np.arange(len(cross))
    for step in (0.2, 0.02):
        low, middle, high = (float((np.exp(radians * (lag + fraction + at)) @ cross).real) for at in (-step, 0.0, step))
        bend = low - 2 * middle + high
        fraction += float(np.clip(step * (low - high) / (2 * bend), -step, step)) if bend < 0 else 0.0
    spectrum = np.fft.rfft(part)
    moved = np.fft.irfft(spectrum * np.exp(2j * np.pi * np.arange(len(spectrum)) * fraction / len(part)), len(part))
    edge = n // 50
    there = moved[lag + edge : lag + n - edge]
    piece = piece[edge : edge + len(there)]
    gain = np.dot(piece, there) / max(np.dot(there, there), 1.0)
    noise = piece - gain * there
    return float(10 * np.log10(max(np.dot(piece, piece), 1.0) / max(np.dot(noise, noise), 1e-3))), lag + fraction + offset


def find_at(said: Samples, heard: Samples, rate_hz: int) -> sound.Match:
    """`sound.find` for audio of another rate."""
    found = sound.find(said, heard)
    return sound.Match(found.at_s * sound.RATE_HZ / rate_hz, found.likeness)


def level_at(heard: Samples, hz: float, rate_hz: int) -> float:
    """The peak of a sine of that frequency in audio, by a Hann window over the whole."""
    window = np.hanning(len(heard))
    wave = np.exp(-2j * np.pi * hz / rate_hz * np.arange(len(heard)))
    return float(2 * abs(np.sum(heard * window * wave)) / np.sum(window))


def tone(rate_hz: int, hz: float, seconds: float, level: int = 4000) -> Samples:
    """`sound.tone` at another rate."""
    return np.asarray(level * np.sin(2 * np.pi * hz / rate_hz * np.arange(int(seconds * rate_hz)))).astype(np.int16)
