"""The SIP core as its shell sees it: octets, commands and `now` in; outputs and deadlines out. See docs/sip-core.md.

    receive ─▶ gate, door ─▶ UasCore (requests) ─▶ Session, or another usage, or OutOfDialog ─▶ events
                    └─▶ ClientTransaction (responses) ─▶ Delivery ─▶ Session
    command ─▶ Session | OutOfDialog ─▶ Delivery | ServerTransaction ─▶ Transmit
    timeout ─▶ Agenda ─▶ whatever was due

One call at a time, and each returns everything that it caused, in order. Octets of a peer never raise; a UsageError out of `command`
is a bug of the caller and leaves no trace of the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import assert_never

from sip.core.admission import Admission
from sip.core.capabilities import Capabilities
from sip.core.checks import check_command
from sip.core.commands import (
    AnswerRequest,
    Command,
    ExtensionCommand,
    SendAnswer,
    SendBye,
    SendCancel,
    SendInvite,
    SendOutOfDialog,
    SendProvisional,
    SendReinvite,
    SendReject,
    SendRequest,
    SessionCommand,
    SessionId,
    SetSessionHeaders,
)
from sip.core.context import Connection, Context
from sip.core.dialog import lenient_to_tag
from sip.core.door import Admitted, Denied, Door
from sip.core.events import Direction, Output, Traced
from sip.core.flows import Address, CloseConnection, Flow, Listener, Target, Transmit
from sip.core.gate import Gate, Screen, Verdict, expected, is_keepalive, is_known, is_never_answered
from sip.core.incoming import Incoming, read_incoming
from sip.core.incoming_session import IncomingSession
from sip.core.machine import State, summarize
from sip.core.out_of_dialog import OutOfDialog
from sip.core.outgoing_session import OutgoingSession
from sip.core.prelude import Prelude
from sip.core.responses import send_broken, send_stateless
from sip.core.session import Session
from sip.core.transports import TRANSPORTS, default_port
from sip.core.uas import Received, UasCore
from sip.core.usage import Core, Extension
from sip.message import (
    KeepAlive,
    Message,
    MessageError,
    Request,
    Response,
    StreamParser,
    UsageError,
    Via,
    build_message,
    parse_cseq,
    parse_message,
    parse_via,
)
from sip.settings import SipSettings


class Endpoint:
    """capabilities: what its user serves and understands; those of the extensions are added.

    screen: who may ask for anything outside of dialogs; None: everybody.
    door: where clients prove who they are, wherever they come from; None: there are none.
    admission: whether an INVITE may open a session now; None: always.
    """

    def __init__(
        self,
        settings: SipSettings,
        listeners: Sequence[Listener],
        random_bytes: Callable[[int], bytes],
        capabilities: Capabilities | None = None,
        extensions: Iterable[Extension] = (),
        screen: Screen | None = None,
        door: Door | None = None,
        admission: Admission | None = None,
    ) -> None:
        extensions = tuple(extensions)
        served = capabilities = capabilities or Capabilities()
        for extension in extensions:
            capabilities |= extension.capabilities
        self._context = Context(settings, capabilities, listeners, random_bytes)
        self._core = Core(self._context, extensions)
        self._transactions = self._core.transactions
        self._deliveries = self._core.deliveries
        self._out_of_dialog = OutOfDialog(self._core)
        for method in served.outside:
            self._core.serve(method, self._out_of_dialog)
        self._by_command = {command: extension for extension in extensions for command in extension.commands}
        self._uas = UasCore(self._core, admission)
        self._prelude = Prelude()
        self._gate = None if screen is None else Gate(settings.strangers, screen)
        self._door = door
        if self._gate is not None:
            self._context.contact_policy = self._gate.contact_policy

    def set_listeners(self, listeners: Sequence[Listener]) -> None:
        """Once ports are known, or when they change; live transactions keep what they have written."""
        self._context.listeners = tuple(listeners)

    def replace_screen(self, screen: Screen) -> None:
        """Other lists from now on; dialogs that live go on. Without a screen from the start there stays none."""
        if self._gate is not None:
            self._gate.replace(screen)

    def admits(self, host: str) -> bool:
        """Whether the screen knows this address."""
        return self._gate is None or self._gate.admits(host) or self._knows(host)

    def _knows(self, host: str) -> bool:
        return any(extension.knows(host) for extension in self._core.extensions)

    def strangers(self) -> dict[str, int]:
        """What strangers got since the start: requests refused, passed over in silence, sources banned."""
        return {} if self._gate is None else self._gate.counts

    # --- from the wire --------------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        """A datagram or WebSocket message, or what was read from a stream."""
        transport = TRANSPORTS[flow.transport]
        connection = self._connection(flow) if transport.reliable else None
        if connection is None or (transport.framed and not connection.closing):
            self._receive_framed(data, flow, now)
        elif not connection.closing:
            self._receive_stream(data, connection, flow, now)
        return self._drain()

    def connection_opened(self, flow: Flow, now: float) -> list[Output]:
        self._connection(flow)
        return self._drain()

    def connection_lost(self, flow: Flow, now: float) -> list[Output]:
        """Also after CloseConnection: each connection that was opened is lost once."""
        self._context.connections.pop(flow.connection, None)
        for delivery in self._deliveries.towards(flow):
            delivery.connection_lost(flow, now)
        for extension in self._core.extensions:
            extension.connection_lost(flow, now)
        return self._drain()

    def transmit_failed(self, flow: Flow, error: str, now: float) -> list[Output]:
        """A Transmit could not be carried out: no connection, or an ICMP error for a datagram.

        Only requests care: a response that cannot be sent is asked for again, or given up by a timer.
        """
        self._context.drop(flow, "transmit_failed", error)
        for delivery in self._deliveries.towards(flow):
            delivery.transport_failed(flow, now)
        return self._drain()

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> list[Output]:
        """The answer to a Resolve; empty when the name leads nowhere. An answer that nobody waits for any more is ignored."""
        delivery = self._deliveries.queries.pop(query, None)
        if delivery is not None:
            delivery.resolved(targets, now)
        return self._drain()

    # --- from the user --------------------------------------------------------------------------------------------

    def command(self, command: Command, now: float) -> list[Output]:
        """Commands for a session that has ended are ignored: the user may not have heard of it yet.

        Raises:
            UsageError: a value that cannot be put on the wire, or a command for the wrong kind of session.
        """
        check_command(command)
        match command:
            case SendInvite():
                if command.session in self._core.sessions:
                    raise UsageError(f"session name in use: {command.session}")
                OutgoingSession(self._core, command).open(now)
            case AnswerRequest():
                asked = self._transactions.asked.get(command.transaction)
                if asked is not None:
                    transaction, responder = asked
                    responder.answer(transaction, command, now)
            case SendOutOfDialog():
                self._out_of_dialog.send(command, now)
            case ExtensionCommand():
                extension = self._by_command.get(type(command))
                if extension is None:
                    raise UsageError(f"no extension for {type(command).__name__}")
                extension.command(command, now)
            case _:
                session = self._core.sessions.get(command.session)
                if isinstance(session, Session):
                    _command_session(session, command, now)
        return self._drain()

    # --- time -----------------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> list[Output]:
        self._context.agenda.expire(now)
        return self._drain()

    def next_deadline(self) -> float | None:
        return self._context.agenda.next_deadline()

    def counts(self) -> dict[str, int]:
        """What lives; all 0 when nothing does. Transactions outlive their call by up to 64*T1."""
        return {
            "transactions": len(self._transactions),
            "dialogs": len(self._core.dialogs),
            "sessions": len(self._core.sessions),
            "timers": self._context.agenda.live(),
            "connections": len(self._context.connections),
            "resolves": len(self._deliveries.queries),
            "deliveries": len(self._deliveries),
        }

    # --- framed and streams ---------------------------------------------------------------------------------------

    def _receive_framed(self, data: bytes, flow: Flow, now: float) -> None:
        gate, door, charged = self._gate, self._door, False
        if gate is None or gate.admits(flow.remote.host) or expected(data, self._core):
            pass
        elif door is not None and door.may_concern(data):
            if not self._admit(gate, door, flow, now):
                return
            charged = True
        elif not self._knows(flow.remote.host):
            if is_never_answered(data):
                gate.ignore()
                return
            if not self._charge(gate, flow, now):
                return
            charged = True
        if is_keepalive(data):
            self._context.drop(flow, "keepalive")  # RFC 5626 has no pong on UDP, and old phones send anything
        elif len(data) > self._context.settings.max_message_bytes:
            self._context.drop(flow, "too_large")
        else:
            try:
                message = parse_message(data)
            except MessageError as error:
                self._broken(error, flow, data, stranger=charged)
            else:
                self._message(message, data, flow, now, charged=charged)

    def _receive_stream(self, data: bytes, connection: Connection, flow: Flow, now: float) -> None:
        for item in connection.parser.feed(data):
            match item:
                case KeepAlive():
                    self._context.emit(Transmit(flow, b"\r\n"))  # RFC 5626 4.4.1
                case MessageError():
                    stranger = not self.admits(flow.remote.host)
                    if stranger and self._gate is not None and not self._charge(self._gate, flow, now):
                        self._close(connection)
                        return
                    self._broken(item, flow, stranger=stranger)
                    if item.fatal:
                        self._close(connection)
                        return
                case Request() | Response():
                    if not self._message(item, None, flow, now):
                        self._close(connection)
                        return
                case _:
                    assert_never(item)

    def _connection(self, flow: Flow) -> Connection:
        connection = self._context.connections.get(flow.connection)
        if connection is None:
            limit = self._context.settings.max_message_bytes
            connection = self._context.connections[flow.connection] = Connection(flow, StreamParser(limit, limit))
        return connection

    def _close(self, connection: Connection) -> None:
        connection.closing = True
        self._context.emit(CloseConnection(connection.flow))

    def _charge(self, gate: Gate, flow: Flow, now: float) -> bool:
        """Whether a stranger gets an answer."""
        verdict = gate.judge(flow.remote.host, now)
        if verdict is Verdict.BAN:
            self._context.drop(flow, "stranger_banned", gate.explain_ban(flow.remote.host))
        return verdict is Verdict.REFUSE

    def _admit(self, gate: Gate, door: Door, flow: Flow, now: float) -> bool:
        """Whether the door looks at a request of somebody who may come from anywhere."""
        host = flow.remote.host
        return not gate.is_banned(host, now) and door.admits(host, self._knows(host), now)

    def _prove(self, incoming: Incoming, door: Door, now: float, *, listed: bool) -> bool:
        """Whether a request goes on, with the client that it is from; else it has been answered, and nothing of it is kept."""
        verdict = door.judge(incoming, now, listed=listed)
        match verdict:
            case Admitted(user):
                incoming.user = user
                return True
            case Denied(status, reason, headers):
                send_stateless(self._context, incoming, status, reason, headers)
                if verdict.why:
                    self._context.drop(incoming.flow, "denied", f"{incoming.request.method}: {verdict.why}", status)
                if verdict.banned and self._gate is not None:
                    ban_s = door.ban_s
                    self._gate.ban(incoming.flow.remote.host, now + ban_s, now)
                    self._context.drop(incoming.flow, "guesser_banned", f"too many wrong passwords, so silence for {ban_s:g} s")
                return False
            case _:
                assert_never(verdict)

    def _broken(self, error: MessageError, flow: Flow, data: bytes | None = None, *, stranger: bool = False) -> None:
        """Answer what shows enough of itself to be answered, drop the rest (RFC 3261 16.3, 18.3)."""
        request, status = error.partial, 0
        mark = len(self._context.out)
        if request is not None and send_broken(self._context, request, flow, error, stranger=stranger):
            status = error.status
            trace = self._traced_in(None, request, data, flow)
            self._context.out.insert(mark, trace)
            if not stranger:
                self._prelude.keep(request.method, trace.call_id, self._traces(mark))
        self._context.drop(flow, "parse_error", str(error), status)

    # --- messages -------------------------------------------------------------------------------------------------

    def _message(self, message: Message, data: bytes | None, flow: Flow, now: float, *, charged: bool = False) -> bool:
        """charged: it came from a stranger, who has paid for it. False when it came from one who could not."""
        gate, door, out = self._gate, self._door, self._context.out
        mark = len(out)
        if isinstance(message, Request):
            incoming = read_incoming(message, flow)
            listed = gate is None or gate.admits(flow.remote.host)
            repeated = message.method != "ACK" and incoming.server_key() in self._transactions.servers
            if (
                door is not None
                and door.concerns(incoming, listed=listed)
                and not (repeated and (listed or is_known(incoming, self._core)))
            ):
                if gate is not None and not listed and not charged and not self._admit(gate, door, flow, now):
                    return True
                if not self._prove(incoming, door, now, listed=listed):
                    trace = self._traced_in(None, message, data, flow)
                    out.insert(mark, trace)
                    if message.method == "INVITE":
                        self._prelude.keep(message.method, trace.call_id, self._traces(mark))
                    return True
            elif gate is not None and not (listed or self._knows(flow.remote.host) or is_known(incoming, self._core)):
                if message.method == "ACK":
                    gate.ignore()
                    return True
                if not charged and not self._charge(gate, flow, now):
                    return False
                self._uas.refuse_stranger(incoming, gate.explain(flow.remote.host))
                out.insert(mark, self._traced_in(None, message, data, flow))
                return True
            received = self._uas.receive(incoming, now)
            if received.quiet and not self._prelude.knows(incoming.call_id):
                return True
        else:
            received = self._response(message, flow, now)
        # What was received comes before what it caused, but whose it is is known only now.
        trace = self._traced_in(received.session, message, data, flow, received.repeated)
        out.insert(mark, trace)
        if received.opened is not None:
            received.opened.announce((*self._prelude.take(trace.call_id), *self._traces(mark)))
        elif received.session is None and isinstance(message, Request):
            self._prelude.keep(message.method, trace.call_id, self._traces(mark))
        return True

    def _traces(self, mark: int) -> Iterator[Traced]:
        """Those that have been put out since."""
        for output in self._context.out[mark:]:
            if isinstance(output, Traced):
                yield output

    def _response(self, response: Response, flow: Flow, now: float) -> Received:
        """Find the client transaction by branch and method (17.1.3); check that the response is for us (8.1.3.3, 18.1.2)."""
        context = self._context
        via = parse_via(response.headers.first_value("Via") or "")
        method = parse_cseq(response.headers.get("CSeq") or "").method
        transaction = self._transactions.clients.get((via.branch or "", method))
        if transaction is None or not _is_ours(via, transaction.sent_by) or len(response.headers.values("Via")) != 1:
            context.drop(flow, "stray_response", summarize(response))
            return Received()
        state = transaction.machine.state
        repeated = state is State.COMPLETED or (state is State.ACCEPTED and (lenient_to_tag(response.headers) or "") in transaction.acks)
        session = transaction.session
        transaction.receive(response, flow, now)
        return Received(session, repeated)

    def _traced_in(self, session: SessionId | None, message: Message, data: bytes | None, flow: Flow, repeated: bool = False) -> Traced:
        """data: None for a message out of a stream, whose octets are gone; they are written anew."""
        if data is None:
            try:
                data = build_message(message)
            except UsageError:
                data = b""
        return Traced(session, message.headers.get("Call-ID") or "", Direction.IN, flow, data, summarize(message), repeated)

    def _drain(self) -> list[Output]:
        out = self._context.out
        self._context.out = []
        return out


def _is_ours(via: Via, sent_by: Address) -> bool:
    port = via.port or default_port(via.transport.lower())
    return port == sent_by.port and via.host.lower() == sent_by.host.lower()


def _command_session(session: Session, command: SessionCommand, now: float) -> None:
    match command, session:
        case SetSessionHeaders(), _:
            session.headers = command.headers
        case SendBye(), _:
            session.send_bye(command, now)
        case SendReinvite(), _:
            session.send_reinvite(command, now)
        case SendRequest(), _:
            session.send_request(command, now)
        case SendCancel(), OutgoingSession():
            session.send_cancel(command, now)
        case SendProvisional(), IncomingSession():
            session.send_provisional(command, now)
        case SendAnswer(), IncomingSession():
            session.send_answer(command, now)
        case SendReject(), IncomingSession():
            session.send_reject(command, now)
        case ((SendCancel() | SendProvisional() | SendAnswer() | SendReject()), _):
            raise UsageError(f"{type(command).__name__} for the wrong kind of session")
        case _:
            assert_never(command)
