"""Any audio file to a canonical WAV, in a child process with a time limit."""

from __future__ import annotations

import logging
from pathlib import Path

from media.errors import PromptError
from media.prompts.cache import remove
from media.prompts.children import ChildFailed, ChildPool

log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("decode_child.py")


class Decoder:
    """A few decoding processes, shared by prompts and speech."""

    def __init__(self, processes: int = 2, timeout_s: float = 30.0) -> None:
        self._children = ChildPool(_PROGRAM, processes)
        self._timeout_s = timeout_s

    async def decode(self, source: Path, target: Path, max_duration_s: float, *, mpeg: bool = False) -> int:
        """Decode `source` into a canonical WAV at `target`; returns its duration in milliseconds.

        mpeg: it is said to be MPEG audio, so that it may begin within a frame.

        Raises:
            PromptError: format or too_large; nothing is left at `target`.
        """
        request = {"source": str(source), "target": str(target), "max_ms": round(max_duration_s * 1000), "mpeg": mpeg}
        try:
            answer = await self._children.ask(request, self._timeout_s)
        except ChildFailed as failed:
            answer = {"error": "format", "detail": f"the decoder failed on it: {failed.detail}"}
        except BaseException:
            remove(target)
            raise
        if error := answer.get("error"):
            remove(target)
            if error not in ("format", "too_large"):
                log.error("decoder_failed", extra={"detail": answer.get("detail", "")})
            raise PromptError("too_large" if error == "too_large" else "format", str(answer.get("detail", "")))
        return int(answer["duration_ms"])

    async def close(self) -> None:
        await self._children.close()
