"""Who calls whom: read from an INVITE's headers (behaviour.md 1.2), or as somebody asked for."""

from __future__ import annotations

from dataclasses import dataclass

from server.calls.history import NO_HISTORY, History, diverted_by, history_of
from server.calls.identity import NO_PRIVACY, Privacy, asserted_by, privacy_of
from server.calls.trail import OWN_PREFIX
from sip.errors import ParseError
from sip.message import Request
from sip.message.fields import parse_name_addr
from sip.message.uri import parse_uri, subscriber


@dataclass(frozen=True, slots=True)
class Party:
    """Of a call: user parts with escapes undone; the names None where nobody gave them.

    sip_headers: of the INVITE that came, without those that are for us.
    to_user: what was dialled, and dialled_by: the field that said so. otherwise: of the Request-URI, when that may be meant instead
    (`server.use_to`), else empty. privacy: what may not be shown to others than the application. asserted: the URI that the network
    vouches for, "" for none; of worth only when the network is trusted. sip_call_id: when the application is told.
    history: through whose hands the call has come.
    """

    from_user: str
    to_user: str
    caller_name: str | None = None
    forwarded_from: str | None = None
    sip_headers: tuple[tuple[str, str], ...] = ()
    otherwise: str = ""
    dialled_by: str = "To"
    privacy: Privacy = NO_PRIVACY
    asserted: str = ""
    sip_call_id: str | None = None
    history: History = NO_HISTORY

    @classmethod
    def of_invite(cls, invite: Request, use_to: bool) -> Party:
        """use_to: the dialled string is the To header's user part, else the Request-URI's."""
        from_user, display = user_and_name(invite.headers.get("From"))
        to_user, _ = user_and_name(invite.headers.get("To"))
        request_user = _user(invite.uri)
        by_to = bool(to_user) and (use_to or not request_user)
        dialled = to_user if by_to else request_user
        forwarder = diverted_by(invite.headers)
        forwarded = _user(forwarder) if forwarder else ""
        otherwise = request_user if use_to and request_user != dialled else ""
        by = "To" if by_to else "Request-URI"
        privacy, asserted = privacy_of(invite.headers), asserted_by(invite.headers)
        name = None if privacy.name else display
        headers = tuple(header for header in invite.headers if not header[0].lower().startswith(OWN_PREFIX))
        return cls(
            from_user, dialled, name, forwarded or None, headers, otherwise, by, privacy, asserted, history=history_of(invite.headers)
        )


@dataclass(frozen=True, slots=True)
class Referral:
    """What the application is told of a transfer, in all requests from then on: the user parts of Refer-To, Contact and To of the REFER."""

    target: str
    transferor: str
    transferee: str


def user_and_name(value: str | None) -> tuple[str, str | None]:
    """Of a name-addr: the user part as people know it, "" without one that can be read, and the display name."""
    if not value:
        return "", None
    try:
        field = parse_name_addr(value)
    except ParseError:
        return "", None
    return _user(field.uri), field.display or None


def _user(text: str) -> str:
    try:
        uri = parse_uri(text)
    except ParseError:
        return ""
    return subscriber(uri)
