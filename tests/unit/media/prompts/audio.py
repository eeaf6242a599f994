"""Sounds for the tests: tones as WAV files of any kind, and how loud a tone is in what came out."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]


def tone(frequency_hz: float, rate_hz: int, seconds: float = 1.0, level: float = 0.5) -> Samples:
    """Full scale is 1.0."""
    return level * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * seconds)) / rate_hz)


def wav(channels: Sequence[Samples], rate_hz: int) -> bytes:
    """A PCM s16le WAV of one or more channels."""
    target = io.BytesIO()
    with wave.open(target, "wb") as output:
        output.setnchannels(len(channels))
        output.setsampwidth(2)
        output.setframerate(rate_hz)
        output.writeframes((np.stack(channels, axis=1) * 32767).astype("<i2").tobytes())
    return target.getvalue()


def encoded(container: str, codec: str, samples: Samples, rate_hz: int, sample_format: str = "s16") -> bytes:
    """Mono audio in another codec or container."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=sample_format, layout="mono", rate=rate_hz, frame_size=stream.codec_context.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            output.mux(stream.encode(piece))
    return target.getvalue()


def canonical(path: Path | str) -> Samples:
    """The samples of a canonical WAV, which is checked to be one; full scale is 1.0."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def level_db(samples: Samples, frequency_hz: float | None = None) -> float:
    """RMS level in dB of a full-scale sine; of one frequency, or of everything. The edges are left out."""
    inner = samples[400:-400]
    if frequency_hz is None:
        rms = float(np.sqrt(np.mean(inner**2)))
    else:
        window = np.hanning(len(inner))
        phase = np.exp(-2j * np.pi * frequency_hz * np.arange(len(inner)) / 8000)
        rms = float(abs(np.sum(inner * window * phase)) / np.sum(window) * np.sqrt(2))
    return 20 * float(np.log10(rms * np.sqrt(2) + 1e-12))
