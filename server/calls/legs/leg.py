"""One leg: a SIP session and its stream, whoever called whom. What it is, how long it lived, how it ended, its one record.

```
  inbound:   RINGING --200--> ANSWERING --ACK--> ANSWERED
  outbound:  OPENING --INVITE--> CALLING --18x--> RINGING --2xx--> ANSWERED
  from anywhere: --final, CANCEL, BYE, failure--> OVER
```
OVER is the logical end: `ended` is set, once, and the record is out. The SIP session and the stream may need longer (`gone`
tells): a CANCEL waits for its 487, a BYE for its 200, the stream for Closed.

How a leg opens, and what its peer is told until the answer, is its `opening`: `legs.inbound` or `legs.outbound`. After the answer
there is no difference: any leg can run a script, be dialled, change its bridge, and outlive the leg that brought it (`rehome`).
"""

from __future__ import annotations

import enum
from typing import Protocol

from media.engine import Codec
from media.sdp.codecs import is_relayed
from server.calls.effects import Kind
from server.calls.identity import NO_PRIVACY
from server.calls.legs.callbacks import LegCallbacks, LegFacts
from server.calls.legs.media import CodecPreference, LegMedia, MediaState
from server.calls.outbox import Outbox
from server.calls.outcome import inbound_status
from server.calls.records import By, CallEnded, CallRecord, Cause
from sip.core import commands, events
from sip.message import Request, Response

MAX_FORWARDS = 70  # RFC 3261 8.1.1.6
MAX_BREADTH = 60  # RFC 5393 5.3.3.1


class Direction(enum.Enum):
    """Values as the application, the records and REST are told."""

    INBOUND = "inbound"
    DIALLED = "outbound-dial"
    ORIGINATED = "outbound-api"


class LegState(enum.Enum):
    OPENING = "opening"
    CALLING = "calling"
    RINGING = "ringing"
    ANSWERING = "answering"
    ANSWERED = "answered"
    OVER = "over"


class Opening:
    """What depends on who called whom, until the answer: `legs.inbound`, `legs.outbound`.

    The one here is that of a leg of which nothing lives any more: the real one would hold the leg, and be held by it.

    late_offer: the INVITE that came brought no offer: ours goes out in the 200 and is answered by the ACK.
    hops_left: Max-Forwards for the legs that this one leads to.
    breadth: Max-Breadth (RFC 5393 5.3.3) for all legs together that this one leads to at a time; None: nobody has said one.
    phone: the name of the client's phone that the peer is (`server.calls.phones`), "" for none.
    """

    late_offer = False
    hops_left = 0
    breadth: int | None = None
    phone = ""

    def offered_codecs(self) -> tuple[Codec, ...]:
        """What the peer offers and nobody has answered yet."""
        return ()

    def early_media(self, prefer: tuple[Codec, ...]) -> bool:
        """Let the unanswered peer hear us. False when that cannot be."""
        return False

    def prepare_answer(self, prefer: tuple[Codec, ...]) -> None:
        """Connect the media before the answer goes out, so that a bridge stands when the peer hears of it."""

    def answer(self, prefer: tuple[Codec, ...]) -> None:
        """Take the call, if it is ours to take."""

    def renegotiated(self, offer: Request) -> None:
        """An offer of the peer was answered before the call was (UPDATE, PRACK): the 2xx adds nothing to that (RFC 6337 2.2)."""

    def give_up(self, status: int, phrase: str, headers: commands.HeaderList, reason: str | None) -> None:
        """End it unanswered: by a final response, or by CANCEL."""


class LegBridge(Protocol):
    """What a leg knows of the bridge that it is in (`server.calls.bridge`)."""

    @property
    def talking(self) -> bool:
        """Sound passes, between two who have answered."""

    def heard_by(self, leg: Leg) -> bool:
        """What the other one says gets to this leg, as far as that one may speak at all."""

    def peer_of(self, leg: Leg) -> Leg | None:
        """The other one."""

    def renegotiated(self, leg: Leg) -> None:
        """What was agreed with the peer of this leg is another thing now."""

    def lost(self) -> None:
        """The engine is gone, and the bridge with it."""


