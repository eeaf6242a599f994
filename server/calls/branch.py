"""One dialled leg: a noun of a Dial, its INVITE, its stream, and how it ended.

```
  OPENING --Opened--> CALLING --18x--> RINGING --2xx--> ANSWERED --BYE/bye()--> OVER
     |                   |                |                |
     +---fail------------+----final/cancel+----------------+---> OVER
```
OVER is the logical end: `ended` is set, once, and the CDR is out. The SIP session and the stream may need longer
(`gone` tells): a CANCEL waits for its 487, a BYE for its 200, the stream for Closed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from media import engine
from media.sdp.description import extract_sdp
from media.sdp.offer_answer import SdpRefused
from rcml.verbs.nouns import CallNoun
from server.calls.destination import Placed
from server.calls.effects import Kind
from server.calls.legs.callbacks import LegStatus
from server.calls.legs.media import CodecPreference, LegMedia
from server.calls.outbox import Outbox, sip_reason
from server.calls.outcome import STATUS_OF_SILENCE, status_of_response
from server.calls.records import By, CallEnded, CallRecord, Cause
from sip.core import commands, events
from sip.message import Response

RINGING = (180, 183)  # not 181, 182: forwarded, queued (behaviour.md 2.6); nor 199, which ends an early dialog
MAX_FORKS = 16  # early dialogs of one INVITE whose descriptions are kept
ELSEWHERE = sip_reason(200, "Call completed elsewhere")  # RFC 3326, behaviour.md decision 4


class BranchState(enum.Enum):
    OPENING = "opening"
    CALLING = "calling"
    RINGING = "ringing"
    ANSWERED = "answered"
    OVER = "over"


class Branch:
    def __init__(self, outbox: Outbox, noun: CallNoun, placed: Placed, preference: Callable[[], CodecPreference], hops_left: int) -> None:
        """preference: the codecs to offer first, asked for with each INVITE. hops_left: Max-Forwards of the INVITE."""
        self._outbox = outbox
        self._hops_left = hops_left
        self.sid = outbox.sid("CA")
        self.state = BranchState.OPENING
        self.ended: CallEnded | None = None
        self.failure_reason: str | None = None
        self.created_at = outbox.now
        self.invited_at: float | None = None
        self.rang_at: float | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.last_response: Response | None = None  # final to the INVITE, then the answer to our BYE
        self.sip_call_id: str | None = None
        self.canceled_by_us = False
        self.early_sdp = False
        self._early: dict[str, bytes] = {}  # the last description of each early dialog, by its To tag
        self.media = LegMedia(outbox, self.sid, placed.destinations[0].host, placed.srtp)
        self.session = commands.SessionId(self.sid)
        self.session_open = False
        self.bye_pending = False
        self.from_user, self.to_user = placed.from_user, placed.to_user
        self._destinations = placed.destinations
        self._status = LegStatus(outbox, noun, self.sid, placed.from_user, placed.to_user, placed.destinations[0].from_display)
        self._attempt = 0
        self._preference = preference

    @property
    def gone(self) -> bool:
        """Nothing of this leg lives any more."""
        return self.state is BranchState.OVER and not self.session_open and not self.media.live

    @property
    def ringing_or_calling(self) -> bool:
        return self.state in (BranchState.OPENING, BranchState.CALLING, BranchState.RINGING)

    @property
    def rang(self) -> bool:
        return self.rang_at is not None

    @property
    def duration_s(self) -> int:
        """Seconds of talk, truncated (behaviour.md 3.2)."""
        if self.answered_at is None:
            return 0
        return int((self.ended_at if self.ended_at is not None else self._outbox.now) - self.answered_at + 1e-6)

    @property
    def ring_duration_s(self) -> int:
        """Seconds from the INVITE to the answer, the final failure or the cancel, truncated."""
        if self.invited_at is None:
            return 0
        until = self.answered_at if self.answered_at is not None else self.ended_at if self.ended_at is not None else self._outbox.now
        return int(until - self.invited_at + 1e-6)

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.media.open()

    def media_opened(self, event: engine.Opened) -> None:
        if not self.media.opened(event) or self.state is not BranchState.OPENING:
            return
        self.invited_at = self._outbox.now
        self._invite(self._offer())

    def _offer(self) -> bytes:
        preference = self._preference()
        return self.media.offer_answer.offer(preference.codecs, only=preference.only, far_hz=preference.far_hz)

    def _invite(self, offer: bytes) -> None:
        to = self._destinations[self._attempt]
        self.state = BranchState.CALLING
        self.session_open = True
        self._outbox.emit(
            commands.SendInvite(
                session=self.session,
                request_uri=to.request_uri,
                from_uri=to.from_uri,
                from_display=to.from_display,
                body=offer,
                next_hop=to.next_hop,
                headers=(*to.headers, ("Max-Forwards", str(self._hops_left))),
                session_headers=self._outbox.session_headers(self.sid),
                credentials=to.credentials,
            )
        )
        self._outbox.note(Kind.STATE, {"status": "initiated", "to": to.request_uri}, self.sid)
        self._status.tell("initiated")

    def cancel(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        """Give up before the answer: CANCEL goes out as soon as it may."""
        if not self.ringing_or_calling:
            return
        self.canceled_by_us = True
        if self.session_open:
            self._outbox.emit(commands.SendCancel(self.session, reason))
        self._over(CallEnded(cause, by, 0, text))

    def bye(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        """Hang up an answered leg."""
        if self.state is not BranchState.ANSWERED:
            return
        if self.session_open:
            self.bye_pending = True
            self._outbox.emit(commands.SendBye(self.session, reason))
        self._over(CallEnded(cause, by, 200, text))

    def end(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        """CANCEL or BYE, as the state demands."""
        self.cancel(cause, by, reason=reason, text=text)
        self.bye(cause, by, reason=reason, text=text)

    # --- SIP events -----------------------------------------------------------------------------------------------

    def progressed(self, event: events.InviteProgressed) -> bool:
        """True when the leg brings early media that could be passed on now."""
        if not self.ringing_or_calling:
            return False
        self.sip_call_id = event.response.headers.get("Call-ID")
        if event.response.status in RINGING:
            self.state = BranchState.RINGING
            if self.rang_at is None:
                self.rang_at = self._outbox.now
                self._outbox.note(Kind.STATE, {"status": "ringing"}, self.sid)
                self._status.tell("ringing")
        return self._take_answer(event.response, event.early_dialog, early=True) is None and self.early_sdp

    def answered(self, event: events.InviteAnswered) -> bool:
        """The callee took the call (the ACK is out). False: its 200 was of no use, the leg is being hung up."""
        if not self.ringing_or_calling:
            return False  # our CANCEL crossed it: the SIP core has turned that into a BYE
        self._final(event.response)
        self.answered_at = self._outbox.now
        self.state = BranchState.ANSWERED
        self._outbox.note(Kind.STATE, {"status": "answered"}, self.sid)
        self._status.tell("answered")
        refused = self._take_answer(event.response, event.dialog, early=False)
        if refused is not None:
            self.reject_answer(refused)
        return refused is None

    def reject_answer(self, why: str) -> None:
        """The callee took the call, but cannot be connected: hang it up."""
        self.answered_at = None  # nobody was connected
        self.failure_reason = why
        self.bye_pending = True
        self._outbox.emit(commands.SendBye(self.session, sip_reason(488, why)))
        self._over(CallEnded(Cause.FAILED, By.SERVER, 200, why))

    def _take_answer(self, response: Response, dialog: str | None, *, early: bool) -> str | None:
        """Hand the session description to the engine; returns what is wrong with it, None when all is well.

        dialog: its To tag. A 2xx without a description stands for what its own dialog said before, not another fork's.
        """
        try:
            body = extract_sdp(response.body, response.headers.get("Content-Type") or "")
            if body is None and early:
                return None
            if body is None:
                body = next(reversed(self._early.values()), None) if dialog is None else self._early.get(dialog)
            if body is None:
                return "Callee answered without a session description"
            agreed = self.media.offer_answer.receive_answer(body)
        except SdpRefused as refused:
            return None if early else f"Callee's session description: {refused.reason}"
        if early:
            self.early_sdp = True
            self._early.pop(dialog or "", None)
            if len(self._early) < MAX_FORKS:
                self._early[dialog or ""] = body
        self.media.connect(agreed)
        return None

    def failed(self, event: events.InviteFailed) -> None:
        """The session is over and was never answered."""
        self.session_open = False
        if event.response is not None and not self.canceled_by_us:
            self._final(event.response)
        if not self.ringing_or_calling:
            return
        if self._try_next(event):
            return
        response = event.response
        match event.cause:
            case events.FailureCause.RESPONSE if response is not None:
                cause = status_of_response(response.status)
                text = f"{response.status} {response.reason}".strip()
                self._fail(cause, By.CALLEE, response.status, text)
            case events.FailureCause.NO_RESPONSE:
                self._fail(STATUS_OF_SILENCE, By.TIMER, 0, "No response from the called party")
            case events.FailureCause.UNRESOLVED:
                self._fail(Cause.FAILED, By.SERVER, 0, f"No address found for the destination {event.detail}".strip())
            case events.FailureCause.CANCELED:
                self._fail(Cause.CANCELED, By.SERVER, 487, "Canceled")
            case _:
                self._fail(Cause.FAILED, By.SERVER, 0, f"Could not be sent: {event.detail}".rstrip(": "))

    def _try_next(self, event: events.InviteFailed) -> bool:
        """The fallback proxy, when this one is out of reach (RFC 3263 4.3: 503, silence, transport)."""
        unreachable = event.cause is not events.FailureCause.RESPONSE or (event.response is not None and event.response.status == 503)
        if not unreachable or self._attempt + 1 >= len(self._destinations):
            return False
        self._attempt += 1
        self.early_sdp = False  # of another dialog
        self._early.clear()
        self.media.begin_anew()
        self._outbox.note(Kind.STATE, {"status": "fallback", "to": self._destinations[self._attempt].request_uri}, self.sid)
        self.session = commands.SessionId(f"{self.sid}/{self._attempt + 1}")
        self._invite(self._offer())
        return True

    def session_ended(self, event: events.SessionEnded) -> None:
        """An answered session is over, by whom `event.cause` says. Our own BYE's answer arrives here too."""
        self.session_open = False
        self.bye_pending = False
        if event.response is not None and event.response.status < 300:
            self._final(event.response)  # a BYE refused says nothing of how the call went (behaviour.md 3.1, 3.2)
        match event.cause:
            case events.EndCause.BYE_RECEIVED:
                self._over(CallEnded(Cause.COMPLETED, By.CALLEE, 200))
            case events.EndCause.DIALOG_GONE | events.EndCause.ACK_TIMEOUT:
                self._over(CallEnded(Cause.COMPLETED, By.CALLEE, 481, "The called party's dialog is gone"))
            case _:
                self._over(CallEnded(Cause.COMPLETED, By.SERVER, 200))

    def _final(self, response: Response) -> None:
        self.last_response = response
        self.sip_call_id = response.headers.get("Call-ID") or self.sip_call_id

    def media_failed(self, text: str) -> None:
        """The engine cannot serve this leg."""
        if self.state is BranchState.OVER:
            return
        self.failure_reason = "Media failure"
        reason = sip_reason(503, "Media failure")
        self.end(Cause.FAILED, By.SERVER, reason=reason, text=text or "Media failure")

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, cause: Cause, by: By, status: int, text: str) -> None:
        if cause is Cause.FAILED:
            self.failure_reason = text
        self._over(CallEnded(cause, by, status, text))

    def _over(self, ended: CallEnded) -> None:
        if self.ended is not None:
            return
        self.state = BranchState.OVER
        self.ended = ended
        self.ended_at = self._outbox.now
        self.media.close()
        duration = self.duration_s
        self._status.tell("completed", duration)
        self._outbox.ended(
            CallRecord(
                sid=self.sid,
                parent_sid=self._outbox.call_sid,
                account_sid=self._outbox.policy.account_sid,
                direction="outbound-dial",
                from_user=self.from_user,
                to_user=self.to_user,
                created_at=self.created_at,
                answered_at=self.answered_at,
                ended_at=self.ended_at,
                duration_s=duration,
                ring_duration_s=self.ring_duration_s,
                ended=ended,
                sip_call_id=self.sip_call_id or "",
            )
        )
