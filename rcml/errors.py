"""What can go wrong in `rcml`, and whose fault it is.

    RcmlError
    ├── DocumentError   the application's fault: its answer is no document that could be run
    └── UsageError      the caller's fault: an input that the interpreter's state does not allow

A mistake inside a document that can still be run is no exception but a `Notice` of that document.
"""

from __future__ import annotations

NOT_A_DOCUMENT = 12100
CONTENT_TYPE = 12300


class RcmlError(Exception):
    """Root of this package's exceptions."""


class DocumentError(RcmlError):
    """The answer cannot be run.

    code: number of the notification: 12100, or 12300 for a media type that is nobody's. message: one sentence,
    without the line. line: where in the body, counted from 1.
    """

    def __init__(self, message: str, line: int = 1, code: int = NOT_A_DOCUMENT) -> None:
        super().__init__(message, line, code)
        self.message = message
        self.line = line
        self.code = code

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class UsageError(RcmlError):
    """Our own bug: the interpreter was told something that cannot have happened."""
