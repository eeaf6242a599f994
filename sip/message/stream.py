"""Messages out of a stream of octets (TCP, TLS).

How the octets were cut into reads never changes what comes out. Per connection the parser holds one head or one body, never
more than its limits; what it has given out it has forgotten.

    IDLE ──octet──▶ HEAD ──empty line──▶ BODY ──Content-Length octets──▶ IDLE
      │ CRLFCRLF: KeepAlive                any defect of the boundary ──▶ DEAD (a fatal MessageError was given, all else is ignored)
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.message.grammar import TOKEN_OCTETS
from sip.message.model import Message, Request
from sip.message.parse import Head, MessageError, read_head

MAX_HEAD_BYTES = 65535
MAX_BODY_BYTES = 65535
_CR, _LF = 0x0D, 0x0A


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """CRLFCRLF between messages: to be answered with CRLF (RFC 5626 4.4.1)."""


Parsed = Message | MessageError | KeepAlive


class StreamParser:
    """One per connection and direction."""

    def __init__(self, max_head_bytes: int = MAX_HEAD_BYTES, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_head_bytes = max_head_bytes
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer in which no empty line begins
        self._crlfs = 0  # of the keep-alive that is arriving
        self._head: Head | None = None  # read, its body still arriving
        self._dead = False

    @property
    def pending(self) -> int:
        """Octets that wait for the rest of their message."""
        return len(self._buffer)

    @property
    def dead(self) -> bool:
        """A fatal error was given; the connection must be closed."""
        return self._dead

    def feed(self, data: bytes) -> list[Parsed]:
        """Take what was read from the connection; give what is complete, in order.

        Never raises: a MessageError is an element of the list. After a fatal one nothing more comes.
        """
        if self._dead:
            return []
        self._buffer += data
        parsed: list[Parsed] = []
        while self._step(parsed):
            pass
        return parsed

    def _step(self, parsed: list[Parsed]) -> bool:
        """Take one thing off the buffer; False when more octets are needed."""
        if self._head is not None:
            return self._take_body(self._head, parsed)
        if self._skip_crlfs(parsed):
            return self._take_head(parsed)
        return False

    def _skip_crlfs(self, parsed: list[Parsed]) -> bool:
        """Past what stands between messages; True when an octet of a message is at hand."""
        buffer = self._buffer
        at, end = 0, len(buffer)
        if self._searched:
            return True
        while at + 1 < end and buffer[at] == _CR and buffer[at + 1] == _LF:
            at += 2
            self._crlfs += 1
            if self._crlfs == 2:
                self._crlfs = 0
                parsed.append(KeepAlive())
        del buffer[:at]
        if not buffer or (len(buffer) == 1 and buffer[0] == _CR):
            return False
        self._crlfs = 0
        if buffer[0] not in TOKEN_OCTETS:
            # A TLS hello, say: told now, not when the limit or the peer's patience is reached.
            self._die(MessageError("no SIP message", field="start-line", fatal=True), parsed)
            return False
        return True

    def _take_head(self, parsed: list[Parsed]) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._searched = max(1, len(buffer) - 3)
            if len(buffer) > self._max_head_bytes + 3:  # the empty line may have begun within the limit
                self._too_long(bytes(buffer), parsed)
            return False
        if end > self._max_head_bytes:
            self._too_long(bytes(buffer[:end]), parsed)
            return False
        head = read_head(bytes(buffer[:end]), stream=True)
        del buffer[: end + 4]
        self._searched = 0
        length = head.content_length
        if head.error is not None and head.error.fatal:
            self._die(head.error, parsed)
        elif length is None or length > self._max_body_bytes:
            self._die(_error(head, "body too long", 413, "Content-Length"), parsed)
        else:
            self._head = head
        return not self._dead

    def _take_body(self, head: Head, parsed: list[Parsed]) -> bool:
        length = head.content_length or 0
        if len(self._buffer) < length:
            return False
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        if head.error is not None:
            parsed.append(head.error)
        elif head.message is not None:
            head.message.body = body
            parsed.append(head.message)
        return True

    def _too_long(self, data: bytes, parsed: list[Parsed]) -> None:
        """The head is over its limit, complete or not: what can be read of it tells whom to answer."""
        head = read_head(data[: self._max_head_bytes], stream=True)
        self._die(_error(head, "message too long", 513, "head"), parsed)

    def _die(self, error: MessageError, parsed: list[Parsed]) -> None:
        self._dead = True
        self._head = None
        self._buffer.clear()
        parsed.append(error)


def _error(head: Head, reason: str, status: int, field: str) -> MessageError:
    partial = head.message if isinstance(head.message, Request) else None
    return MessageError(reason, status=status, field=field, partial=partial, fatal=True)
