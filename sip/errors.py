"""The errors of the SIP package, split by whose fault they are.

    SipError
     ├── ParseError        the peer's fault: text that breaks the grammar of a field
     │    └── MessageError (sip.message.parse) octets that are no message. Data for the core, which answers 400 or drops
     └── UsageError        the caller's fault: a value that must never be put on the wire.

The world's faults (sockets, DNS) are no exceptions here: the shell reports them as inputs of the core.
"""

from __future__ import annotations


class SipError(Exception):
    """Root of everything this package raises on purpose."""


class UsageError(SipError):
    """A bug of the calling code, never of the peer."""


class ParseError(SipError):
    """Octets or text from a peer that break the grammar.

    Attributes:
        reason: what is wrong, in a few words; short and free of the peer's text, so that it may be a Reason-Phrase.
        status: the response code that tells the peer so: 400, 413, 416, 505 or 513.
        field: long name of the header field at fault, or `start-line`, `uri`, `head`, `body`.
        offset: where, counted from the start of what was parsed (octets of a message, characters of a field).
    """

    def __init__(self, reason: str, *, status: int = 400, field: str = "", offset: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.field = field
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.field}: {self.reason} (at {self.offset})" if self.field else self.reason