class Leg:
    """sid: also the name of its stream. parent_sid: of the call that dialled it, "" for the others."""

    opening: Opening

    def __init__(
        self,
        outbox: Outbox,
        sid: str,
        direction: Direction,
        session: commands.SessionId,
        media: LegMedia,
        *,
        from_user: str,
        to_user: str,
        parent_sid: str = "",
        callbacks: LegCallbacks | None = None,
    ) -> None:
        self.outbox = outbox
        self.sid = sid
        self.direction = direction
        self.session = session
        self.media = media
        self.from_user, self.to_user = from_user, to_user
        self.parent_sid = parent_sid
        self._callbacks = callbacks
        self.state = LegState.RINGING if direction is Direction.INBOUND else LegState.OPENING
        self.session_open = direction is Direction.INBOUND
        self.privacy = NO_PRIVACY  # of whom it was called for
        self.trail: tuple[str, ...] = ()  # the numbers that led to it, see `server.calls.trail`
        self.bye_pending = False
        self.bridge: LegBridge | None = None
        self.bridges = 0  # that were named after it
        self.created_at = outbox.now
        self.invited_at: float | None = outbox.now if direction is Direction.INBOUND else None
        self.rang_at: float | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended: CallEnded | None = None
        self.failure_reason: str | None = None
        self.last_response: Response | None = None  # final to our INVITE, then the answer to our BYE
        self.sip_call_id: str | None = None

    # --- what is so -----------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> bool:
        return self.state in (LegState.OPENING, LegState.CALLING, LegState.RINGING)

    @property
    def answered(self) -> bool:
        """And not over."""
        return self.state in (LegState.ANSWERING, LegState.ANSWERED)

    @property
    def over(self) -> bool:
        return self.state is LegState.OVER

    @property
    def gone(self) -> bool:
        """Nothing of this leg lives any more."""
        return self.over and not self.session_open and not self.media.live

    @property
    def status(self) -> str:
        """CallStatus, as the application is told."""
        if self.ended is not None:
            return self.ended.cause.value
        return "ringing" if self.unanswered else "in-progress"

    @property
    def awaits_answer(self) -> bool:
        """Our 200 carried the offer, and nothing can be heard before its ACK."""
        return self.state is LegState.ANSWERING and self.opening.late_offer

    @property
    def media_connected(self) -> bool:
        return self.media.connected and self.media.state is MediaState.OPEN

    @property
    def peer(self) -> Leg | None:
        """The other leg of its bridge."""
        return self.bridge.peer_of(self) if self.bridge is not None else None

    @property
    def duration_s(self) -> int:
        """Whole seconds, truncated (behaviour.md 3.2): of talk; of an inbound leg from its INVITE on."""
        since = self.created_at if self.direction is Direction.INBOUND else self.answered_at
        return 0 if since is None else _whole(self._until - since)

    @property
    def ring_duration_s(self) -> int:
        """Whole seconds from the INVITE to the answer, the final failure or the cancel, truncated."""
        if self.invited_at is None:
            return 0
        return _whole((self._until if self.answered_at is None else self.answered_at) - self.invited_at)

    @property
    def _until(self) -> float:
        return self.outbox.now if self.ended_at is None else self.ended_at

    # --- codecs ---------------------------------------------------------------------------------------------------

    def preference(self, *, relay: bool) -> CodecPreference:
        """What to offer to the other side: what was agreed here, or what the peer offers.

        relay: whether codecs that can only pass are welcome, so that the peer need hear nothing but the other side.
        """
        agreed = self.media.offer_answer.agreed
        if agreed is not None and agreed.relayed:
            return CodecPreference(agreed.voices[:1], only=True)
        if agreed is not None:
            return CodecPreference(agreed.voices)
        return CodecPreference(tuple(codec for codec in self.opening.offered_codecs() if relay or not is_relayed(codec)))

    def can_take(self, codec: Codec) -> bool:
        """Whether this voice codec was agreed on here, or could be in our answer."""
        agreed = self.media.offer_answer.agreed
        voices = agreed.voices if agreed is not None else self.opening.offered_codecs()
        return any((own.name, own.clock_rate_hz, own.channels) == (codec.name, codec.clock_rate_hz, codec.channels) for own in voices)

    # --- media ----------------------------------------------------------------------------------------------------

    def fill_silence(self) -> None:
        """After every input: whoever is connected gets packets, also when there is nothing to hear (behaviour.md 10.2)."""
        inbound = self.direction is Direction.INBOUND
        connected = self.media_connected and not self.over and (self.answered or inbound)
        self.media.fill(connected and not (self.bridge is not None and self.bridge.heard_by(self)))

    # --- until the answer -----------------------------------------------------------------------------------------

    def invited(self, to: str) -> None:
        """Our INVITE has gone out, to the URI `to`."""
        self.state = LegState.CALLING
        self.session_open = True
        self.outbox.note(Kind.STATE, {"status": "initiated", "to": to}, self.sid)
        self._tell("initiated")

    def ringing(self) -> None:
        """The peer's phone rings; told once."""
        self.state = LegState.RINGING
        if self.rang_at is None:
            self.rang_at = self.outbox.now
            self.outbox.note(Kind.STATE, {"status": "ringing"}, self.sid)
            self._tell("ringing")

    def taken(self, *, acknowledged: bool) -> None:
        """It is answered, by us or by the peer. acknowledged: False as long as the ACK for our 200 is missing."""
        self.state = LegState.ANSWERED if acknowledged else LegState.ANSWERING
        self.answered_at = self.outbox.now
        status = "in-progress" if self.direction is Direction.INBOUND else "answered"
        self.outbox.note(Kind.STATE, {"status": status}, self.sid)
        self._tell("answered")

    def early_media(self, prefer: tuple[Codec, ...] = ()) -> bool:
        return self.opening.early_media(prefer)

    def prepare_answer(self, prefer: tuple[Codec, ...]) -> None:
        self.opening.prepare_answer(prefer)

    def answer(self, prefer: tuple[Codec, ...] = ()) -> None:
        self.opening.answer(prefer)

    # --- the end --------------------------------------------------------------------------------------------------

    def give_up(
        self, ended: CallEnded, *, status: int = 0, phrase: str = "", headers: commands.HeaderList = (), reason: str | None = None
    ) -> None:
        """Before the answer: an inbound leg gets `status`, an outbound one CANCEL with `reason`."""
        if self.unanswered:
            self.opening.give_up(status, phrase, headers, reason)
            self.finish(ended)

    def bye(self, ended: CallEnded, *, reason: str | None = None) -> None:
        """After the answer."""
        if self.answered:
            if self.session_open:
                self.bye_pending = True
                self.outbox.emit(commands.SendBye(self.session, reason))
            self.finish(ended)

    def end(
        self,
        by: By,
        text: str,
        *,
        code: int = 200,
        cause: Cause = Cause.COMPLETED,
        phrase: str = "",
        headers: commands.HeaderList = (),
        reason: str | None = None,
    ) -> None:
        """End it as its state demands: BYE, our final (`code`, `phrase`, `headers`) to an unanswered caller, CANCEL to whom we call.

        cause: of an answered leg, or of one that we call. reason: value of a Reason header, None for none.
        """
        if self.answered:
            status = code if cause is Cause.FAILED else 200  # what the INVITE got, however the call was ended later
            self.bye(CallEnded(cause, by, status, text), reason=reason)
        elif self.direction is Direction.INBOUND:
            self.give_up(CallEnded(inbound_status(code), by, code, text), status=code, phrase=phrase, headers=headers, reason=reason)
        else:
            given_up = Cause.CANCELED if cause is Cause.COMPLETED else cause
            self.give_up(CallEnded(given_up, by, 0, text), reason=reason)

    def session_ended(self, event: events.SessionEnded) -> CallEnded:
        """The session is over, by whom `event.cause` says; our own BYE's answer arrives here too. Returns what that means for the leg."""
        self.session_open = self.bye_pending = False
        if event.response is not None and event.response.status < 300:
            self.final(event.response)  # a BYE refused says nothing of how the call went (behaviour.md 3.1, 3.2)
        inbound = self.direction is Direction.INBOUND
        who = "caller" if inbound else "called party"
        match event.cause:
            case events.EndCause.BYE_RECEIVED:
                return CallEnded(Cause.COMPLETED, By.CALLER if inbound else By.CALLEE, 200)
            case events.EndCause.ACK_TIMEOUT if inbound:
                return CallEnded(Cause.COMPLETED, By.SERVER, 200, "The caller never acknowledged our 200")
            case events.EndCause.EXPIRED:
                return CallEnded(Cause.COMPLETED, By.TIMER, 200, f"The session with the {who} was not refreshed in its time")
            case events.EndCause.DIALOG_GONE | events.EndCause.ACK_TIMEOUT:
                text = f"The {who}'s dialog is gone"
                return CallEnded(Cause.COMPLETED, By.SERVER, 200, text) if inbound else CallEnded(Cause.COMPLETED, By.CALLEE, 481, text)
            case events.EndCause.BYE_ANSWERED | events.EndCause.REJECTED:
                return CallEnded(Cause.COMPLETED, By.SERVER, 200)

    def final(self, response: Response) -> None:
        self.last_response = response
        self.sip_call_id = response.headers.get("Call-ID") or self.sip_call_id

    def finish(self, ended: CallEnded) -> None:
        """The logical end: once."""
        if self.ended is not None:
            return
        self.state = LegState.OVER
        self.ended = ended
        self.ended_at = self.outbox.now
        self.media.close()
        self._tell("completed")
        self.outbox.ended(
            CallRecord(
                sid=self.sid,
                parent_sid=self.parent_sid,
                account_sid=self.outbox.policy.account_sid,
                direction=self.direction.value,
                from_user=self.from_user,
                to_user=self.to_user,
                created_at=self.created_at,
                answered_at=self.answered_at,
                ended_at=self.ended_at,
                duration_s=self.duration_s,
                ring_duration_s=self.ring_duration_s,
                ended=ended,
                sip_call_id=self.sip_call_id or "",
            )
        )

    def _tell(self, event: str) -> None:
        if self._callbacks is not None:
            facts = LegFacts(self.sid, self.parent_sid, self.direction.value, self.from_user, self.to_user, self.status, self.duration_s)
            self._callbacks.tell(self.outbox, facts, event)

    # --- another home ---------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Nothing of it lives any more: let go of what it is held by, so that no cycle is left for the collector to find."""
        self.opening = Opening()

    def rehome(self, outbox: Outbox) -> None:
        """Belong to another call from now on. The record keeps the parent that dialled it."""
        self.outbox = self.media.outbox = outbox


def _whole(seconds: float) -> int:
    return int(seconds + 1e-6)
