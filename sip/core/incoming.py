"""A request that came in, with the fields read that everybody needs, and the keys that it is matched by.

Source: RFC 3261 8.2.2.2 (merged requests), 17.2.3 (matching), 18.2.1 and RFC 3581 4 (`received`, `rport`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.core.flows import Address, Flow
from sip.core.tokens import BRANCH_COOKIE
from sip.core.transports import default_port
from sip.message import ParseError, Request, Via, parse_cseq, parse_name_addr, parse_via

ServerKey = tuple[str, ...]
DialogKey = tuple[str, str, str]  # Call-ID, local tag, remote tag
MergeKey = tuple[str, str, int, str]

# via-params: response-port = "rport" [ EQUAL 1*DIGIT ] (RFC 3581 3), here without a value
_EMPTY_RPORT_RE = re.compile(r"(?i);[ \t]*+rport[ \t]*+(?:=[ \t]*+)?+(?=;|$)")

# What looks like a tag in a From or To that does not parse.
_TAG_RE = re.compile(r"(?i);[ \t]*+tag[ \t]*+=[ \t]*+([^;,\s>]++)")


@dataclass(slots=True)
class Incoming:
    """user: the client that has proved to have sent it (`sip.core.door`); empty for all others."""

    request: Request
    flow: Flow
    via: Via
    from_tag: str
    to_tag: str | None
    call_id: str
    cseq: int
    user: str = ""
    _key: ServerKey | None = None

    @property
    def merge_key(self) -> MergeKey:
        return (self.call_id, self.from_tag, self.cseq, self.request.method)

    def server_key(self, method: str | None = None) -> ServerKey:
        """What this request's server transaction is found by; ACK finds its INVITE's, CANCEL asks with method="INVITE"."""
        if method is not None:
            return self._key_of(method)
        if self._key is None:
            self._key = self._key_of("INVITE" if self.request.method == "ACK" else self.request.method)
        return self._key

    def _key_of(self, method: str) -> ServerKey:
        via = self.via
        branch = via.branch
        if branch is not None and branch.startswith(BRANCH_COOKIE):
            port = via.port or default_port(via.transport.lower())
            # The Call-ID is not part of the RFC's match, but always the same where that holds. It keeps apart two phones behind
            # NATs that share a private address and count their branches from one.
            return (branch, via.host.lower(), str(port), method, self.call_id)
        # A peer of RFC 2543. The To tag stays out: the INVITE lacks the one that its ACK and its repetitions may have.
        return ("", self.request.uri, self.from_tag, self.call_id, str(self.cseq), str(via), method)

    def echoed(self) -> list[tuple[str, str]]:
        """Via, From, Call-ID and CSeq as every response repeats them (8.2.6.2); To is for who knows the tag."""
        headers = self.request.headers
        via, *others = headers.values("Via")
        top = stamped(self.via, self.flow, via)
        items = [("Via", top), *(("Via", other) for other in others)]
        items += [("From", headers.get("From") or ""), ("Call-ID", self.call_id), ("CSeq", headers.get("CSeq") or "")]
        return items

    def reply_flow(self, force_rport: bool) -> Flow:
        """Where responses go (18.2.2, RFC 3581 4): the connection, or for UDP the address that the Via leads to."""
        flow = self.flow
        if flow.reliable:
            return flow
        via = self.via
        if "rport" in via.params or force_rport:
            return flow
        host = flow.remote.host  # what `received` says, be it written or equal to the sent-by
        return Flow(flow.transport, flow.local, Address(host, via.port or default_port(flow.transport)))

    def reopened_flow(self) -> Flow:
        """Where a response goes whose connection is gone: a new one to `received` and the sent-by's port (18.2.2)."""
        flow = self.flow
        port = self.via.port or default_port(flow.transport)
        return Flow(flow.transport, Address(flow.local.host, 0), Address(flow.remote.host, port))


def read_incoming(request: Request, flow: Flow) -> Incoming:
    """Raises ParseError; never for a request that the parser passed, but well for the `partial` of a broken one."""
    headers = request.headers
    via = parse_via(headers.first_value("Via") or "")
    from_tag = parse_name_addr(headers.get("From") or "", "From").tag
    to_tag = parse_name_addr(headers.get("To") or "", "To").tag
    cseq = parse_cseq(headers.get("CSeq") or "")
    call_id = headers.get("Call-ID") or ""
    return Incoming(request, flow, via, from_tag or "", to_tag, call_id, cseq.number)


def read_partly(request: Request, flow: Flow) -> Incoming | None:
    """What can be read of a broken request, so that its 400 finds back (8.2.6); None when its topmost Via cannot be."""
    headers = request.headers

    def tag(name: str) -> str | None:
        try:
            return parse_name_addr(headers.get(name) or "", name).tag
        except ParseError:
            found = _TAG_RE.search(headers.get(name) or "")
            return found[1] if found is not None else None

    try:
        via = parse_via(headers.first_value("Via") or "")
    except ParseError:
        return None
    try:
        number = parse_cseq(headers.get("CSeq") or "").number
    except ParseError:
        number = 0
    return Incoming(request, flow, via, tag("From") or "", tag("To"), headers.get("Call-ID") or "", number)


def stamped(via: Via, flow: Flow, text: str) -> str:
    """The topmost Via with `received` where the source differs from the sent-by or rport was asked for, and `rport` filled in.

    The text is only added to: what the peer wrote stays as it is (docs/sip-rules.md 31).
    """
    params = via.params
    host = flow.remote.host
    if params.get("received") is not None or params.get("rport"):
        # A peer that fills them in itself would steer our responses: write the field anew (RFC 3261 18.2.1).
        kept = {name: value for name, value in params.items() if name not in ("received", "rport")}
        if "rport" in params:
            kept["rport"] = None
        cleaned = Via(via.transport, via.host, via.port, kept)
        return stamped(cleaned, flow, str(cleaned))
    if "rport" in params:
        return _EMPTY_RPORT_RE.sub(f";rport={flow.remote.port}", text, count=1) + f";received={host}"
    return text if via.host.lower() == host.lower() else f"{text};received={host}"
