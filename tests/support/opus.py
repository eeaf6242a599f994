"""What can be read from an Opus packet without a decoder, and the decoder of libopus itself, which repairs from copies (FEC)."""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.sound import Samples

_SILK_FRAMES = (1, 1, 2, 3)  # in 10, 20, 40 and 60 ms of one channel


def carries_copy(payload: bytes) -> bool | None:
    """Whether a packet of one mono frame holds a copy of the one before it; None for a packet that cannot (CELT, or nothing in it).

    Source: RFC 6716 3.1 (configuration), 4.2.3 (the first bits: voice activity of each frame, then the flag of copies).
    """
    configuration, stereo, frames = payload[0] >> 3, payload[0] >> 2 & 1, payload[0] & 3
    if configuration >= 16 or len(payload) < 2:
        return None
    assert (stereo, frames) == (0, 0), "one mono frame was expected"
    silk_frames = _SILK_FRAMES[configuration % 4 if configuration < 12 else configuration % 2]
    return bool(payload[1] << silk_frames & 0x80)


class Decoder:
    """libopus, mono, at 48 kHz. FFmpeg has no way to ask it for what a copy holds."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.c_int()
        self._decoder = self._library.opus_decoder_create(48_000, 1, ctypes.byref(error))
        assert error.value == 0

    def __del__(self) -> None:
        if hasattr(self, "_decoder"):
            self._library.opus_decoder_destroy(self._decoder)

    def decode(self, payload: bytes | None, *, copy: bool = False) -> Samples:
        """20 ms: what a packet holds; with `copy` what it says of the packet before it; of None whatever conceals the loss."""
        samples = np.zeros(960, dtype=np.int16)
        at = samples.ctypes.data_as(ctypes.c_void_p)
        count = self._library.opus_decode(self._decoder, payload, len(payload or b""), at, len(samples), int(copy))
        assert count == len(samples)
        return samples


def _library() -> Any:
    own = sorted((Path(av.__file__).parents[1] / "av.libs").glob("libopus*"))
    name = str(own[0]) if own else ctypes.util.find_library("opus")
    if name is None:
        raise OSError("no libopus to decode with: this PyAV brings none along; install the package libopus0")
    library = ctypes.CDLL(name)
    library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    return library
