"""A process of its own that speaks: text in, WAV file out, by the espeak-ng library.

espeak-ng is under the GPL. It is loaded here, in a program that stands alone and talks to its asker over two pipes, and
nowhere else. One request a line on standard input, one answer a line on standard output, both JSON:

    {"text": "...", "voice": "en-us+f3", "words_per_minute": 165, "ssml": false, "target": path, "max_ms": 600000}
    {"ok": true}    or    {"error": "voice" | "too_large" | "internal", "detail": "in words"}

The WAV has the engine's own rate (22050 Hz). The program imports nothing of this project (`children.ChildPool` runs it by its path).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import wave
from typing import Any

# From espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_SSML = 0x10
_RATE = 1
_EE_OK = 0

MAX_ADDRESS_SPACE_BYTES = 1 << 30
PAUSE_MS = 50  # what a text without any sound in it ("...") comes to

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Engine:
    """The library, loaded once."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self.rate_hz = self._library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, os.fsencode(espeakng_loader.get_data_path()), _DONT_EXIT)
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng does not initialise")

    def speak(self, request: dict[str, Any]) -> None:
        """Write the speech of one request to its target."""
        if self._library.espeak_SetVoiceByName(request["voice"].encode()) != _EE_OK:
            raise Refused("voice", f"the engine has no voice {request['voice']}")
        self._library.espeak_SetParameter(_RATE, int(request["words_per_minute"]), 0)
        limit = int(request["max_ms"]) * self.rate_hz // 1000
        samples = 0
        with wave.open(request["target"], "wb") as output:
            output.setnchannels(1)
            output.setsampwidth(2)
            output.setframerate(self.rate_hz)

            def receive(data: Any, count: int, _events: Any) -> int:
                nonlocal samples
                if data and count > 0:
                    samples += count
                    if samples <= limit:
                        output.writeframesraw(ctypes.string_at(data, count * 2))
                return int(samples > limit)

            callback = _Callback(receive)
            self._library.espeak_SetSynthCallback(callback)
            text = request["text"].encode() + b"\0"
            flags = _CHARS_UTF8 | (_SSML if request["ssml"] else 0)
            status = self._library.espeak_Synth(text, len(text), 0, 0, 0, flags, None, None)
            self._library.espeak_Synchronize()
            if samples == 0:
                output.writeframesraw(bytes(2 * self.rate_hz * PAUSE_MS // 1000))
        if samples > limit:
            raise Refused("too_large", f"more than {int(request['max_ms']) / 1000:g} s of speech")
        if status != _EE_OK:
            raise RuntimeError(f"espeak-ng gives status {status}")


def main() -> None:
    """Serve until standard input ends, which it does when the control process does."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing that the library prints gets among the answers
    for limit, most in ((resource.RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    os.nice(5)  # calls come first
    engine: Engine | None = None
    for line in sys.stdin.buffer:
        try:
            engine = engine or Engine()
            engine.speak(json.loads(line))
            answer: dict[str, Any] = {"ok": True}
        except Refused as refused:
            answer = {"error": refused.code, "detail": str(refused)}
        except Exception as error:  # noqa: BLE001  the process boundary: the asker gets every failure in words
            answer = {"error": "internal", "detail": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
