"""One dialog: its identifiers, its sequence numbers, its route, and the requests that are built from them.

Source: RFC 3261 12.1 (creation), 12.2.1.1 (requests), 13.2.2.4 (a 2xx recomputes the route set).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sip.core.flows import Flow
from sip.core.incoming import DialogKey, Incoming
from sip.core.routing import host_of, parse_next_hop
from sip.message import Headers, NameAddr, ParseError, Request, Response, Uri, parse_cseq, parse_name_addr, parse_uri


@dataclass(slots=True)
class Dialog:
    """local, remote: the whole value of From and To in our requests, tags included.

    observed: the flow that the peer's last target-refreshing message came by, for the NAT policy.
    initiator: we sent the INVITE that made it, so we own the Call-ID (14.1).
    """

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    local_cseq: int
    remote_cseq: int | None
    route_set: list[str]
    remote_target: str
    observed: Flow
    initiator: bool
    contact_user: str | None = None
    secure: bool = False

    @property
    def key(self) -> DialogKey:
        return (self.call_id, self.local_tag, self.remote_tag)

    def next_cseq(self) -> int:
        self.local_cseq += 1
        return self.local_cseq

    def request(self, method: str, body: bytes = b"", content_type: str = "", cseq: int | None = None) -> Request:
        """The next request in this dialog, without Via and Contact. An ACK names the CSeq of its INVITE."""
        if cseq is None:
            cseq = self.next_cseq()
        uri, routes = self._route()
        items = [("Route", route) for route in routes]
        items += [
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        if body and content_type:
            items.append(("Content-Type", content_type))
        return Request(method, uri, Headers(items), body)

    def next_hop(self) -> Uri | None:
        """Where requests go: the first Route, or the remote target (8.1.2). None when there is no usable URI."""
        if self.route_set:
            return parse_next_hop(parse_name_addr(self.route_set[0], "Route").uri)
        return parse_next_hop(self.remote_target)

    def hosts(self) -> Iterator[str]:
        """Where the peer says it is: in its Contact, and in its route."""
        target = parse_next_hop(self.remote_target)
        if target is not None:
            yield host_of(target)
        for route in self.route_set:
            hop = parse_next_hop(parse_name_addr(route, "Route").uri)
            if hop is not None:
                yield host_of(hop)

    def refresh(self, contact: str | None, observed: Flow) -> None:
        """The Contact of a 2xx, or of a re-INVITE or UPDATE that was accepted: changes the target only (12.2)."""
        self.observed = observed
        if contact is not None:
            self.remote_target = contact

    def _route(self) -> tuple[str, list[str]]:
        """Request-URI and Route fields. A first Route without `;lr` is a strict router of RFC 2543 (12.2.1.1)."""
        routes = self.route_set
        if not routes:
            return self.remote_target, []
        first = parse_name_addr(routes[0], "Route").uri
        uri = parse_uri(first)
        if uri.lr:
            return self.remote_target, routes
        return str(uri.for_request_line()), [*routes[1:], f"<{self.remote_target}>"]


def record_route(headers: Headers) -> list[str]:
    """The Record-Route values in the order of the message. Raises ParseError: each must hold a URI that can be sent to."""
    values = headers.values("Record-Route")
    for value in values:
        uri = parse_uri(parse_name_addr(value, "Record-Route").uri)
        if not uri.host:
            raise ParseError("not a SIP URI", field="Record-Route")
    return values


def contact_of(headers: Headers) -> str | None:
    """The URI of the Contact; of several the first that is a SIP URI (8.1.1.8 has one). Raises ParseError when there is none such."""
    first: ParseError | None = None
    for value in headers.values("Contact"):
        try:
            return _sip_contact(value)
        except ParseError as error:
            first = first or error
    if first is not None:
        raise first
    return None


def _sip_contact(value: str) -> str:
    text = parse_name_addr(value, "Contact").uri
    uri = parse_uri(text)
    if not uri.host:
        raise ParseError("not a SIP URI", field="Contact")
    return str(uri.for_request_line()) if uri.headers or "method" in uri.params else text


def lenient_contact(headers: Headers) -> str | None:
    """As `contact_of`, for a response: a callee cannot be told of its error, so a bad Contact counts as none."""
    try:
        return contact_of(headers)
    except ParseError:
        return None


def lenient_to_tag(headers: Headers) -> str | None:
    """The To tag of a response; None without one, or in a To that does not parse."""
    try:
        return parse_name_addr(headers.get("To") or "", "To").tag
    except ParseError:
        return None


def lenient_record_route(headers: Headers) -> list[str]:
    try:
        return record_route(headers)
    except ParseError:
        return []


def answered_dialog(incoming: Incoming, local_tag: str, remote_target: str, routes: list[str]) -> Dialog:
    """The UAS's dialog (12.1.1): Record-Route in order."""
    headers = incoming.request.headers
    to = parse_name_addr(headers.get("To") or "", "To")
    called = parse_next_hop(incoming.request.uri)
    return Dialog(
        call_id=incoming.call_id,
        local_tag=local_tag,
        remote_tag=incoming.from_tag,
        local=str(NameAddr(to.display, to.uri, {**to.params, "tag": local_tag})),
        remote=headers.get("From") or "",
        local_cseq=0,
        remote_cseq=incoming.cseq,
        route_set=routes,
        remote_target=remote_target,
        observed=incoming.flow,
        initiator=False,
        contact_user=called.user if called is not None else None,
        secure=called is not None and called.scheme == "sips",
    )


def calling_dialog(invite: Request, response: Response, local_tag: str, remote_tag: str, observed: Flow) -> Dialog:
    """The UAC's dialog (12.1.2): Record-Route reversed. A response without a usable Contact leaves the Request-URI as target."""
    headers = invite.headers
    caller = parse_next_hop(parse_name_addr(headers.get("From") or "", "From").uri)
    target = parse_next_hop(invite.uri)
    return Dialog(
        call_id=headers.get("Call-ID") or "",
        local_tag=local_tag,
        remote_tag=remote_tag,
        local=headers.get("From") or "",
        remote=response.headers.get("To") or headers.get("To") or "",
        local_cseq=parse_cseq(headers.get("CSeq") or "").number,
        remote_cseq=None,
        route_set=lenient_record_route(response.headers)[::-1],
        remote_target=lenient_contact(response.headers) or invite.uri,
        observed=observed,
        initiator=True,
        contact_user=caller.user if caller is not None else None,
        secure=target is not None and target.scheme == "sips",
    )
