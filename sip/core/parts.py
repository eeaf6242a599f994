"""Parts of a session with one deadline each: what has a timer of its own is an object of its own.

    sip.core.unacked       our 2xx until its ACK           sip.core.provisional   the last 18x of an unanswered call
    sip.core.reinvite      our re-INVITEs                  sip.core.cancelling    our CANCEL
    sip.core.hops          next hops that say nothing

Each stands in the agenda by itself, so that none has to know the deadlines of the others. The session closes all of them when
it ends. Parts of extensions see the messages of the session as well: session timers and reliable provisional responses fit here.
"""

from __future__ import annotations

from sip.core.commands import HeaderList, SendAnswer, SendProvisional
from sip.core.dialog import Dialog
from sip.core.machine import Packet
from sip.core.transactions import ServerTransaction
from sip.message import Request, Response


class SessionPart:
    """`Timed`, with defaults for a part that has no deadline and minds no message.

    What follows `close` is asked of the parts of extensions only.
    """

    __slots__ = ("armed_at",)

    def __init__(self) -> None:
        self.armed_at: float | None = None

    def deadline(self) -> float | None:
        return None

    def expire(self, now: float) -> None:
        """Do what is due."""

    def close(self, now: float) -> None:
        """The session ends: no deadline from now on."""

    def request_headers(self, method: str) -> HeaderList:
        """For a request of the session that is being built, the first INVITE and BYE included; ACK and CANCEL are not asked for."""
        return ()

    def response_headers(self, transaction: ServerTransaction, status: int) -> HeaderList:
        """For a response above 100 that is being built."""
        return ()

    def response_sent(self, transaction: ServerTransaction, packet: Packet, status: int, now: float) -> None:
        """That response has gone out."""

    def holds(self, command: SendProvisional | SendAnswer) -> bool:
        """Whether this response of an unanswered session has to wait. It is asked again after `SessionHost.release`."""
        return False

    def provisional_received(self, response: Response, dialog: Dialog | None, now: float) -> bool:
        """A 1xx above 100 to our INVITE, with its early dialog if there is one. True: it is a copy, and the session shall not see it."""
        return False

    def request_received(self, transaction: ServerTransaction, now: float) -> bool:
        """The first INVITE, to look at; or a request in the dialog. True: the part has answered it, and the session shall not see it."""
        return False

    def response_received(self, method: str, response: Response, now: float) -> None:
        """To a request of the session: a 1xx above 100 or a 2xx to INVITE, any final to others."""

    def amended(self, request: Request, refusal: Response) -> Request | None:
        """A request of the session that was refused, as it may be accepted (422, RFC 4028 6): it is sent again under the next CSeq number.

        None: nothing can be made of the refusal here.
        """
        return None
