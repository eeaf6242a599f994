"""The media package's errors, by whose fault they are.

MediaError
├── UsageError          the caller's bug: a method called out of order
├── SdpError            the peer's bytes are no session description (caught inside `media.sdp`, or answered 400)
├── SdpRefused          a session description that we cannot agree to: a SIP status and a Warning come with it
├── PromptError         an audio file that cannot be had: fetch, format, too_large, blocked
└── SpeechError         a text that cannot be spoken: engine, language, too_large
"""

from __future__ import annotations


class MediaError(Exception):
    """Root of the errors of this package."""


class UsageError(MediaError):
    """Our own bug: something was asked for that the state does not allow."""


class SdpError(MediaError):
    """Not a session description.

    reason: what is wrong, in words safe to log. line: 1-based line it is wrong in, 0 when the whole is. status: the SIP
    status that answers it.
    """

    status = 400

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line


class SdpRefused(MediaError):
    """An offer or answer that cannot be agreed to.

    status: 400 (broken) or 488 (understood, not acceptable). warning_code and warning_text: the SIP Warning header's code
    and text; the text holds printable ASCII without quotes and backslashes, whatever the peer sent.
    Source: RFC 3261 20.43, 21.4.26.
    """

    def __init__(self, status: int, reason: str, warning_code: int = 399, warning_text: str = "") -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.warning_code = warning_code
        self.warning_text = warning_text or reason


class WorkerUnavailable(MediaError):
    """No media worker: not found, does not start, does not answer, or speaks another protocol. The text says which."""


class PromptError(MediaError):
    """An audio file that cannot be played. code: fetch, format, too_large or blocked. detail: for the application's author."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class SpeechError(MediaError):
    """A text that cannot be spoken. code: engine, language or too_large. detail: for the application's author."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
