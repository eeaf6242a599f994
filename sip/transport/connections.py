"""All connections of one driver, plain and with TLS: accepted and opened, found by number and by peer, and closed when their time is up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol

from sip.core.flows import Address, Flow
from sip.core.sources import network_of
from sip.core.transports import TRANSPORTS
from sip.transport.address import WILDCARDS, ip_version
from sip.transport.settings import TransportSettings
from sip.transport.tcp import READ_BYTES, State, TcpConnection
from sip.transport.tls import Tls, TlsSession

log = logging.getLogger(__name__)

Way = tuple[str, Address, str]  # (transport, peer, name of the peer)
STOP_GRACE_S = 0.5  # for what is still being written when the driver stops
REFUSAL_LOG_S = 10.0  # one line per so long: a flood of connections must not become a flood of lines


class ConnectionUser(Protocol):
    """What happens on connections; the driver."""

    def connection_begun(self) -> None:
        """One is there that has nothing to say yet, and has to be looked after."""

    def connection_opened(self, flow: Flow) -> None: ...

    def connection_received(self, flow: Flow, data: bytes) -> bool:
        """Whether the core made something of it; else a message has begun that has not ended yet."""
        ...

    def connection_lost(self, flow: Flow) -> None: ...

    def connect_failed(self, flow: Flow, reason: str) -> None: ...


class Connections:
    """counters: `tcp_accepted`, `tcp_opened`, `tcp_refused`, `tcp_connect_failed`, `tcp_in`, `tcp_out`, `tcp_overflow`, `tcp_closed_<why>`,
    `tls_failed`. `tcp` is any connection here.

    spawn: runs a coroutine function as a task that its owner cancels at stop.
    admits: whether an address is on a list. Others have few connections each and together, so that they cannot take those of our peers.
    """

    def __init__(
        self,
        user: ConnectionUser,
        settings: TransportSettings,
        spawn: Callable[[Callable[[], Coroutine[None, None, None]]], None],
        counters: Counter[str],
        admits: Callable[[str], bool],
        tls: Tls | None = None,
    ) -> None:
        self._user = user
        self.tls = tls  # for handshakes from now on
        self._handshakes = 0  # of others, under way
        self._admits = admits
        self._strangers = 0
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        given = settings.max_connections if soft == resource.RLIM_INFINITY else soft - settings.reserved_descriptors
        self._most = max(1, min(settings.max_connections, given))
        self._settings = settings
        self._spawn = spawn
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._all: dict[int, TcpConnection] = {}  # opening ones too
        self._by_remote: dict[Way, TcpConnection] = {}  # one that may be used for sending there
        self._per_host: Counter[str] = Counter()
        self._last_number = 0
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._refusals_logged_until = 0.0
        self._stopping = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    # --- what the driver wants ----------------------------------------------------------------------------------------

    def secure(self, transport: str) -> bool:
        return TRANSPORTS[transport].secure

    def accept(self, transport: str, local: Address) -> TcpConnection:
        """A protocol object for a connection to the listener at `local`, whose peer is not known yet."""
        return self._new(Flow(transport, local, Address("", 0)), accepted=True)

    def send(self, flow: Flow, data: bytes) -> str | None:
        """Send, by a new connection if there is none; what went wrong, as far as it is known now."""
        if flow.connection:
            connection = self._all.get(flow.connection)
            if connection is None:
                return "connection is gone"
        else:
            connection = self._by_remote.get(_way(flow))
            if connection is None:
                if ip_version(flow.remote.host) is None or not 0 < flow.remote.port < 65536:
                    return "not an address"
                if len(self._all) >= self._most:
                    return "too many connections"
                if self.secure(flow.transport) and self.tls is None:
                    return "TLS is not set up here"
                connection = self._new(flow, accepted=False)
                self._all[connection.number] = self._by_remote[_way(flow)] = connection
                self._spawn(partial(self._open, connection, flow))
        self._counters["tcp_out"] += 1
        if connection.send(data):
            return None
        self._counters["tcp_overflow"] += 1
        log.warning("sip_connection_overflow", extra={"peer": str(flow.remote)})
        opening = connection.state is State.OPENING
        self._leave(connection)
        connection.abort()
        return "too much is waiting for the connection" if opening else None  # an open one is reported when it is lost

    def close(self, number: int) -> None:
        """Close when all is sent. Whoever sends to that peer meanwhile uses another connection."""
        connection = self._all.get(number)
        if connection is not None:
            self._leave(connection)
            connection.close()

    def acquaint(self, number: int) -> None:
        """Its peer is no stranger any more, and leaves the place among them to another."""
        connection = self._all.get(number)
        if connection is not None and connection.stranger:
            self._count(connection, -1)
            connection.stranger = False
            self._count(connection, 1)

    def give_up(self, flow: Flow) -> None:
        """No longer wait for a connection that is being opened; what waits for it is not sent, and nothing is told."""
        connection = self._by_remote.get(_way(flow))
        if connection is not None and connection.state is State.OPENING:
            self._forget(connection)
            connection.abort()

    def sweep(self, now: float) -> None:
        """Close what is overdue."""
        for connection in list(self._all.values()):
            cause = connection.overdue(now)
            if cause is not None:
                self._counters[f"tcp_closed_{cause}"] += 1
                log.info("sip_connection_closed", extra={"peer": str(connection.flow.remote), "cause": cause})
                self._leave(connection)
                connection.abort()

    async def stop(self) -> None:
        """Close all: politely, then at once. Tasks that were opening connections are cancelled by now."""
        self._stopping = True
        for connection in list(self._all.values()):
            if connection.announced:
                connection.close()
            else:
                self._forget(connection)
                connection.abort()
        for hurry in (False, True):
            for connection in list(self._all.values()) if hurry else ():
                connection.abort()
            if self._all:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._empty.wait(), STOP_GRACE_S)

    # --- what connections tell ----------------------------------------------------------------------------------------

    def connection_made(self, connection: TcpConnection) -> bool:
        """Accepted, or opened for us. It counts from now on, whatever its peer says."""
        secure = self.secure(connection.flow.transport)
        if connection.accepted:
            if self._is_full(connection) or (secure and self._handshakes >= self._most_handshakes):
                self._refuse(connection)
                return False
            self._all[connection.number] = connection
            self._handshakes += secure
        connection.counted = True
        self._count(connection, 1)
        self._counters["tcp_accepted" if connection.accepted else "tcp_opened"] += 1
        if secure:
            self._user.connection_begun()
        return True

    def connection_ready(self, connection: TcpConnection) -> None:
        if connection.accepted:
            self._handshakes -= self.secure(connection.flow.transport)
        self._by_remote.setdefault(_way(connection.flow), connection)
        self._by_remote.setdefault(_anonymous(connection.flow), connection)
        connection.announced = True
        self._user.connection_opened(connection.flow)

    def connection_received(self, connection: TcpConnection, data: bytes) -> None:
        self._counters["tcp_in"] += 1
        if self._user.connection_received(connection.flow, data):
            connection.unfinished_since = None
        elif connection.unfinished_since is None and data.strip(b"\r\n"):
            connection.unfinished_since = connection.last_active

    def connection_gone(self, connection: TcpConnection) -> None:
        known = connection.number in self._all
        self._forget(connection)
        if connection.counted:
            self._count(connection, -1)
        if connection.announced:
            self._user.connection_lost(connection.flow)
        elif connection.counted:
            self._never_ready(connection, known)

    def _never_ready(self, connection: TcpConnection, known: bool) -> None:
        """It ended within its handshake. known: nobody has given it up before."""
        why = connection.failure or "closed within the TLS handshake"
        self._counters["tls_failed"] += 1
        if connection.accepted:
            self._handshakes -= 1
        now = self._loop.time()
        if not connection.accepted or now >= self._refusals_logged_until:
            self._refusals_logged_until = now + REFUSAL_LOG_S if connection.accepted else self._refusals_logged_until
            log.warning("sip_tls_failed", extra={"peer": str(connection.flow.remote), "accepted": connection.accepted, "why": why})
        if not connection.accepted and known and not self._stopping:
            self._counters["tcp_connect_failed"] += 1
            self._user.connect_failed(connection.wanted, why)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _new(self, flow: Flow, *, accepted: bool) -> TcpConnection:
        self._last_number += 1
        secure: Callable[[], TlsSession] | None = None
        tls = self.tls if self.secure(flow.transport) else None
        if tls is not None:
            secure = tls.accepting if accepted else partial(tls.connecting, flow.name or flow.remote.host)
        limit = 0.0 if tls is None else tls.settings.handshake_timeout_s
        return TcpConnection(
            self,
            self._last_number,
            flow,
            self._settings,
            self._buffer,
            self._loop.time(),
            accepted=accepted,
            secure=secure,
            handshake_s=limit,
        )

    def _is_full(self, connection: TcpConnection) -> bool:
        settings = self._settings
        connection.stranger = not self._admits(connection.flow.remote.host)
        of_one = self._per_host[_source(connection)]
        if connection.stranger:
            full = self._strangers >= settings.max_stranger_connections or of_one >= settings.max_connections_per_stranger
        else:
            full = of_one >= settings.max_connections_per_host
        return full or len(self._all) >= self._most or self._stopping

    @property
    def _most_handshakes(self) -> int:
        return 0 if self.tls is None else self.tls.settings.max_handshakes

    def _refuse(self, connection: TcpConnection) -> None:
        self._counters["tcp_refused"] += 1
        now = self._loop.time()
        if now >= self._refusals_logged_until:
            self._refusals_logged_until = now + REFUSAL_LOG_S
            facts = {"peer": str(connection.flow.remote), "open": len(self._all), "of_strangers": self._strangers}
            log.warning("sip_connection_refused", extra=facts | {"stranger": connection.stranger})
        connection.abort()

    async def _open(self, connection: TcpConnection, flow: Flow) -> None:
        own = None if flow.local.host in WILDCARDS or not flow.local.host else (flow.local.host, 0)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._loop.create_connection(lambda: connection, flow.remote.host, flow.remote.port, local_addr=own)
        except (OSError, TimeoutError) as error:
            reason = str(error) or "timed out"
        else:
            return
        if not connection.announced:
            self._forget(connection)
            if connection.state is State.OPENING:  # else it was given up before, and that was told
                self._counters["tcp_connect_failed"] += 1
                self._user.connect_failed(flow, reason)

    def _leave(self, connection: TcpConnection) -> None:
        """New messages to that peer shall use another connection."""
        for way in (_way(connection.flow), _anonymous(connection.flow)):
            if self._by_remote.get(way) is connection:
                del self._by_remote[way]

    def _count(self, connection: TcpConnection, by: int) -> None:
        """by: 1 when it is announced, -1 when it has gone."""
        source = _source(connection)
        self._per_host[source] += by
        self._strangers += by * connection.stranger
        if self._per_host[source] <= 0:
            del self._per_host[source]

    def _forget(self, connection: TcpConnection) -> None:
        self._leave(connection)
        self._all.pop(connection.number, None)
        if self._stopping and not self._all:
            self._empty.set()


def _source(connection: TcpConnection) -> str:
    """What its connections are counted under."""
    host = connection.flow.remote.host
    return network_of(host) if connection.stranger else host


def _way(flow: Flow) -> Way:
    return flow.transport, flow.remote, flow.name


def _anonymous(flow: Flow) -> Way:
    """For who names an address only: the certificate has been checked for the name that it was opened by (RFC 5923)."""
    return flow.transport, flow.remote, ""
