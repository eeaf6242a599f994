"""What comes out of the SIP core: events for its user, and what is told of the wire.

Every session that began ends with exactly one InviteFailed or SessionEnded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sip.core.bindings import Binding, Change
from sip.core.commands import ExchangeId, SessionId, TransactionId
from sip.core.flows import CloseConnection, Flow, Resolve, Transmit
from sip.message import Request, Response


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


@dataclass(frozen=True, slots=True)
class InviteReceived:
    """A new call. 100 is on its way already. The user answers with SendProvisional/SendAnswer/SendReject.

    traces: what has been on the wire for it so far, the oldest first: this INVITE, our 100, and before them INVITEs of the same Call-ID
        that were refused without a session. Each has come out as a Traced of its own as well.
    replaces: the session that it is to take over, if it names one (RFC 3891).
    client: who has proved to be calling (`sip.core.door`); empty for a call of a trunk.
    """

    session: SessionId
    request: Request
    flow: Flow
    traces: tuple[Traced, ...] = ()
    replaces: SessionId | None = None
    client: str = ""


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
    """The end of a UAC session that was never answered (as far as its user is concerned). Nothing follows.

    tried: to how many places its INVITE went, of the first and `SendInvite.places`.
    """

    session: SessionId
    cause: FailureCause
    response: Response | None
    detail: str = ""
    tried: int = 1


class EndCause(enum.Enum):
    BYE_RECEIVED = "bye_received"  # 200 has gone out
    BYE_ANSWERED = "bye_answered"  # our BYE is done: any final, 64*T1 without one, or transport failure
    REJECTED = "rejected"  # our final >= 300 to an incoming INVITE is ACKed or given up (timer H)
    ACK_TIMEOUT = "ack_timeout"  # no ACK for our 200: the endpoint's BYE is out
    EXPIRED = "expired"  # nobody refreshed the session in its time (RFC 4028 10): the endpoint's BYE is out
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


@dataclass(frozen=True, slots=True)
class OutOfDialogReceived:
    """A request outside of any dialog, of a method in `Capabilities.outside`; owes AnswerRequest. It stands in no session's timeline."""

    transaction: TransactionId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class OutOfDialogAnswered:
    """The end of a SendOutOfDialog: its final response, or why there is none (one of both is None).

    cseq: the number that it was last sent under; credentials take another one than was asked for.
    flow: the way that it went last; None when there was none.
    """

    exchange: ExchangeId
    method: str
    response: Response | None
    failure: FailureCause | None
    cseq: int
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A binding came, was refreshed, or went (`sip.core.registrar`)."""

    binding: Binding
    change: Change


@dataclass(frozen=True, slots=True)
class ExtensionEvent:
    """Base of the events that an extension brings along. session: the session, or the usage of its own, that it happened in."""

    session: SessionId


SessionEvent = (
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
    | ExtensionEvent
)
Event = SessionEvent | OutOfDialogReceived | OutOfDialogAnswered | RegistrationChanged
Output = Transmit | CloseConnection | Resolve | Traced | Dropped | Event
