"""The UAS core: what is done with a request before anybody is asked. Match it, check it, refuse it, or hand it to whom it concerns.

The order is that of RFC 3261 8.2: transaction (17.2.3), method, Request-URI, merged requests, Require, body; then 12.2.2 for what is inside
a dialog. `receive` says which session the request belongs to, for the timeline, and whether it was a repetition. Who is concerned: the
users of its dialog (`sip.core.usage`); outside of dialogs a new session, or the one who serves the method.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.core.admission import Admission
from sip.core.capabilities import ACCEPTED_BODIES, CORE_METHODS
from sip.core.commands import SessionId
from sip.core.dialog import answered_dialog, contact_of, record_route
from sip.core.incoming import Incoming
from sip.core.incoming_session import IncomingSession
from sip.core.machine import State
from sip.core.responses import capability_headers, send_response, send_stateless, stateless_tag
from sip.core.server_invite import ServerInvite
from sip.core.tokens import BRANCH_COOKIE
from sip.core.transactions import ServerTransaction
from sip.core.usage import Core, OutsideUser, Refusal
from sip.message import Headers, ParseError, Request, parse_name_addr, parse_uri, parse_value

# Methods that IANA has registered: known, but not for us (405). All others nobody knows (501, RFC 3261 21.5.2).
_REGISTERED_METHODS = frozenset(
    (*CORE_METHODS, "INFO", "MESSAGE", "NOTIFY", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE")
)


@dataclass(frozen=True, slots=True)
class Received:
    """opened: the session that the request has opened, still to be announced to the user.

    quiet: it is worth no trace, unless something else was said under its Call-ID.
    """

    session: SessionId | None = None
    repeated: bool = False
    opened: IncomingSession | None = None
    quiet: bool = False


class UasCore:
    def __init__(self, core: Core, admission: Admission | None = None) -> None:
        self._core = core
        self._admission = admission
        self._context = core.context
        self._transactions = core.transactions
        self._inside_methods = frozenset((*CORE_METHODS, *core.context.capabilities.inside))
        self._methods = frozenset(core.context.capabilities.methods)

    def receive(self, incoming: Incoming, now: float) -> Received:
        request = incoming.request
        transaction = self._transactions.servers.get(incoming.server_key())
        if request.method == "ACK":
            return self._ack(incoming, transaction, now)
        if transaction is not None:
            transaction.receive(request, now)
            return Received(transaction.session, repeated=True)
        if request.method == "CANCEL":
            return self._cancel(incoming, now)
        if incoming.to_tag is not None:
            return self._inside(incoming, now)
        if request.method == "INVITE" and self._admission is not None and not self._admission.admits(incoming.merge_key, now):
            self._come_later(incoming)
            return Received(quiet=True)
        opened = self._outside(incoming, now)
        return Received() if opened is None else Received(opened.id, opened=opened)

    def refuse_stranger(self, incoming: Incoming, explain: str) -> None:
        """One answer, and nothing is kept (sip.core.gate). That to OPTIONS is no longer than the question: 11.2 has SHOULD."""
        context, method = self._context, incoming.request.method
        status = 481 if incoming.to_tag is not None else 403
        if method == "OPTIONS" and incoming.to_tag is None and context.settings.strangers.options == "answer":
            status = 200
        send_stateless(context, incoming, status, stranger=True)
        if status != 200:
            context.drop(incoming.flow, "stranger", f"{method}: {explain}", status)

    # --- ACK and CANCEL -------------------------------------------------------------------------------------------

    def _ack(self, incoming: Incoming, transaction: ServerTransaction | None, now: float) -> Received:
        """An ACK belongs to its refused INVITE, or to a dialog; it is never answered (13.3.1.4, 17.1.1.3, 17.2.1)."""
        context = self._context
        if transaction is not None and isinstance(transaction.machine, ServerInvite) and transaction.machine.state is not State.ACCEPTED:
            repeated = transaction.machine.state is not State.COMPLETED
            session = transaction.session
            transaction.receive(incoming.request, now)
            return Received(session, repeated)
        found = self._core.dialogs.get((incoming.call_id, incoming.to_tag or "", incoming.from_tag))
        if found is not None and found.session is not None:
            return Received(found.session.id, repeated=not found.session.ack_received(incoming, now))
        if transaction is not None:
            return Received(transaction.session, repeated=True)
        if incoming.to_tag == stateless_tag(context, incoming):
            return Received(quiet=True)
        context.drop(incoming.flow, "stray_ack", incoming.call_id)
        return Received()

    def _cancel(self, incoming: Incoming, now: float) -> Received:
        """9.2: the CANCEL has an answer of its own, with the INVITE's To tag; after a final response it changes nothing."""
        context = self._context
        invite = self._transactions.servers.get(incoming.server_key("INVITE"))
        if invite is None:
            self._refuse(incoming, Refusal(481))
            return Received()
        transaction = ServerTransaction(self._transactions, incoming, invite.to_tag, invite.session, now)
        session = self._core.sessions.get(invite.session) if invite.session is not None else None
        headers = session.headers if session is not None else ()
        send_response(context, transaction, 200, now, headers=headers)
        if session is not None and invite.open:
            session.cancel_received(invite, incoming.request, now)
        return Received(invite.session)

    # --- inside a dialog ------------------------------------------------------------------------------------------

    def _inside(self, incoming: Incoming, now: float) -> Received:
        context, request = self._context, incoming.request
        found = self._core.dialogs.get((incoming.call_id, incoming.to_tag or "", incoming.from_tag))
        user = None if found is None else found.user_of(request)
        if found is None or user is None:
            self._refuse(incoming, self._unknown_method(request.method, self._methods) or Refusal(481))
            return Received()
        dialog = found.dialog
        if len(self._transactions.servers) >= context.settings.max_transactions * (2 if request.method == "BYE" else 1):
            self._refuse(incoming, self._busy())
            return Received(user.id)
        checked = (
            self._unknown_method(request.method, self._inside_methods)
            or self._require(request)
            or self._check_target(request)
            or self._check_body(request)
        )
        if isinstance(checked, Request):
            incoming.request = checked
        transaction = ServerTransaction(self._transactions, incoming, incoming.to_tag or "", user.id, now)
        if isinstance(checked, Refusal):
            dialog.remote_cseq = max(incoming.cseq, dialog.remote_cseq or 0)  # it has been seen, if not served
            headers = (*user.headers, *checked.headers)
            send_response(context, transaction, checked.status, now, reason=checked.reason, headers=headers)
        elif dialog.remote_cseq is not None and incoming.cseq < dialog.remote_cseq:
            send_response(context, transaction, 500, now, reason="CSeq Out Of Order", headers=user.headers)  # 12.2.2; gaps are legal
        else:
            dialog.remote_cseq = incoming.cseq
            user.request_received(transaction, dialog, now)
        return Received(user.id)

    # --- outside --------------------------------------------------------------------------------------------------

    def _outside(self, incoming: Incoming, now: float) -> IncomingSession | None:
        context, request = self._context, incoming.request
        refusal = (
            self._unknown_method(request.method, self._methods)
            or self._request_uri(request)
            or self._merged(incoming)
            or self._require(request)
        )
        if refusal is not None:
            self._refuse(incoming, refusal)
        elif (server := self._core.outside.get(request.method)) is not None:
            self._serve(server, incoming, now)
        elif request.method == "OPTIONS":
            send_stateless(context, incoming, 200, headers=capability_headers(context))  # 11.2
        elif request.method == "INVITE":
            return self._invite(incoming, now)
        else:
            self._refuse(incoming, Refusal(481))  # BYE, INFO, NOTIFY, UPDATE live inside dialogs only
        return None

    def _serve(self, server: OutsideUser, incoming: Incoming, now: float) -> None:
        if len(self._transactions.servers) >= self._context.settings.max_transactions:
            self._refuse(incoming, self._busy())
            return
        server.request_received(ServerTransaction(self._transactions, incoming, self._context.tokens.token(), None, now), now)

    def _invite(self, incoming: Incoming, now: float) -> IncomingSession | None:
        context = self._context
        full = len(self._core.sessions) >= context.settings.max_sessions
        if full or len(self._transactions.servers) >= context.settings.max_transactions:
            self._refuse(incoming, self._busy())
            return None
        checked = (
            self._hops(incoming.request)
            or self._acceptable(incoming.request)
            or self._extensions(incoming.request)
            or self._check_body(incoming.request)
        )
        if isinstance(checked, Refusal):
            self._refuse(incoming, checked)
            return None
        if checked is not None:
            incoming.request = checked
        try:
            target, routes = contact_of(incoming.request.headers), record_route(incoming.request.headers)
        except ParseError as error:
            self._refuse(incoming, Refusal(400, f"Bad {error.field}"))
            return None
        if target is None and (incoming.via.branch or "").startswith(BRANCH_COOKIE):
            self._refuse(incoming, Refusal(400, "Missing Contact"))  # 8.1.1.8
            return None
        if target is None:  # RFC 2543 asked for none: it is called back where it says it is from (RFC 4475 3.4.1)
            target = parse_name_addr(incoming.request.headers.get("From") or "", "From").uri
        session_id = SessionId(f"in-{context.tokens.token(8)}")
        transaction = ServerTransaction(self._transactions, incoming, context.tokens.token(), session_id, now)
        dialog = answered_dialog(incoming, transaction.to_tag, target, routes)
        session = IncomingSession(self._core, session_id, transaction, dialog)
        session.open(now)
        return session

    # --- checks ---------------------------------------------------------------------------------------------------

    def _unknown_method(self, method: str, known: frozenset[str]) -> Refusal | None:
        if method in known:
            return None
        return Refusal(405 if method in _REGISTERED_METHODS else 501, headers=(("Allow", self._context.allow),))  # 8.2.1

    def _request_uri(self, request: Request) -> Refusal | None:
        try:
            parse_uri(request.uri)
        except ParseError as error:
            return Refusal(error.status)  # 416 for a scheme that is not ours (8.2.2.1)
        return None

    def _merged(self, incoming: Incoming) -> Refusal | None:
        """The same request by two ways: one of them is served (8.2.2.2)."""
        return Refusal(482) if incoming.merge_key in self._transactions.merged else None

    def _require(self, request: Request) -> Refusal | None:
        """8.2.2.3; Proxy-Require is not for a UAS."""
        if "Require" not in request.headers:
            return None
        unknown = [tag for tag in request.headers.values("Require") if tag.lower() not in self._context.capabilities.option_tags]
        return Refusal(420, headers=(("Unsupported", ", ".join(unknown)),)) if unknown else None

    def _hops(self, request: Request) -> Refusal | None:
        """A back-to-back user agent stops loops like a proxy does (RFC 7332 4)."""
        return Refusal(483) if (request.headers.get("Max-Forwards") or "70").strip("0 ") == "" else None

    def _acceptable(self, request: Request) -> Refusal | None:
        """An INVITE that takes no session description can have no session (20.1, RFC 4475 3.3.15)."""
        types = [value.partition(";")[0].strip().lower() for value in request.headers.values("Accept")]
        return Refusal(406) if types and not any(one in ("application/sdp", "application/*", "*/*") for one in types) else None

    def _extensions(self, request: Request) -> Refusal | None:
        for extension in self._core.extensions:
            refusal = extension.refuse_invite(request)
            if refusal is not None:
                return refusal
        return None

    def _check_target(self, request: Request) -> Refusal | None:
        if request.method not in ("INVITE", "UPDATE"):
            return None
        try:
            contact_of(request.headers)
        except ParseError:
            return Refusal(400, "Bad Contact")
        return None

    def _check_body(self, request: Request) -> Refusal | Request | None:
        """Bodies of INVITE that we cannot read: 415, or without them when they are optional (8.2.3, 20.11).

        Returns None when there is nothing to do; a Request when it is to be served in its place.
        """
        if request.method != "INVITE" or not request.body:
            return None
        content_type = request.headers.get("Content-Type")
        if content_type is None:
            return Refusal(400, "Missing Content-Type")  # 20.15
        media_type = content_type.partition(";")[0].strip().lower()
        encoding = (request.headers.get("Content-Encoding") or "identity").strip().lower()
        if (media_type == "application/sdp" or media_type.startswith("multipart/")) and encoding == "identity":
            return None
        if _is_optional(request.headers.get("Content-Disposition")):
            kept = [(name, value) for name, value in request.headers if not name.lower().startswith("content-")]
            return Request(request.method, request.uri, Headers(kept))
        return Refusal(415, headers=(("Accept", ACCEPTED_BODIES), ("Accept-Encoding", "identity")))

    def _busy(self) -> Refusal:
        return Refusal(503, headers=(("Retry-After", str(self._context.settings.retry_after_s)),))

    def _come_later(self, incoming: Incoming) -> None:
        """The refusal of an overloaded server (21.5.4). Not all shall come back in the same second, and copies get the same octets.

        Cheap above all: who has decided keeps count, and nobody is told of each.
        """
        least = self._context.settings.retry_after_s
        later = least + int(stateless_tag(self._context, incoming), 16) % (least + 1)
        send_stateless(self._context, incoming, 503, headers=(("Retry-After", str(later)),), quiet=True)

    def _refuse(self, incoming: Incoming, refusal: Refusal) -> None:
        send_stateless(self._context, incoming, refusal.status, refusal.reason, refusal.headers)
        self._context.drop(incoming.flow, "refused", f"{incoming.request.method} {incoming.call_id}", refusal.status)


def _is_optional(disposition: str | None) -> bool:
    """Content-Disposition with handling=optional."""
    if disposition is None:
        return False
    try:
        _, params = parse_value(disposition, "Content-Disposition")
    except ParseError:
        return False
    return (params.get("handling") or "").lower() == "optional"
