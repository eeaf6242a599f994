"""The transaction layer: a machine at work, the address it talks to, and who is told.

The machines decide; this file keeps, sends, times and tells. Everything that a machine wants sent goes out by
`Context.transmit`, everything that it passes up goes to the one user that started it. A request that somebody above has to
answer is known by its transaction: whoever owns it is found by that alone.
"""

from __future__ import annotations

from typing import Protocol, assert_never

from sip.core.client_invite import ClientInvite, build_cancel
from sip.core.client_request import ClientRequest
from sip.core.commands import AnswerRequest, HeaderList, SessionId, TransactionId
from sip.core.context import Context
from sip.core.flows import Address, Flow
from sip.core.incoming import Incoming, MergeKey, ServerKey
from sip.core.machine import Action, Cause, GaveUp, Packet, PassUp, Send, State, pack
from sip.core.server_invite import ServerInvite
from sip.core.server_request import ServerRequest
from sip.core.tally import Tally
from sip.message import Request, Response


class Transactions:
    """What lives.

    clients: by (branch, method). merged: by what tells a request that came by two ways (8.2.2.2).
    to_tags: of the requests inside dialogs that are served: what comes again is known by it.
    asked: those that wait for the user's AnswerRequest.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.merged: dict[MergeKey, ServerTransaction] = {}
        self.to_tags = Tally()
        self.asked: dict[TransactionId, tuple[ServerTransaction, Responder]] = {}

    def __len__(self) -> int:
        return len(self.clients) + len(self.servers)


class ClientUser(Protocol):
    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None: ...

    def transaction_failed(self, transaction: ClientTransaction, cause: Cause, now: float) -> None: ...

    def transaction_gone(self, transaction: ClientTransaction) -> None:
        """Nothing will come any more, not even a repetition."""


class Acknowledgement(Protocol):
    """The ACK for one 2xx: sent again as often as that comes again."""

    def send_ack_again(self, now: float) -> None: ...

    def stop(self) -> bool: ...

    def finish(self) -> None: ...


class ClientTransaction:
    """One request at one target, under one branch.

    acks: the ACKs for its 2xx by To tag, each to be sent again when its 2xx comes again, whatever has become of the session.
    """

    __slots__ = (
        "_context",
        "_key",
        "_layer",
        "_user",
        "acks",
        "armed_at",
        "flow",
        "machine",
        "request",
        "response_flow",
        "sent_by",
        "session",
    )

    def __init__(
        self,
        layer: Transactions,
        request: Request,
        packet: Packet,
        branch: str,
        sent_by: Address,
        flow: Flow,
        user: ClientUser,
        session: SessionId | None,
        ack_headers: HeaderList = (),
    ) -> None:
        self._layer = layer
        self._context = context = layer.context
        self._user = user
        self._key = (branch, request.method)
        self.acks: dict[str, Acknowledgement] = {}
        self.armed_at: float | None = None
        self.request = request
        self.flow = flow
        self.response_flow = flow  # where the latest response came from
        self.sent_by = sent_by
        self.session = session
        self.machine: ClientInvite | ClientRequest = (
            ClientInvite(request, packet, flow.reliable, context.times, ack_headers)
            if request.method == "INVITE"
            else ClientRequest(packet, flow.reliable, context.times)
        )

    @property
    def branch(self) -> str:
        return self._key[0]

    @property
    def unanswered(self) -> bool:
        return self.machine.state in (State.CALLING, State.TRYING)

    @property
    def provisional(self) -> bool:
        return self.machine.state is State.PROCEEDING

    def start(self, now: float) -> None:
        self._layer.clients[self._key] = self
        self._carry_out(self.machine.start(now), now)

    def receive(self, response: Response, flow: Flow, now: float) -> None:
        self.response_flow = flow
        self._carry_out(self.machine.receive(response, now), now)

    def send_again(self, flow: Flow) -> None:
        """The connection that had the request is gone, and no answer came by it: once more by a new one."""
        self.flow = flow
        self._context.transmit(self.machine.packet, flow, self.session, repeated=True)

    def transport_failed(self, now: float) -> None:
        self._carry_out(self.machine.transport_failed(), now)

    def cancel(self, headers: HeaderList, now: float) -> None:
        """Of an INVITE that has had a provisional response: the CANCEL has the same branch and goes to the same place (9.1)."""
        request = build_cancel(self.request, headers)
        ClientTransaction(self._layer, request, pack(request), self.branch, self.sent_by, self.flow, _NOBODY, self.session).start(now)

    def abandon(self, now: float) -> None:
        self.machine.abandon()
        self._carry_out([], now)

    def deadline(self) -> float | None:
        return self.machine.deadline()

    def expire(self, now: float) -> None:
        self._carry_out(self.machine.expire(now), now)

    def _carry_out(self, actions: list[Action], now: float) -> None:
        # A terminated transaction leaves the table first: what its user does next must not meet it there.
        gone = self.machine.state is State.TERMINATED and self._layer.clients.pop(self._key, None) is not None
        if not gone:
            self._context.agenda.arm(self)
        for action in actions:
            match action:
                case Send(packet, repeated):
                    self._context.transmit(packet, self.flow, self.session, repeated)
                case PassUp(message):
                    if isinstance(message, Response):
                        self._user.transaction_answered(self, message, now)
                case GaveUp(cause):
                    self._user.transaction_failed(self, cause, now)
                case _:
                    assert_never(action)
        if gone:
            self._user.transaction_gone(self)


class ServerUser(Protocol):
    """Who is told about the ACK for a refusal."""

    def refusal_acked(self, transaction: ServerTransaction, now: float) -> None:
        """The ACK came, or will not come any more."""


class Responder(Protocol):
    """Who answers a request when the user has decided: a session, another usage of a dialog, or who serves what comes outside of them."""

    def answer(self, transaction: ServerTransaction, command: AnswerRequest, now: float) -> None: ...


class ServerTransaction:
    """One request that is served.

    to_tag: our tag, in every response above 100.
    user: told about the end of a refused INVITE.
    """

    __slots__ = (
        "_asked",
        "_context",
        "_echoed",
        "_key",
        "_layer",
        "_merge_key",
        "_reply_flow",
        "armed_at",
        "id",
        "incoming",
        "machine",
        "session",
        "to_tag",
        "user",
    )

    def __init__(self, layer: Transactions, incoming: Incoming, to_tag: str, session: SessionId | None, now: float) -> None:
        self._layer = layer
        self._context = context = layer.context
        self._key: ServerKey = incoming.server_key()
        self._merge_key = incoming.merge_key if incoming.to_tag is None else None
        self._echoed = incoming.echoed()
        self._reply_flow = incoming.reply_flow(context.settings.force_rport)
        self.armed_at: float | None = None
        self.id = TransactionId(f"t{context.serial()}")
        self.incoming = incoming
        self.to_tag = to_tag
        self.session = session
        self.user: ServerUser | None = None
        self._asked = False
        reliable = incoming.flow.reliable
        self.machine: ServerInvite | ServerRequest = (
            ServerInvite(reliable, context.times) if self.request.method == "INVITE" else ServerRequest(reliable, context.times, now)
        )
        layer.servers[self._key] = self
        if self._merge_key is not None:
            layer.merged[self._merge_key] = self
        else:
            layer.to_tags.hold(to_tag)
        context.agenda.arm(self)

    @property
    def request(self) -> Request:
        return self.incoming.request

    @property
    def open(self) -> bool:
        """No final response yet."""
        return self.machine.state in (State.TRYING, State.PROCEEDING)

    @property
    def echoed(self) -> list[tuple[str, str]]:
        return self._echoed

    def ask(self, responder: Responder) -> None:
        """The user is asked for the answer; `responder` will get it."""
        self._asked = True
        self._layer.asked[self.id] = (self, responder)

    def respond(self, status: int, packet: Packet, now: float) -> None:
        self._carry_out(self.machine.respond(status, packet, now), now)

    def receive(self, request: Request, now: float) -> None:
        """The request again, or the ACK that belongs to it."""
        machine = self.machine
        self._carry_out(machine.receive(request, now) if isinstance(machine, ServerInvite) else machine.receive(), now)

    def deadline(self) -> float | None:
        return self.machine.deadline()

    def expire(self, now: float) -> None:
        self._carry_out(self.machine.expire(now), now)

    def _carry_out(self, actions: list[Action], now: float) -> None:
        context = self._context
        if self._asked and not self.open:
            self._asked = False
            del self._layer.asked[self.id]
        if self.machine.state is State.TERMINATED:
            self._forget()
        else:
            context.agenda.arm(self)
        for action in actions:
            match action:
                case Send(packet, repeated):
                    context.transmit(packet, self._flow(), self.session, repeated)
                case PassUp(_) | GaveUp(_):
                    if self.user is not None and self._refused:
                        user, self.user = self.user, None
                        user.refusal_acked(self, now)
                case _:
                    assert_never(action)

    @property
    def _refused(self) -> bool:
        return self.machine.state in (State.CONFIRMED, State.TERMINATED)

    def _flow(self) -> Flow:
        """Responses go back on the connection that brought the request while it lives (18.2.2)."""
        flow = self._reply_flow
        if flow.connection and not self._context.is_open(flow):
            return self.incoming.reopened_flow()
        return flow

    def _forget(self) -> None:
        layer = self._layer
        if layer.servers.get(self._key) is self:
            del layer.servers[self._key]
            if self._merge_key is None:
                layer.to_tags.release(self.to_tag)
        if self._merge_key is not None and layer.merged.get(self._merge_key) is self:
            del layer.merged[self._merge_key]


class _NoUser:
    """Of a CANCEL: whatever the answer, the INVITE's own final response is what counts (9.1)."""

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        pass

    def transaction_failed(self, transaction: ClientTransaction, cause: Cause, now: float) -> None:
        pass

    def transaction_gone(self, transaction: ClientTransaction) -> None:
        pass


_NOBODY = _NoUser()
