"""Transactions at work: a machine, the address it talks to, and who is told.

The machines decide; this file looks up, sends, times and tells. Everything that a machine wants sent goes out by
`Context.transmit`, everything that it passes up goes to the one user that started it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sip.core.client_invite import ClientInvite, build_cancel
from sip.core.client_request import ClientRequest
from sip.core.commands import HeaderList, SessionId, TransactionId
from sip.core.context import Context
from sip.core.flows import Address, Flow
from sip.core.incoming import Incoming, ServerKey
from sip.core.machine import Action, Cause, GaveUp, Packet, PassUp, Send, State, pack
from sip.core.server_invite import ServerInvite
from sip.core.server_request import ServerRequest
from sip.message import Request, Response

if TYPE_CHECKING:
    from sip.core.delivery import Delivery


class ClientUser(Protocol):
    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None: ...

    def transaction_failed(self, transaction: ClientTransaction, cause: Cause, now: float) -> None: ...

    def transaction_gone(self, transaction: ClientTransaction) -> None:
        """Nothing will come any more, not even a repetition."""


class ClientTransaction:
    """One request at one target, under one branch.

    acks: the ACKs for its 2xx by To tag, each to be sent again when its 2xx comes again, whatever has become of the session.
    """

    __slots__ = ("_context", "_key", "_user", "acks", "armed_at", "flow", "machine", "request", "response_flow", "sent_by", "session")

    def __init__(
        self,
        context: Context,
        request: Request,
        packet: Packet,
        branch: str,
        sent_by: Address,
        flow: Flow,
        user: ClientUser,
        session: SessionId | None,
        ack_headers: HeaderList = (),
    ) -> None:
        self._context = context
        self._user = user
        self._key = (branch, request.method)
        self.acks: dict[str, Delivery] = {}
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
        self._context.clients[self._key] = self
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

    def abandon(self, now: float) -> None:
        self.machine.abandon()
        self._carry_out([], now)

    def deadline(self) -> float | None:
        return self.machine.deadline()

    def expire(self, now: float) -> None:
        self._carry_out(self.machine.expire(now), now)

    def _carry_out(self, actions: list[Action], now: float) -> None:
        # A terminated transaction leaves the table first: what its user does next must not meet it there.
        gone = self.machine.state is State.TERMINATED and self._context.clients.pop(self._key, None) is not None
        if not gone:
            self._context.agenda.arm(self)
        for action in actions:
            match action:
                case Send(packet, repeated):
                    self._context.transmit(packet, self.flow, self.session, repeated)
                case PassUp(Response() as response):
                    self._user.transaction_answered(self, response, now)
                case GaveUp(cause):
                    self._user.transaction_failed(self, cause, now)
                case PassUp():
                    pass  # server transactions pass these up
        if gone:
            self._user.transaction_gone(self)


class ServerUser(Protocol):
    """Who is told about the ACK for a refusal."""

    def refusal_acked(self, transaction: ServerTransaction, now: float) -> None:
        """The ACK came, or will not come any more."""


class ServerTransaction:
    """One request that is served.

    to_tag: our tag, in every response above 100.
    user: told about the end of a refused INVITE.
    """

    __slots__ = (
        "_context",
        "_echoed",
        "_key",
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

    def __init__(self, context: Context, incoming: Incoming, to_tag: str, session: SessionId | None, now: float) -> None:
        self._context = context
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
        reliable = incoming.flow.reliable
        self.machine: ServerInvite | ServerRequest = (
            ServerInvite(reliable, context.times) if self.request.method == "INVITE" else ServerRequest(reliable, context.times, now)
        )
        context.servers[self._key] = self
        if self._merge_key is not None:
            context.merged[self._merge_key] = self
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
        if self.machine.state is State.TERMINATED:
            self._forget()
        else:
            context.agenda.arm(self)
        for action in actions:
            match action:
                case Send(packet, repeated):
                    context.transmit(packet, self._flow(), self.session, repeated)
                case PassUp(_) | GaveUp(_) if self.user is not None and self._refused:
                    user, self.user = self.user, None
                    user.refusal_acked(self, now)

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
        context = self._context
        if context.servers.get(self._key) is self:
            del context.servers[self._key]
        if self._merge_key is not None and context.merged.get(self._merge_key) is self:
            del context.merged[self._merge_key]


class _NoUser:
    """Of a CANCEL: whatever the answer, the INVITE's own final response is what counts (9.1)."""

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        pass

    def transaction_failed(self, transaction: ClientTransaction, cause: Cause, now: float) -> None:
        pass

    def transaction_gone(self, transaction: ClientTransaction) -> None:
        pass


def send_cancel(context: Context, invite: ClientTransaction, headers: HeaderList, now: float) -> None:
    """Cancel an INVITE that has had a provisional response: same branch, same place (9.1)."""
    request = build_cancel(invite.request, headers)
    branch = invite.branch
    ClientTransaction(context, request, pack(request), branch, invite.sent_by, invite.flow, _NoUser(), invite.session).start(now)
