"""What the user of the SIP core (`sip.core.endpoint.Endpoint`) asks of it.

The core is sans-I/O: octets, commands and `now` go in, the values of `sip.core.events` come out. All are frozen dataclasses of closed
unions, so consumers end their `match` with `assert_never`.

A *session* is one INVITE usage: from the first INVITE to the end of its dialog(s). The user names the sessions that it
opens (`SendInvite.session`); the endpoint names those that arrive (`InviteReceived.session`). A name is never used again.
A request that came in is answered by its transaction, wherever it belongs (`AnswerRequest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from sip.core.flows import Flow

SessionId = NewType("SessionId", str)
TransactionId = NewType("TransactionId", str)
ExchangeId = NewType("ExchangeId", str)
HeaderList = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password for digest challenges; never logged."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


@dataclass(frozen=True, slots=True)
class Place:
    """Another way to the callee, see SendInvite."""

    request_uri: str
    next_hop: str | None = None
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class SendInvite:
    """Open a session as UAC. The body is our offer; a 2xx is ACKed by the endpoint itself.

    request_uri: what stands in the request line, without `headers` part; its `transport` parameter is honoured.
    next_hop: URI of an outbound proxy; None sends to the Request-URI itself (RFC 3263). It is *not* added as a Route
        unless it carries `;lr`, in which case it becomes the pre-loaded Route set (RFC 3261 8.1.2).
    from_uri, from_display: of the From header; the tag is the endpoint's own. To is the Request-URI unless `to_uri` is given.
    session_headers: added to every request and response that we originate in this session (SetSessionHeaders changes them).
    headers: added to this INVITE only (and to its repetition with credentials).
    places: asked beside the first, one after the other, as long as nobody says anything (`sip.silent_hop_s`).
    flow: the way that a phone has registered by; its INVITE, and over a connection all that follows, goes there and nowhere else.
    """

    session: SessionId
    request_uri: str
    from_uri: str
    body: bytes
    content_type: str = "application/sdp"
    from_display: str | None = None
    to_uri: str | None = None
    next_hop: str | None = None
    headers: HeaderList = ()
    session_headers: HeaderList = ()
    credentials: Credentials | None = None
    places: tuple[Place, ...] = ()
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class SetSessionHeaders:
    session: SessionId
    headers: HeaderList


@dataclass(frozen=True, slots=True)
class SendCancel:
    """Give an unanswered UAC session up. Waits for the first 1xx; a 2xx that crosses is ACKed and BYEd by the endpoint.

    The session is over for its user at once: InviteFailed(CANCELED) still reports the 487 (or the lack of it) later,
    and InviteAnswered is never reported after SendCancel.
    """

    session: SessionId
    reason: str | None = None  # value of a Reason header field, RFC 3326


@dataclass(frozen=True, slots=True)
class SendProvisional:
    """A 1xx on an incoming session. 180/183 create the early dialog. A 1xx after a final is ignored."""

    session: SessionId
    status: int
    reason: str = ""
    body: bytes = b""
    content_type: str = "application/sdp"
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """200 on an incoming INVITE; retransmitted until the ACK comes, BYE after 64*T1 without one (13.3.1.4)."""

    session: SessionId
    body: bytes
    content_type: str = "application/sdp"
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class SendReject:
    """A final >= 300 on an incoming INVITE. Empty `reason` means the RFC's phrase."""

    session: SessionId
    status: int
    reason: str = ""
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class SendBye:
    """End a confirmed session (for a UAS session before its ACK: BYE is held back until the ACK or its timeout, 15)."""

    session: SessionId
    reason: str | None = None
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class SendReinvite:
    """Offer again inside a confirmed dialog; ReinviteAnswered reports. Glare is retried by the endpoint (14.1)."""

    session: SessionId
    body: bytes
    content_type: str = "application/sdp"


@dataclass(frozen=True, slots=True)
class SendRequest:
    """INFO, NOTIFY, OPTIONS ... inside a confirmed dialog; RequestAnswered reports.

    No answer, 408 and 481 end the session (12.2.1.2), but an OPTIONS without an answer ends nothing: what it means is the user's to judge.
    """

    session: SessionId
    method: str
    body: bytes = b""
    content_type: str = ""
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """The response to a ReinviteReceived, RequestReceived or OutOfDialogReceived; whose it is, the endpoint finds out.

    A 2xx to a re-INVITE is retransmitted until its ACK. An answer to what has been answered, or given up, is ignored.
    headers: as everywhere without those of the core; a 2xx to REGISTER may list bindings in Contact (10.3).
    """

    transaction: TransactionId
    status: int
    reason: str = ""
    body: bytes = b""
    content_type: str = "application/sdp"
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class SendOutOfDialog:
    """REGISTER, OPTIONS, MESSAGE ... outside of any dialog (8.1.1); OutOfDialogAnswered reports, once.

    exchange: the user's name for it, never used again.
    request_uri, from_uri, to_uri, next_hop: as in SendInvite.
    contact_user: the user part of our Contact; None for none at all (a MESSAGE has none, RFC 3428 4).
    call_id, cseq: for a row of requests that belong together, as the REGISTERs of one binding do (10.2.4): the Call-ID of the
        row, and a number above `OutOfDialogAnswered.cseq` of the one before. None: a Call-ID of its own.
    """

    exchange: ExchangeId
    method: str
    request_uri: str
    from_uri: str
    body: bytes = b""
    content_type: str = ""
    from_display: str | None = None
    to_uri: str | None = None
    next_hop: str | None = None
    headers: HeaderList = ()
    contact_user: str | None = None
    call_id: str | None = None
    cseq: int = 1
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class ExtensionCommand:
    """Base of the commands that an extension brings along (`sip.core.usage.Extension.commands`)."""


SessionCommand = SetSessionHeaders | SendCancel | SendProvisional | SendAnswer | SendReject | SendBye | SendReinvite | SendRequest
Command = SendInvite | SessionCommand | AnswerRequest | SendOutOfDialog | ExtensionCommand
