"""What every usage of a dialog does: build its requests, send them, answer those of the peer.

`Session` is the usage that INVITE makes; those of extensions are built on the same class (docs/sip-core.md).
Source: RFC 3261 12.1.1, 12.2.1, 13.2.2.4; RFC 5057.
"""

from __future__ import annotations

from sip.core.commands import HeaderList, SessionId
from sip.core.delivery import Delivery, DeliveryUser
from sip.core.dialog import Dialog
from sip.core.digest import DigestClient
from sip.core.exchange import Exchange, ExchangeUser
from sip.core.flows import Flow
from sip.core.machine import Packet
from sip.core.parts import SessionPart
from sip.core.responses import merge, send_response
from sip.core.routing import our_contact, parse_next_hop, unreachable_contact
from sip.core.transactions import ServerTransaction
from sip.core.usage import Core
from sip.message import Request

TARGET_REFRESHES = frozenset(("INVITE", "UPDATE", "NOTIFY", "SUBSCRIBE", "REFER"))  # requests that carry a Contact


class DialogUsage:
    """id: in the timeline. headers: the user's, in every message of this usage.

    digest: its memory of challenges; None without credentials.
    dialog: the one that it lives in, once there is one.
    added: parts of extensions, which may add to its messages.
    keeps_connection: its peer is a phone that nobody can open a connection to, so that what it has opened is used (RFC 5626 5.3).
    """

    keeps_connection = False

    added: tuple[SessionPart, ...] = ()

    def __init__(self, core: Core, name: SessionId, headers: HeaderList = (), digest: DigestClient | None = None) -> None:
        self.core = core
        self.context = core.context
        self.id = name
        self.headers = headers
        self.digest = digest
        self.dialog: Dialog | None = None

    def exchange(self, user: ExchangeUser, dialog: Dialog, request: Request, now: float) -> Exchange:
        """Send a request that is no INVITE; `user` hears of its outcome."""
        exchange = Exchange(user, request.method, dialog, self.digest)
        self.prepare(exchange, dialog, request).start(now)
        return exchange

    def build(self, dialog: Dialog, method: str, headers: HeaderList = (), body: bytes = b"", content_type: str = "") -> Request:
        """The next request in the dialog, with what the user and the parts add."""
        for part in self.added:
            headers = (*headers, *part.request_headers(method))
        request = dialog.request(method, body, content_type)
        items = [*request.headers, ("User-Agent", self.context.settings.user_agent)]
        if method in ("INVITE", "UPDATE"):
            items += self.context.abilities
        if self.digest is not None:
            items += self.digest.headers(method, request.uri, body)
        request.headers = merge(items, (*self.headers, *headers))
        return request

    def prepare(self, user: DeliveryUser, dialog: Dialog, request: Request) -> Delivery:
        """A delivery that has not started yet: it may fail at once, and some want to know it by then."""
        only, fallback = self._way(dialog)
        contact = (dialog.contact_user, dialog.secure) if request.method in TARGET_REFRESHES else None
        return Delivery(
            self.core.deliveries,
            user,
            request,
            dialog.next_hop(),
            self.id,
            contact=contact,
            preferred=dialog.observed.local,
            only=only,
            fallback=fallback,
            ack_headers=self.headers,
            peer=dialog.observed,
        )

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        reason: str = "",
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str = "",
        core_headers: HeaderList = (),
    ) -> Packet:
        """A response of this usage. Those that make or keep a dialog carry Contact, Record-Route and what we can do."""
        method = transaction.request.method
        core = list(core_headers)
        if status > 100:
            for part in self.added:
                headers = (*headers, *part.response_headers(transaction, status))
        if 100 < status < 300 and method in TARGET_REFRESHES:
            user, secure = (None, False) if self.dialog is None else (self.dialog.contact_user, self.dialog.secure)
            contact = our_contact(self.context.listeners, transaction.incoming.flow, user, secure)
            if contact is not None:
                core.append(("Contact", contact))
        if method == "INVITE" and 100 < status < 300:
            core += [("Record-Route", value) for value in transaction.request.headers.get_all("Record-Route")]
            core += self.context.abilities
        packet = send_response(
            self.context,
            transaction,
            status,
            now,
            reason=reason,
            headers=(*self.headers, *headers) if status > 100 else (),
            body=body,
            content_type=content_type,
            core_headers=tuple(core),
        )
        if status > 100:
            for part in self.added:
                part.response_sent(transaction, packet, status, now)
        return packet

    def _way(self, dialog: Dialog) -> tuple[Flow | None, Flow | None]:
        """(the flow to use instead of the next hop, the flow to use when that fails), see sip.core.routing."""
        if not self.context.settings.nat_fix_private_contact or dialog.route_set:
            return None, None
        observed = dialog.observed
        if self.keeps_connection and observed.connection and self.context.is_open(observed):
            return observed, None
        policy = self.context.contact_policy(observed.remote.host)
        if policy == "contact":
            return None, None
        if observed.connection and not self.context.is_open(observed):
            return None, None
        target = parse_next_hop(dialog.remote_target)
        if policy == "observed" or (target is not None and unreachable_contact(target, observed)):
            return observed, None
        return None, observed
