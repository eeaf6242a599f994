"""What goes into and comes out of the SIP core: commands, outputs and events.

The core (`sip.core.endpoint.Endpoint`) is sans-I/O. Bytes, commands and `now` go in; the values of this module come
out. Everything is a frozen dataclass of a closed union, so consumers end their `match` with `assert_never`.

A *session* is one INVITE usage: from the first INVITE to the end of its dialog(s). The user names the sessions that it
opens (`SendInvite.session`); the endpoint names those that arrive (`InviteReceived.session`). A name is never used again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NewType

from sip.message import Request, Response

SessionId = NewType("SessionId", str)
TransactionId = NewType("TransactionId", str)
HeaderList = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A transport address: an IP literal (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Flow:
    """Where octets came from or go to.

    transport: `udp`, `tcp` (later `tls`, `ws`, `wss`).
    local: the listening socket for UDP; for streams the connection's own end (port 0 until it is known).
    connection: 0 for UDP, and for a stream that the shell shall open; else the shell's number of the open connection.
    """

    transport: str
    local: Address
    remote: Address
    connection: int = 0

    @property
    def reliable(self) -> bool:
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket: `bind` as opened, `advertised` as written into Via and Contact."""

    transport: str
    bind: Address
    advertised: Address


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password for digest challenges; never logged."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendInvite:
    """Open a session as UAC. The body is our offer; a 2xx is ACKed by the endpoint itself.

    request_uri: what stands in the request line, without `headers` part; its `transport` parameter is honoured.
    next_hop: URI of an outbound proxy; None sends to the Request-URI itself (RFC 3263). It is *not* added as a Route
        unless it carries `;lr`, in which case it becomes the pre-loaded Route set (RFC 3261 8.1.2).
    from_uri, from_display: of the From header; the tag is the endpoint's own. To is the Request-URI unless `to_uri` is given.
    session_headers: added to every request and response that we originate in this session (SetSessionHeaders changes them).
    headers: added to this INVITE only (and to its repetition with credentials).
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
    """INFO, NOTIFY, OPTIONS ... inside a confirmed dialog; RequestAnswered reports."""

    session: SessionId
    method: str
    body: bytes = b""
    content_type: str = ""
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """The response to a ReinviteReceived or RequestReceived. A 2xx to a re-INVITE is retransmitted until its ACK."""

    session: SessionId
    transaction: TransactionId
    status: int
    reason: str = ""
    body: bytes = b""
    content_type: str = "application/sdp"
    headers: HeaderList = ()


Command = (
    SendInvite
    | SetSessionHeaders
    | SendCancel
    | SendProvisional
    | SendAnswer
    | SendReject
    | SendBye
    | SendReinvite
    | SendRequest
    | AnswerRequest
)


# --- outputs for the shell ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these octets. A stream flow with connection 0: reuse an open connection to `flow.remote` or open one."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseConnection:
    flow: Flow


@dataclass(frozen=True, slots=True)
class Resolve:
    """Ask DNS where a SIP URI leads (RFC 3263); answered by Endpoint.resolved(query, targets, now).

    host: a domain name (IP literals are never asked for). port, transport: as in the URI, None when absent.
    """

    query: int
    host: str
    port: int | None
    transport: str | None
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try, in order of preference."""

    transport: str
    address: Address


class Direction(enum.Enum):
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Traced:
    """A message as it stood on the wire, for the timeline. `session` is None when it belongs to none (yet)."""

    session: SessionId | None
    call_id: str
    direction: Direction
    flow: Flow
    data: bytes
    summary: str  # "INVITE sip:..." or "180 Ringing (INVITE)"; "retransmission" is told by `repeated`
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something from a peer that was thrown away or refused below the session level, and why (for counters and logs)."""

    flow: Flow
    reason: str  # a constant: "parse_error", "keepalive", "stray_response", "stray_ack", "too_large", ...
    detail: str = ""
    status: int = 0  # what we answered, 0 for nothing


# --- events for the user of the core ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InviteReceived:
    """A new call. 100 is on its way already. The user answers with SendProvisional/SendAnswer/SendReject."""

    session: SessionId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The caller gave up before our final. 200 has gone to the CANCEL; the user owes SendReject(487)."""

    session: SessionId
    request: Request


@dataclass(frozen=True, slots=True)
class AnswerAcked:
    """The first ACK for our 200 to the initial INVITE (its body is the answer when the 200 carried the offer)."""

    session: SessionId
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class InviteProgressed:
    """A 1xx above 100. `early_dialog` is its To tag (None without one): each tag is its own early dialog (12.1)."""

    session: SessionId
    response: Response
    early_dialog: str | None


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """The first 2xx; its ACK has gone out. Later 2xx of other forks are ACKed and BYEd by the endpoint.

    dialog: its To tag, which may be that of an early dialog; None when it is not known.
    """

    session: SessionId
    response: Response
    dialog: str | None = None


class FailureCause(enum.Enum):
    RESPONSE = "response"  # a final >= 300 (for 401/407: credentials missing or refused)
    NO_RESPONSE = "no_response"  # Timer B
    TRANSPORT = "transport"  # could not be sent
    UNRESOLVED = "unresolved"  # no address for the host
    CANCELED = "canceled"  # after SendCancel, whatever came back


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """The end of a UAC session that was never answered (as far as its user is concerned). Nothing follows."""

    session: SessionId
    cause: FailureCause
    response: Response | None
    detail: str = ""


class EndCause(enum.Enum):
    BYE_RECEIVED = "bye_received"  # 200 has gone out
    BYE_ANSWERED = "bye_answered"  # our BYE is done: any final, 64*T1 without one, or transport failure
    REJECTED = "rejected"  # our final >= 300 to an incoming INVITE is ACKed or given up (timer H)
    ACK_TIMEOUT = "ack_timeout"  # no ACK for our 200: the endpoint's BYE is out
    DIALOG_GONE = "dialog_gone"  # an in-dialog request was answered 408 or 481, or failed in transport


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The end of an incoming session, or of an answered outgoing one. Nothing follows."""

    session: SessionId
    cause: EndCause
    request: Request | None = None  # the BYE received
    response: Response | None = None  # the answer to our BYE


@dataclass(frozen=True, slots=True)
class ReinviteReceived:
    """A new offer (or an empty body: we shall offer in the 2xx) inside the dialog; owes AnswerRequest."""

    session: SessionId
    transaction: TransactionId
    request: Request


@dataclass(frozen=True, slots=True)
class ReinviteAcked:
    session: SessionId
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """INFO, UPDATE, REFER, NOTIFY, MESSAGE inside the dialog; owes AnswerRequest. OPTIONS is answered by the endpoint."""

    session: SessionId
    transaction: TransactionId
    request: Request


@dataclass(frozen=True, slots=True)
class ReinviteAnswered:
    session: SessionId
    response: Response | None  # None: no answer


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    session: SessionId
    method: str
    response: Response | None


Event = (
    InviteReceived
    | CancelReceived
    | AnswerAcked
    | InviteProgressed
    | InviteAnswered
    | InviteFailed
    | SessionEnded
    | ReinviteReceived
    | ReinviteAcked
    | RequestReceived
    | ReinviteAnswered
    | RequestAnswered
)
Output = Transmit | CloseConnection | Resolve | Traced | Dropped | Event
