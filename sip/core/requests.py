"""A request of ours outside of any dialog, as it is before its way is known: without Via and Contact.

Source: RFC 3261 8.1.1, 19.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.core.commands import HeaderList, Place, SendInvite, SendOutOfDialog
from sip.core.context import Context
from sip.core.responses import merge
from sip.core.routing import parse_next_hop
from sip.message import Headers, NameAddr, ParseError, Request, Uri, UsageError, parse_uri


@dataclass(frozen=True, slots=True)
class NewRequest:
    """next_hop: None when the URI leads nowhere. contact: (user, secure) of our Contact, if there is to be one."""

    request: Request
    next_hop: Uri | None
    contact: tuple[str | None, bool]


def new_request(context: Context, method: str, command: SendInvite | SendOutOfDialog, core_headers: HeaderList) -> NewRequest:
    """core_headers: of the core, behind those that every request has. Raises UsageError for URIs that are none."""
    uri, route, next_hop = _way(command.request_uri, command.next_hop)
    caller = _user_uri(command.from_uri)
    callee = str(_identity(_user_uri(command.to_uri or uri)))
    tag = context.tokens.token()
    call_id, cseq, session_headers = _series(context, command)
    items = [
        *route,
        ("Max-Forwards", "70"),
        ("From", str(NameAddr(command.from_display, str(_bare(caller)), {"tag": tag}))),
        ("To", str(NameAddr(None, callee))),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        ("User-Agent", context.settings.user_agent),
        *core_headers,
    ]
    if command.body and command.content_type:
        items.append(("Content-Type", command.content_type))
    request = Request(method, uri, merge(items, (*session_headers, *command.headers)), command.body)
    return NewRequest(request, next_hop, (caller.user, uri.lower().startswith("sips:")))


def to_place(request: Request, place: Place) -> tuple[Request, Uri | None]:
    """The same request on another way: (request, next hop). From, To and Call-ID stay: it is one call."""
    uri, route, next_hop = _way(place.request_uri, place.next_hop)
    items = [(name, value) for name, value in request.headers if name != "Route"]
    return Request(request.method, uri, Headers([*route, *items]), request.body), next_hop


def _way(request_uri: str, next_hop: str | None) -> tuple[str, HeaderList, Uri | None]:
    """(Request-URI, Route, next hop): a next hop with `lr` is a preloaded route (8.1.2), another one only says where to send."""
    uri = str(_bare(_user_uri(request_uri)))
    if next_hop is None:
        return uri, (), parse_next_hop(uri)
    hop = _user_uri(next_hop)
    return uri, (("Route", f"<{hop}>"),) if hop.lr else (), parse_next_hop(str(hop))


def _series(context: Context, command: SendInvite | SendOutOfDialog) -> tuple[str, int, HeaderList]:
    """(Call-ID, CSeq number, the header fields of the session)."""
    if isinstance(command, SendInvite):
        return context.tokens.token(12), 1, command.session_headers
    return command.call_id or context.tokens.token(12), command.cseq, ()


def _bare(uri: Uri) -> Uri:
    """Without the `?header=value` part, which no message line may hold (19.1.1)."""
    return Uri(uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.params)


def _identity(uri: Uri) -> Uri:
    """As a To names somebody: without port and without what says how to get there (19.1.1, table 1)."""
    params = {name: value for name, value in uri.params.items() if name not in ("transport", "maddr", "ttl", "lr", "method")}
    return Uri(uri.scheme, uri.user, uri.password, uri.host, None, params)


def _user_uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except ParseError as error:
        raise UsageError(f"not a URI to call: {text!r} ({error.reason})") from None
