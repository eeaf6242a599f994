"""Responses, with and without a transaction.

Refusals that open no session are stateless (RFC 3261 8.2.7): the same request gets the same octets as often as it comes, a
flood of them leaves nothing behind, and no timer G makes us an amplifier for whoever forges a source address.
"""

from __future__ import annotations

import re

from sip.core.capabilities import ACCEPTED_BODIES
from sip.core.commands import HeaderList
from sip.core.context import Context
from sip.core.flows import Flow, Transmit
from sip.core.incoming import Incoming, read_partly
from sip.core.machine import Packet, pack
from sip.core.transactions import ServerTransaction
from sip.message import Headers, ParseError, Request, Response, build_message, parse_name_addr, reason_phrase

_CONTROL_RE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def merge(items: list[tuple[str, str]], extra: HeaderList) -> Headers:
    """Header fields with the user's: those of the core that it may overrule (User-Agent, Allow ...) are replaced, others are added."""
    if extra:
        overruled = {name.lower() for name, _ in extra} & {"user-agent", "server", "allow", "supported", "max-forwards"}
        if overruled:
            items = [item for item in items if item[0].lower() not in overruled]
    return Headers([*items, *extra])


def send_response(
    context: Context,
    transaction: ServerTransaction,
    status: int,
    now: float,
    *,
    reason: str = "",
    headers: HeaderList = (),
    body: bytes = b"",
    content_type: str = "",
    core_headers: HeaderList = (),
) -> Packet:
    """Build a response and let the transaction send it.

    headers: the user's; core_headers: Contact, Record-Route, Allow ... of the core.
    """
    request_headers = transaction.request.headers
    items = transaction.echoed.copy()
    items.append(("To", _to(request_headers.get("To") or "", transaction.incoming.to_tag, transaction.to_tag if status > 100 else None)))
    if status == 100 and (timestamp := request_headers.get("Timestamp")) is not None:
        items.append(("Timestamp", timestamp))  # 8.2.6.1
    items.append(("Server", context.settings.user_agent))
    items += core_headers
    if body and content_type:
        items.append(("Content-Type", content_type))
    response = Response(status, reason or reason_phrase(status), merge(items, headers), body)
    packet = pack(response)
    transaction.respond(status, packet, now)
    return packet


def send_stateless(
    context: Context,
    incoming: Incoming,
    status: int,
    reason: str = "",
    headers: HeaderList = (),
    *,
    stranger: bool = False,
    quiet: bool = False,
) -> None:
    """Answer without remembering. To a stranger we do not say what we are. quiet: no trace of it, for what comes by the thousand."""
    request = incoming.request
    items = incoming.echoed()
    items.append(("To", _to(request.headers.get("To") or "", incoming.to_tag, stateless_tag(context, incoming))))
    if not stranger:
        items.append(("Server", context.settings.user_agent))
    response = Response(status, reason or reason_phrase(status), Headers([*items, *headers]))
    flow = incoming.reply_flow(context.settings.force_rport)
    if flow.connection and not context.is_open(flow):
        flow = incoming.reopened_flow()
    if quiet:
        context.emit(Transmit(flow, build_message(response)))
    else:
        context.transmit(pack(response), flow, None)


def send_broken(context: Context, request: Request, flow: Flow, error: ParseError, *, stranger: bool = False) -> bool:
    """Tell a peer that its request is broken, by what can be read of it; False when that is too little (RFC 3261 8.2.6, 16.3).

    The five fields that a response repeats must be there. One that does not parse is repeated as it came: the peer knows what it wrote,
    and the response is for its author's eyes more than for its parser.
    """
    headers = request.headers
    fields = [(name, headers.get(name)) for name in ("From", "To", "Call-ID", "CSeq")]
    vias = headers.get_all("Via")
    if request.method == "ACK" or not vias or any(value is None for _, value in fields):
        return False
    incoming = read_partly(request, flow)
    if incoming is None:
        items = [*(("Via", via) for via in vias), *((name, value or "") for name, value in fields)]
    else:
        items = incoming.echoed()
        tag = stateless_tag(context, incoming) if _parses(headers.get("To") or "") else None
        items.append(("To", _to(headers.get("To") or "", incoming.to_tag, tag)))
        flow = incoming.reply_flow(context.settings.force_rport)
    if any(_CONTROL_RE.search(value) for _, value in items):
        return False
    if not stranger:
        items.append(("Server", context.settings.user_agent))
    reason = error.reason[:1].upper() + error.reason[1:]
    context.transmit(pack(Response(error.status, reason, Headers(items))), flow, None)
    return True


def _parses(to: str) -> bool:
    try:
        parse_name_addr(to, "To")
    except ParseError:
        return False
    return True


def stateless_tag(context: Context, incoming: Incoming) -> str:
    """The To tag of our stateless answers to this request; its ACK brings it back and is known by it."""
    return context.tokens.stateless_tag(incoming.call_id, incoming.from_tag, str(incoming.cseq), incoming.via.branch or "")


def capability_headers(context: Context) -> HeaderList:
    """What a 200 to OPTIONS tells (11.2)."""
    return (
        ("Allow", context.allow),
        ("Accept", ACCEPTED_BODIES),
        ("Accept-Encoding", "identity"),
        ("Accept-Language", "en"),
        ("Supported", context.supported),
    )


def _to(text: str, peer_sent: str | None, tag: str | None) -> str:
    return text if peer_sent is not None or tag is None else f"{text};tag={tag}"
