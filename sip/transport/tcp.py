"""One connection, plain or with TLS, accepted or opened by us, with the clocks that decide when it has to go."""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Callable
from typing import Protocol, cast

from sip.core.flows import Address, Flow
from sip.transport.settings import TransportSettings
from sip.transport.tls import TlsFailed, TlsSession

READ_BYTES = 16 * 1024  # one read of one connection; then the others have their turn


class State(enum.Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"  # what was written still goes out
    CLOSED = "closed"


class ConnectionOwner(Protocol):
    """What a connection tells; the driver."""

    def connection_made(self, connection: TcpConnection) -> bool:
        """It stands, and its ends are known; with TLS the handshake begins. False: it is not welcome, and has been aborted."""

    def connection_ready(self, connection: TcpConnection) -> None:
        """It carries SIP from now on."""

    def connection_received(self, connection: TcpConnection, data: bytes) -> None: ...

    def connection_gone(self, connection: TcpConnection) -> None: ...


class TcpConnection(asyncio.BufferedProtocol):
    """Knows octets and time, no SIP.

    secure: makes the TLS of this connection, None for none. handshake_s: how long its handshake may take.
    flow: how the core calls it. `local` is the listener's address for an accepted connection, so that the core finds the listener
        again; for an opened one it is known when it is open.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        number: int,
        flow: Flow,
        settings: TransportSettings,
        buffer: memoryview,
        now: float,
        *,
        accepted: bool,
        secure: Callable[[], TlsSession] | None = None,
        handshake_s: float = 0.0,
    ) -> None:
        self._owner = owner
        self._settings = settings
        self._buffer = buffer  # shared by all: its octets are taken out before the loop reads the next connection
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unsent = bytearray()  # while opening
        self.number = number
        self.flow = flow
        self.accepted = accepted
        self.stranger = False  # accepted from an address that is on no list
        self.state = State.OPENING
        self.last_active = now
        self.silent = accepted  # nothing received yet: it has to show what it wants
        self.unfinished_since: float | None = None  # a message began and did not end
        self.stuck_since: float | None = None  # the peer does not read
        self.closing_since = 0.0
        self.wanted = flow  # as it was asked for
        self.failure = ""  # why there is no TLS
        self.counted = False  # among those of its address
        self._secure = secure
        self._tls: TlsSession | None = None
        self._handshake_s = handshake_s
        self.handshaking_since: float | None = None
        self.announced = False  # the core knows of it, and will have to hear of its end

    # --- what the driver asks ------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> bool:
        """Send or queue. False when the peer has let too much pile up; the connection is then beyond help."""
        self.last_active = self._loop.time()
        if self.state is State.OPENING:
            self._unsent += data
            return len(self._unsent) <= self._settings.max_unsent_bytes
        if self._transport is None or self.state is not State.OPEN:
            return True  # closing: lost, as on any connection that ends
        self._write(data)
        return self._transport.get_write_buffer_size() <= self._settings.max_unsent_bytes

    def close(self) -> None:
        """Send what was written, then close."""
        if self.state is State.OPEN and self._transport is not None:
            if self._tls is not None:
                self._tls.close()
                self._flush(self._tls)
            self.state = State.CLOSING
            self.closing_since = self._loop.time()
            self._transport.close()

    def abort(self) -> None:
        """Close at once; one that is still opening will close when it opens."""
        self._unsent.clear()
        if self.state is State.OPENING and self._transport is None:
            self.state = State.CLOSED
        elif self._transport is not None:
            self.state = State.CLOSING
            self.closing_since = self._loop.time()
            self._transport.abort()

    def overdue(self, now: float) -> str | None:
        """Why it has to be closed, or None."""
        settings = self._settings
        if self.state is State.CLOSING and now - self.closing_since > settings.connect_timeout_s:
            return "unread_at_close"
        if self.handshaking_since is not None and now - self.handshaking_since > self._handshake_s:
            return "handshake"
        if self.stuck_since is not None and now - self.stuck_since > settings.write_timeout_s:
            return "unread"
        if self.unfinished_since is not None and now - self.unfinished_since > settings.message_timeout_s:
            return "unfinished"
        if self.silent and now - self.last_active > settings.message_timeout_s:
            return "silent"
        return "idle" if now - self.last_active > settings.idle_timeout_s else None

    # --- asyncio -------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if self.state is not State.OPENING or not peer or not own:  # given up meanwhile, or reset before it was accepted
            self._transport.abort()
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a phone that was unplugged never says so
        local = self.flow.local if self.accepted else Address(own[0].partition("%")[0], own[1])
        self.flow = Flow(self.flow.transport, local, Address(peer[0].partition("%")[0], peer[1]), self.number, self.flow.name)
        self.last_active = self._loop.time()
        if not self._owner.connection_made(self):
            return
        if self._secure is None:
            self._opened()
            return
        self.handshaking_since = self.last_active
        try:
            self._tls = self._secure()
        except TlsFailed as failed:
            self.failure = str(failed)
            self.abort()
            return
        self._flush(self._tls)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._tls is not None and self.state in (State.OPENING, State.OPEN):
            data = self._decrypt(self._tls, data)
        if data and self.state is State.OPEN:
            self.silent = False
            self.last_active = self._loop.time()
            self._owner.connection_received(self, data)
        if self._tls is not None and self._tls.closed:
            self.close()

    def eof_received(self) -> bool:
        return False  # a peer that will send no more needs no answers either: close, after what is written

    def pause_writing(self) -> None:
        self.stuck_since = self._loop.time()
        if self._transport is not None and self.state is State.OPEN:
            self._transport.pause_reading()  # its requests would only make more answers that it does not read

    def resume_writing(self) -> None:
        self.stuck_since = None
        if self._transport is not None and self.state is State.OPEN:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = State.CLOSED
        self._transport = None
        self._owner.connection_gone(self)

    # --- inside --------------------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.state = State.OPEN
        self.handshaking_since = None
        if self._unsent:
            self._write(bytes(self._unsent))
            self._unsent.clear()
        self._owner.connection_ready(self)

    def _decrypt(self, tls: TlsSession, data: bytes) -> bytes:
        try:
            plain = tls.receive(data)
        except TlsFailed as failed:
            self.failure = str(failed)
            self._flush(tls)  # the alert tells the peer
            self.state = State.CLOSING
            self.closing_since = self._loop.time()
            if self._transport is not None:
                self._transport.close()
            return b""
        self._flush(tls)
        if tls.opened and self.state is State.OPENING:
            self._opened()
        return plain

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.send(data)
            self._flush(self._tls)
        elif self._transport is not None:
            self._transport.write(data)

    def _flush(self, tls: TlsSession) -> None:
        data = tls.outgoing()
        if data and self._transport is not None:
            self._transport.write(data)
