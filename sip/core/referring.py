"""What the user of the core and the extension for REFER say to each other (`sip.core.refer`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from sip.core.commands import ExtensionCommand, HeaderList, SessionId, TransactionId
from sip.core.events import ExtensionEvent
from sip.message import ReferTo, Request, Response

ReferId = NewType("ReferId", str)


@dataclass(frozen=True, slots=True)
class SendRefer(ExtensionCommand):
    """Ask the peer of a session to call somebody else. One ReferAnswered reports, then ReferNotified until it is `over`.

    refer: the user's name for it. refer_to: a URI, its `?` part escaped.
    """

    refer: ReferId
    session: SessionId
    refer_to: str
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class NotifyRefer(ExtensionCommand):
    """Tell the peer how its REFER goes. Nothing is sent once the subscription is over, or when it never wanted to be told.

    status, reason: of the call that it asked for; an empty reason means the RFC's phrase. final: nothing follows.
    Progress that is overtaken while an earlier NOTIFY is unanswered is not told.
    """

    refer: ReferId
    status: int
    reason: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class ReferReceived(ExtensionEvent):
    """The peer asks to call somebody else; owes AnswerRequest. A 2xx is followed by a NOTIFY with 100 at once (RFC 3515 2.4.4).

    refer: its name for NotifyRefer. replaced: the session of the dialog that Refer-To names in Replaces, None when it is none of ours.
    """

    refer: ReferId
    transaction: TransactionId
    request: Request
    refer_to: ReferTo
    replaced: SessionId | None = None


@dataclass(frozen=True, slots=True)
class ReferAnswered(ExtensionEvent):
    """The answer to a SendRefer; None: there was none, or no dialog. After a refusal nothing follows."""

    refer: ReferId
    response: Response | None


@dataclass(frozen=True, slots=True)
class ReferNotified(ExtensionEvent):
    """status, reason: how the call goes that we asked for; 0: the NOTIFY did not say, or did not come. over: nothing follows."""

    refer: ReferId
    status: int
    reason: str
    over: bool
