"""The shell around the SIP core: sockets, the clock, one timer, DNS. Knows no SIP rule.

    socket ──▶ endpoint.receive ─────┐
    timer ───▶ endpoint.timeout ─────┤  outputs   Transmit, CloseConnection, Resolve: carried out, in order
    DNS ─────▶ endpoint.resolved ────┼──────────▶ a failure of one: endpoint.transmit_failed, then its outputs
    user ────▶ endpoint.command ─────┘            events, Traced, Dropped: queued

The rhythm is always: one input, all its outputs, re-arm the timer, then the queued events to the user. The user may give commands from
inside an event; their events are queued behind, so the user is never called while it is being called.

Faults of the world become inputs: what cannot be sent, a connection that cannot be opened or breaks, a name that leads nowhere. An
exception out of the core or out of the user is a bug of ours; it is logged and counted here, and the next input is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Protocol

from sip.core.commands import Command
from sip.core.events import Dropped, Event, Output, Traced
from sip.core.flows import Address, CloseConnection, Flow, Listener, Resolve, Target, Transmit
from sip.core.transports import TRANSPORTS
from sip.settings import SPOKEN
from sip.transport.address import ip_version, reachable_form
from sip.transport.connections import STOP_GRACE_S, Connections
from sip.transport.resolver import Resolver
from sip.transport.settings import TransportSettings
from sip.transport.tls import Tls
from sip.transport.udp import UdpSocket

log = logging.getLogger(__name__)
wire = logging.getLogger("sip.wire")

SWEEP_S = 2.0  # how often connections are looked after, while there are any
ERROR_PAUSE_S = 0.1  # before a deadline whose handling failed is tried again
PORT_ATTEMPTS = 20
BACKLOG = 512
MAX_REMEMBERED_FLOWS = 4096


class EndpointLike(Protocol):
    """`sip.core.endpoint.Endpoint`, as far as the shell needs it."""

    def set_listeners(self, listeners: Sequence[Listener]) -> None: ...

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]: ...

    def connection_opened(self, flow: Flow, now: float) -> list[Output]: ...

    def connection_lost(self, flow: Flow, now: float) -> list[Output]: ...

    def transmit_failed(self, flow: Flow, error: str, now: float) -> list[Output]: ...

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> list[Output]: ...

    def command(self, command: Command, now: float) -> list[Output]: ...

    def timeout(self, now: float) -> list[Output]: ...

    def next_deadline(self) -> float | None: ...


class SipDriver:
    """Owns every SIP socket of one endpoint.

    on_event: gets events, `Traced` and `Dropped`, in order, never while it is at work on another.
    resolver: closed at `stop`; None makes one over the system's name servers when the first name has to be resolved.
    admits: whether an address (an IP literal) is on a list; others have few TCP connections. None: all are.
    on_connection_lost: told after the core, for who relies on a connection without a transaction on it.
    tls: for listeners and peers of the transport of that name; None: there are none.
    counters: what happened, by constant names; for metrics.
    """

    def __init__(
        self,
        endpoint: EndpointLike,
        on_event: Callable[[Event | Traced | Dropped], None],
        resolver: Resolver | None = None,
        settings: TransportSettings | None = None,
        admits: Callable[[str], bool] | None = None,
        tls: Tls | None = None,
        on_connection_lost: Callable[[Flow], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._on_event = on_event
        self._resolver = resolver
        self._settings = settings or TransportSettings()
        self._admits = admits or _everybody
        self._tls = tls
        self._on_connection_lost = on_connection_lost
        self.counters: Counter[str] = Counter()
        self._running = False
        self._udp: dict[Address, UdpSocket] = {}
        self._servers: list[asyncio.Server] = []
        self._listeners: tuple[Listener, ...] = ()
        self._flows: dict[tuple[Address, Address], Flow] = {}  # of UDP: the same peers come again and again
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: deque[tuple[Flow, str]] = deque()
        self._events: deque[Event | Traced | Dropped] = deque()
        self._dispatching = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # when it fires, if there is one
        self._next_sweep: float | None = None
        self._not_before = 0.0

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self, listen: Iterable[tuple[str, str, int]], advertised_host: str = "") -> tuple[Listener, ...]:
        """Open the sockets.

        Args:
            listen: (transport, IP address, port). Port 0 takes a free one, the same for all transports of that address.
            advertised_host: what Via and Contact shall say, a name or an address (which then is for sockets of its IP version
                only). Empty: the address itself, and for a wildcard the address that the default route uses.
        Returns:
            The listeners in the order asked for, with their real ports; the endpoint has them already.
        Raises:
            OSError: an address cannot be had. Nothing stays open.
        """
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self, self._settings, self._spawn, self.counters, self._admits, self._tls)
        wanted = [(transport.lower(), host, port) for transport, host, port in listen]
        for attempt in range(PORT_ATTEMPTS):
            try:
                bound = await self._bind_all(wanted)
                break
            except OSError:
                await self._close_listeners()
                # A port that is free for UDP need not be free for TCP: try another, but only where the choice is ours.
                if attempt == PORT_ATTEMPTS - 1 or not any(port == 0 for _, _, port in wanted):
                    raise
        self._listeners = tuple(
            Listener(transport, address, Address(_advertised(address.host, advertised_host), address.port)) for transport, address in bound
        )
        if self._resolver is not None:
            self._resolver.limit_to({listener.transport for listener in self._listeners})
        self._running = True
        self._endpoint.set_listeners(self._listeners)
        return self._listeners

    async def stop(self) -> None:
        """Close everything and wait until it is closed. What the core still wanted is not carried out."""
        if not self._running:
            return
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connections.stop()
        await self._close_listeners()
        if self._resolver is not None:
            await self._resolver.close()
        self._events.clear()

    def command(self, command: Command) -> None:
        """Give a command to the core. Raises UsageError for one that is wrong; after `stop` commands are ignored."""
        if self._running:
            self._apply(self._endpoint.command(command, self._loop.time()))

    def acquaint(self, flow: Flow) -> None:
        """Somebody has proved who is behind a connection: it counts no longer among those of strangers."""
        if self._running:
            self._connections.acquaint(flow.connection)

    def take_waited_s(self) -> float:
        """How long datagrams wait until they are read (`UdpSocket.take_waited_s`), where it is longest."""
        return max((udp.take_waited_s() for udp in self._udp.values()), default=0.0)

    def replace_tls(self, tls: Tls) -> None:
        """Other certificates for handshakes from now on; connections that stand go on."""
        self._tls = tls
        if self._running:
            self._connections.tls = tls

    def counts(self) -> dict[str, int]:
        """What lives in the shell; all 0 after `stop`."""
        connections = len(self._connections) if self._listeners else 0
        return {"sockets": len(self._udp) + len(self._servers), "connections": connections, "tasks": len(self._tasks)}

    # --- one input, all its outputs -----------------------------------------------------------------------------------

    def _input(self, call: Callable[[], list[Output]]) -> None:
        """Everything that comes in and is no command."""
        if self._running:
            self._apply(self._ask(call))

    def _ask(self, call: Callable[[], list[Output]]) -> list[Output]:
        """Transport entry: a bug behind it costs this input, not the server."""
        try:
            return call()
        except Exception:
            self.counters["input_errors"] += 1
            log.exception("sip_input_failed")
            self._not_before = self._loop.time() + ERROR_PAUSE_S
            return []

    def _apply(self, outputs: list[Output]) -> None:
        self._carry_out(outputs)
        while self._failed:
            self.counters["transmit_failed"] += 1
            flow, error = self._failed.popleft()
            self._carry_out(self._ask(partial(self._endpoint.transmit_failed, flow, error, self._loop.time())))
        self._arm()
        self._dispatch()

    def _carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(flow, data):
                    error = self._send(flow, data)
                    if error is not None:
                        self._failed.append((flow, error))
                case CloseConnection(flow):
                    if flow.connection:
                        self._connections.close(flow.connection)
                    else:
                        self._connections.give_up(flow)
                case Resolve():
                    self._spawn(partial(self._resolve, output))
                case Traced():
                    if wire.isEnabledFor(logging.DEBUG):
                        facts = {"summary": output.summary, "direction": output.direction.value, "peer": str(output.flow.remote)}
                        wire.debug("sip_message", extra=facts)
                    self._events.append(output)
                case event:
                    self._events.append(event)

    def _dispatch(self) -> None:
        if self._dispatching:
            return
        self._dispatching = True
        try:
            while self._events:
                event = self._events.popleft()
                try:
                    self._on_event(event)
                except Exception:
                    self.counters["event_errors"] += 1
                    log.exception("sip_event_failed", extra={"event": type(event).__name__})
        finally:
            self._dispatching = False

    def _send(self, flow: Flow, data: bytes) -> str | None:
        """What went wrong, as far as it is known now."""
        if flow.transport not in SPOKEN:
            return "no such transport"
        if flow.reliable:
            return self._connections.send(flow, data)
        udp = self._udp.get(flow.local)
        return "no such socket" if udp is None else udp.send(data, flow.remote)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """See to it that the timer fires no later than the next thing is due. Too early is harmless, and cheaper than a new timer."""
        if not self._running:
            return
        at = self._endpoint.next_deadline()
        if len(self._connections):
            if self._next_sweep is None:
                self._next_sweep = self._loop.time() + SWEEP_S
            at = self._next_sweep if at is None else min(at, self._next_sweep)
        if at is None:
            return
        at = max(at, self._not_before)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        # uvloop gives a handle without `when` for a time that has passed already.
        self._timer, self._timer_at = self._loop.call_at(at, self._fire, at), at

    def _fire(self, at: float) -> None:
        self._timer = None
        # A loop may fire a little early; the deadline itself is then the better clock.
        now = max(self._loop.time(), at)
        if self._next_sweep is not None and now >= self._next_sweep:
            self._next_sweep = None
            self._connections.sweep(now)
        self._input(partial(self._endpoint.timeout, now))

    # --- UDP ----------------------------------------------------------------------------------------------------------

    def _datagram(self, local: Address, data: bytes, remote: Address) -> None:
        if remote.port:  # port 0 cannot be answered
            self._input(partial(self._endpoint.receive, data, self._udp_flow(local, remote), self._loop.time()))

    def _unreachable(self, local: Address, remote: Address, reason: str) -> None:
        self._input(partial(self._endpoint.transmit_failed, self._udp_flow(local, remote), reason, self._loop.time()))

    def _udp_flow(self, local: Address, remote: Address) -> Flow:
        flow = self._flows.get((local, remote))
        if flow is None:
            if len(self._flows) >= MAX_REMEMBERED_FLOWS:
                self._flows.clear()
            flow = self._flows[(local, remote)] = Flow("udp", local, remote)
        return flow

    # --- connections (ConnectionUser) -----------------------------------------------------------------------------------------

    def connection_begun(self) -> None:
        self._arm()

    def connection_opened(self, flow: Flow) -> None:
        self._input(partial(self._endpoint.connection_opened, flow, self._loop.time()))

    def connection_received(self, flow: Flow, data: bytes) -> bool:
        if not self._running:
            return True
        outputs = self._ask(partial(self._endpoint.receive, data, flow, self._loop.time()))
        self._apply(outputs)
        return bool(outputs)

    def connection_lost(self, flow: Flow) -> None:
        lost = partial(self._endpoint.connection_lost, flow, self._loop.time())
        if self._running:
            self._input(lost)
            if self._on_connection_lost is not None:
                self._on_connection_lost(flow)
        else:
            self._ask(lost)  # at stop: so that the core holds nothing either; what it wants comes too late

    def connect_failed(self, flow: Flow, reason: str) -> None:
        self._input(partial(self._endpoint.transmit_failed, flow, reason, self._loop.time()))

    # --- names --------------------------------------------------------------------------------------------------------

    async def _resolve(self, query: Resolve) -> None:
        if self._resolver is None:
            from sip.transport.dns import AiodnsLookup  # only who uses names needs a DNS client

            self._resolver = Resolver(AiodnsLookup(), secrets.randbelow)
            self._resolver.limit_to({listener.transport for listener in self._listeners})
        versions = {ip_version(listener.bind.host) or 4 for listener in self._listeners}
        targets: list[Target] = []
        asked: list[str] = []
        try:
            async with asyncio.timeout(self._settings.resolve_timeout_s):
                targets = await self._resolver.resolve(query, versions, asked)
            if not targets:
                self.counters["resolve_failures"] += 1
                log.warning("sip_resolve_failed", extra={"host": query.host, "asked": ", ".join(asked)})
        except TimeoutError:
            self.counters["resolve_timeouts"] += 1
            log.warning("sip_resolve_timed_out", extra={"host": query.host, "asked": ", ".join(asked)})
        finally:  # whatever happened: the core waits for an answer
            self._input(partial(self._endpoint.resolved, query.query, targets, self._loop.time()))

    def _spawn(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await work()
        except Exception:
            self.counters["input_errors"] += 1
            log.exception("sip_task_failed")

    # --- sockets ------------------------------------------------------------------------------------------------------

    async def _bind_all(self, wanted: Sequence[tuple[str, str, int]]) -> list[tuple[str, Address]]:
        bound: list[tuple[str, Address]] = []
        chosen: dict[tuple[str, bool], int] = {}  # by host and security: the port that the kernel chose
        for transport, host, port in wanted:
            if transport not in SPOKEN:
                raise OSError(f"no such transport: {transport}")
            kind = TRANSPORTS[transport]
            if kind.secure and (self._tls is None or self._tls.server is None):
                raise OSError(f"no certificate for {transport}: set sip.tls.certificate")
            shared = chosen.get((host, kind.secure), 0) if port == 0 else port
            if (transport, Address(host, shared)) in bound:
                shared = port  # the same transport twice: each gets its own
            address = await self._bind_stream(transport, host, shared) if kind.reliable else self._bind_udp(host, shared)
            if port == 0:
                chosen.setdefault((host, kind.secure), address.port)
            bound.append((transport, address))
        return bound

    def _bind_udp(self, host: str, port: int) -> Address:
        udp = UdpSocket(
            self._loop,
            host,
            port,
            lambda data, remote: self._datagram(udp.address, data, remote),
            lambda remote, reason: self._unreachable(udp.address, remote, reason),
            self._settings.udp_buffer_bytes,
            self.counters,
        )
        self._udp[udp.address] = udp
        return udp.address

    async def _bind_stream(self, transport: str, host: str, port: int) -> Address:
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in host:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((host, port))
            # The core finds its listener again by this address, so a wildcard stays one for accepted connections too.
            local = Address(host, listening.getsockname()[1])
            server = await self._loop.create_server(lambda: self._connections.accept(transport, local), sock=listening, backlog=BACKLOG)
        except BaseException:
            listening.close()
            raise
        self._servers.append(server)
        return local

    async def _close_listeners(self) -> None:
        for udp in self._udp.values():
            udp.close()
        for server in self._servers:
            server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), STOP_GRACE_S)
        self._udp.clear()
        self._servers.clear()


def _everybody(host: str) -> bool:
    return True


def _advertised(bind_host: str, wanted: str) -> str:
    """What peers are told to send to."""
    version = ip_version(wanted)
    if wanted and (version is None or version == ip_version(bind_host)):
        return wanted
    return reachable_form(bind_host)
