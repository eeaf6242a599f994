"""One request on its way to its next hop.

    start ─▶ Resolve ─▶ targets ─▶ transaction at the first target ─▶ response ─▶ user
                                       │ 503, timeout, broken transport: the next target, under a new branch (RFC 3263 4.3)
                                       └ none left ─▶ user

A target over UDP is tried by TCP first when the request is too long for a datagram, and by UDP all the same when TCP is refused, or is not
there within a second (RFC 3261 18.1.1: the fall-back is for what fails); that is remembered for a while. A URI with `transport=udp`
means UDP whatever the size (RFC 3263 4.1). The Via, the Contact and the branch are put in for each try, since they name the transport.

An ACK for a 2xx is delivered in the same way but has no transaction: it is sent once, and again for every copy of the 2xx.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from sip.core.commands import HeaderList, SessionId
from sip.core.digest import Realm
from sip.core.events import FailureCause
from sip.core.flows import Address, CloseConnection, Flow, Listener, Resolve, Target
from sip.core.machine import Cause, Packet, pack
from sip.core.routing import certified_name, choose_listener, contact_uri, flow_from, listener_of, literal_target, wants
from sip.core.transactions import ClientTransaction, Transactions
from sip.core.transports import FOR_LONG_REQUESTS
from sip.message import Headers, Request, Response, Uri


class Failure(enum.Enum):
    """Why a request got no answer from any target."""

    TIMEOUT = "timeout"
    TRANSPORT = "transport"
    UNRESOLVED = "unresolved"


CAUSES = {
    Failure.TIMEOUT: FailureCause.NO_RESPONSE,
    Failure.TRANSPORT: FailureCause.TRANSPORT,
    Failure.UNRESOLVED: FailureCause.UNRESOLVED,
}


class DeliveryUser(Protocol):
    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None: ...

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None: ...


class Nobody:
    """Of an ACK for a 2xx, which nothing answers."""

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        pass

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        pass


NOBODY = Nobody()
MAX_WITHOUT_TCP = 1000  # peers


class Deliveries:
    """What lives: deliveries that wait for DNS, and those that a broken connection would matter to, by remote end and serial."""

    def __init__(self, transactions: Transactions) -> None:
        self.context = transactions.context
        self.transactions = transactions
        self.queries: dict[int, Delivery] = {}
        self.by_remote: dict[tuple[str, Address], dict[int, Delivery]] = {}
        self.without_tcp: dict[Address, float] = {}  # peers that took no connection for a long request, and until when that counts

    def towards(self, flow: Flow) -> list[Delivery]:
        return list(self.by_remote.get((flow.transport, flow.remote), {}).values())

    def took_no_tcp(self, remote: Address, now: float) -> None:
        while len(self.without_tcp) >= MAX_WITHOUT_TCP:
            del self.without_tcp[next(iter(self.without_tcp))]
        self.without_tcp[remote] = now + self.context.settings.long_request_memory_s

    def __len__(self) -> int:
        return sum(len(peers) for peers in self.by_remote.values())


class Delivery:
    """See the top of the file.

    next_hop: None when the URI at hand leads nowhere.
    preferred: the socket to leave by, where it fits.
    only: go there and nowhere else, whatever the next hop says (NAT policy).
    fallback: where to go when the next hop's name is unknown or its connection refused: the observed source (NAT policy).
    peer: where the peer of the dialog was seen.
    contact: None for no Contact, else (user, secure) of it.
    challenged: how often each realm was answered, see DigestClient.
    """

    def __init__(
        self,
        layer: Deliveries,
        user: DeliveryUser,
        request: Request,
        next_hop: Uri | None,
        session: SessionId | None,
        *,
        contact: tuple[str | None, bool] | None = None,
        preferred: Address | None = None,
        only: Flow | None = None,
        fallback: Flow | None = None,
        ack_headers: HeaderList = (),
        peer: Flow | None = None,
    ) -> None:
        self._peer = peer
        self._layer = layer
        self._context = context = layer.context
        self._user = user
        self.request = request
        self._next_hop = next_hop
        self.session = session
        self._contact = contact
        self._preferred = preferred
        self._only = only
        self._fallback = fallback
        self._ack_headers = ack_headers
        self.challenged: dict[Realm, int] = {}
        self.transaction: ClientTransaction | None = None
        self._serial = context.serial()
        self._query: int | None = None
        self._flows: list[Flow] = []
        self._at = 0
        self._datagram_only = False  # TCP was refused at this target
        self._tcp_until: float | None = None  # a long request waits for a connection, or goes by UDP
        self.armed_at: float | None = None
        self.sent = False  # something has gone out
        self._stopped = False
        self._reconnected = False
        self._flow: Flow | None = None  # of the try at hand
        self._registered = False  # under the remote end of that flow
        self._ack: tuple[Packet, Flow] | None = None  # as it went out

    @property
    def host(self) -> str:
        """The name or address of the next hop; empty when the URI at hand leads nowhere."""
        return "" if self._next_hop is None else wants(self._next_hop)[0]

    @property
    def flow(self) -> Flow | None:
        """The way of the try at hand, or of the last one."""
        return self._flow

    # --- the user's side ------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        if self._only is not None:
            self._flows = [self._only]
            self._try(now)
        elif self._next_hop is None:
            self._nowhere(Failure.UNRESOLVED, now)
        elif (target := literal_target(self._next_hop)) is not None:
            self._take([target], now)
        else:
            host, port, transport, secure = wants(self._next_hop)
            self._query = self._context.serial()
            self._layer.queries[self._query] = self
            self._context.emit(Resolve(self._query, host, port, transport, secure))

    def retry(self, request: Request, now: float) -> None:
        """The changed request (credentials, a new CSeq) to the target that wanted it so."""
        self.request = request
        self._try(now)

    def stop(self) -> bool:
        """No further targets. True when nothing has been sent, so that nothing will be."""
        self._stopped = True
        if self._query is not None:
            del self._layer.queries[self._query]
            self._query = None
        return not self.sent

    def another(self) -> Flow | None:
        """The address that would be tried next, which is then left to the caller."""
        return self._flows.pop(self._at + 1) if self._at + 1 < len(self._flows) else None

    def abandon(self, now: float) -> None:
        """Forget it, whatever its transaction waits for."""
        self.stop()
        self.finish()
        if self.transaction is not None and (self.transaction.provisional or self.transaction.unanswered):
            self.transaction.abandon(now)

    def send_ack_again(self, now: float) -> None:
        if self._ack is not None:
            self._context.transmit(*self._ack, self.session, repeated=True)
        elif self._query is None and not self._stopped:
            self._at = 0
            self.start(now)  # it could not be sent before: perhaps now

    def finish(self) -> None:
        """Broken connections concern this request no longer."""
        self._tcp_until = None
        if self._registered and self._flow is not None:
            self._registered = False
            key = (self._flow.transport, self._flow.remote)
            peers = self._layer.by_remote[key]
            del peers[self._serial]
            if not peers:
                del self._layer.by_remote[key]

    # --- what happens to it ---------------------------------------------------------------------------------------

    def resolved(self, targets: Sequence[Target], now: float) -> None:
        self._query = None
        if targets:
            self._take(targets, now)
        elif self._fallback is not None:
            self._flows = [self._fallback]
            self._try(now)
        else:
            self._nowhere(Failure.UNRESOLVED, now)

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction is not self.transaction and not (200 <= response.status < 300 and self.request.method == "INVITE"):
            return  # an earlier try; only a 2xx of it still matters, it opens a dialog
        if transaction is self.transaction and response.status == 503 and not self._stopped and self._next_target(now):
            return
        if response.status >= 200:
            self.finish()
        self._user.answered(self, transaction, response, now)

    def transaction_failed(self, transaction: ClientTransaction, cause: Cause, now: float) -> None:
        if transaction is not self.transaction:
            return
        failure = Failure.TIMEOUT if cause is Cause.TIMEOUT else Failure.TRANSPORT
        if not self._stopped and self._go_on(failure, now):
            return
        self._nowhere(failure, now)

    def transaction_gone(self, transaction: ClientTransaction) -> None:
        for ack in transaction.acks.values():
            ack.stop()
            ack.finish()
        if transaction is self.transaction:
            self.transaction = None  # it holds us, and is through

    def transport_failed(self, flow: Flow, now: float) -> None:
        """The shell could not send to, or connect to, this request's target."""
        if self._flow is None or (flow.connection and self._flow.connection not in (0, flow.connection)):
            return
        if flow.name and self._flow.name and flow.name != self._flow.name:
            return  # another domain at the same address
        if self.transaction is not None:
            self.transaction.transport_failed(now)
        elif self._ack is not None:
            self._ack = None
            self._go_on(Failure.TRANSPORT, now)

    def deadline(self) -> float | None:
        return self._tcp_until

    def expire(self, now: float) -> None:
        if self._tcp_until is None or self._tcp_until > now:
            return
        self._tcp_until = None
        flow, transaction = self._flow, self.transaction
        if flow is None or transaction is None or not transaction.unanswered or self._context.connected_to(flow):
            return
        if len(self._layer.towards(flow)) == 1:
            self._context.emit(CloseConnection(flow))  # else what waits for it would arrive beside the datagram
        transaction.transport_failed(now)

    def connection_lost(self, flow: Flow, now: float) -> None:
        """An open connection is gone. A request that had no answer may never have arrived: it goes once more by a new one."""
        transaction = self.transaction
        if transaction is None or not transaction.unanswered or self._flow is None or self._flow.connection not in (0, flow.connection):
            return
        if self._flow.connection == 0 and not self._reconnected:
            self._reconnected = True
            transaction.send_again(self._flow)
        else:
            transaction.transport_failed(now)

    # --- targets --------------------------------------------------------------------------------------------------

    def _take(self, targets: Sequence[Target], now: float) -> None:
        flows = []
        name = "" if self._next_hop is None else certified_name(self._next_hop)
        for target in targets:
            listener = choose_listener(self._context.listeners, target.transport, target.address.host, self._preferred)
            if listener is not None:
                flows.append(flow_from(listener, target.address, name or self._known_as(target)))
        if self._fallback is not None and self._fallback.reliable:
            flows.append(self._fallback)
        self._flows = flows
        if not flows:
            self._nowhere(Failure.TRANSPORT, now)
        else:
            self._try(now)

    def _known_as(self, target: Target) -> str:
        """A Contact that is an address is that of the peer whose certificate was checked when the dialog was made."""
        seen = self._peer
        return seen.name if seen is not None and seen.remote.host == target.address.host else ""

    def _next_target(self, now: float) -> bool:
        if self._at + 1 >= len(self._flows):
            return False
        self._at += 1
        self._datagram_only = self._reconnected = False
        self._try(now)
        return True

    def _go_on(self, failure: Failure, now: float) -> bool:
        """After a failure: the same target by UDP, or the next one."""
        if failure is Failure.TRANSPORT and self._flow is not None and self._flow.transport != self._flows[self._at].transport:
            self._datagram_only = True
            self._layer.took_no_tcp(self._flow.remote, now)
            self._try(now)
            return True
        return self._next_target(now)

    def _try(self, now: float) -> None:
        flow = self._flows[self._at]
        listener = self._listener(flow)
        if listener is None:
            if not self._next_target(now):
                self._nowhere(Failure.TRANSPORT, now)
            return
        branch = self._context.tokens.branch()
        request, packet = self._dress(listener, branch)
        if not flow.reliable and len(packet.data) > self._context.settings.udp_mtu_bytes:
            packet = self._shorter(request, packet)
        if not flow.reliable and len(packet.data) > self._context.settings.udp_mtu_bytes and not self._must_be_datagram(flow, now):
            by_tcp = choose_listener(self._context.listeners, FOR_LONG_REQUESTS, flow.remote.host)
            if by_tcp is not None:
                listener, flow = by_tcp, flow_from(by_tcp, flow.remote)
                request, packet = self._dress(listener, branch)
        self._register(flow)
        self.sent = True
        if request.method == "ACK":
            self._ack = (packet, flow)
            self._context.transmit(packet, flow, self.session)
            return
        self.transaction = ClientTransaction(
            self._layer.transactions, request, packet, branch, listener.advertised, flow, self, self.session, self._ack_headers
        )
        self.transaction.start(now)
        if flow.transport != self._flows[self._at].transport:
            self._tcp_until = now + self._context.settings.long_request_tcp_s
            self._context.agenda.arm(self)

    def _shorter(self, request: Request, packet: Packet) -> Packet:
        """Without our name, or without Allow too, if that makes it fit: both are for information, and a plain call with credentials is
        better off by UDP. Not with short names of header fields: some peers have never met one."""
        for left_out in (("User-Agent",), ("User-Agent", "Allow")):
            headers = Headers([(name, value) for name, value in request.headers if name not in left_out])
            shorter = pack(Request(request.method, request.uri, headers, request.body))
            if len(shorter.data) <= self._context.settings.udp_mtu_bytes:
                return shorter
        return packet

    def _must_be_datagram(self, flow: Flow, now: float) -> bool:
        if self._only is not None and not self._only.reliable:
            return True  # a NAT lets in only what was asked for by this very way
        if self._datagram_only or (self._next_hop is not None and wants(self._next_hop)[2] == "udp"):
            return True
        return self._layer.without_tcp.get(flow.remote, now) > now

    def _listener(self, flow: Flow) -> Listener | None:
        if flow.connection:
            return listener_of(self._context.listeners, flow)
        return choose_listener(self._context.listeners, flow.transport, flow.remote.host, flow.local)

    def _dress(self, listener: Listener, branch: str) -> tuple[Request, Packet]:
        """The request as it goes to a target of this transport."""
        headers = self.request.headers.copy()
        headers.prepend("Via", f"SIP/2.0/{listener.transport.upper()} {listener.advertised};branch={branch};rport")
        if self._contact is not None:
            headers.add("Contact", f"<{contact_uri(listener, *self._contact)}>")
        request = Request(self.request.method, self.request.uri, headers, self.request.body)
        return request, pack(request)

    def _register(self, flow: Flow) -> None:
        self.finish()
        self._flow, self._registered = flow, True
        self._layer.by_remote.setdefault((flow.transport, flow.remote), {})[self._serial] = self

    def _nowhere(self, failure: Failure, now: float) -> None:
        self.finish()
        self._user.undelivered(self, failure, now)
