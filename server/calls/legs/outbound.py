"""How an outbound leg opens: our INVITE to one place after another, CANCEL, and what the peer says until it has answered.

A Dial's branch is one of these, and so is the leg of a call that is made without a caller.
"""

from __future__ import annotations

from collections.abc import Callable

from media.sdp.description import extract_sdp
from media.sdp.offer_answer import SdpRefused
from media.settings import SrtpPolicy
from server.calls.destination import Destination, Placed
from server.calls.effects import Kind
from server.calls.legs.callbacks import LegCallbacks
from server.calls.legs.leg import MAX_BREADTH, MAX_FORWARDS, Direction, Leg, LegState, Opening
from server.calls.legs.media import CodecPreference, LegMedia
from server.calls.names import CALL, new_sid, session_name
from server.calls.outbox import Outbox, sip_reason
from server.calls.outcome import FORBIDDEN, STATUS_OF_SILENCE, status_of_response
from server.calls.policy import MediaAddress
from server.calls.records import By, CallEnded, Cause
from server.calls.trail import header_of
from sip.core import commands, events
from sip.message import Request, Response, parse_name_addr

RINGING = (180, 183)  # not 181, 182: forwarded, queued (behaviour.md 2.6); nor 199, which ends an early dialog
MAX_FORKS = 16  # early dialogs of one INVITE whose descriptions are kept
ELSEWHERE = sip_reason(200, "Call completed elsewhere")  # RFC 3326, behaviour 0.4


def _media_address(outbox: Outbox, to: Destination) -> MediaAddress:
    places, flow = outbox.policy.media_places, to.flow
    return places.leaves_for(to.host, to.transport) if flow is None else places.came_by(flow.local.host, flow.remote.host)


class Outbound(Opening):
    """`Outbound(...).leg` is the leg; it has a sid of its own."""

    def __init__(
        self,
        outbox: Outbox,
        placed: Placed,
        preference: Callable[[], CodecPreference],
        *,
        direction: Direction = Direction.DIALLED,
        sid: str = "",
        hops_left: int = MAX_FORWARDS,
        trail: tuple[str, ...] = (),
        breadth: int = MAX_BREADTH,
        callbacks: LegCallbacks | None = None,
    ) -> None:
        """preference: the codecs to offer first, asked for with each INVITE. hops_left: its Max-Forwards, breadth: its Max-Breadth.

        trail: the numbers that led here.
        """
        first = placed.destinations[0]
        sid = sid or new_sid(outbox.policy, CALL)
        self.leg = Leg(
            outbox,
            sid,
            direction,
            session_name(sid, 1),
            LegMedia(outbox, sid, _media_address(outbox, first), placed.srtp),
            from_user=placed.from_user,
            to_user=placed.to_user,
            parent_sid=outbox.call_sid if direction is Direction.DIALLED else "",
            callbacks=callbacks,
        )
        self.leg.media.signalling_address = first.host
        self.leg.opening = self
        self.leg.privacy = placed.privacy
        self.leg.trail = trail
        self.canceled_by_us = False
        self.declined = False  # it answered, and was not accepted
        self.early_sdp = False
        self._early: dict[str, bytes] = {}  # the last description of each early dialog, by its To tag
        self._settled: set[str] = set()  # early dialogs in which an offer of the peer came after our first
        self._destinations = placed.destinations
        self._srtp = placed.srtp
        self._attempt = self._sessions = 1
        self._preference = preference
        self._max_forwards = hops_left
        self.hops_left = max(0, hops_left - 1)
        self.breadth = self._breadth = breadth

    @property
    def rang(self) -> bool:
        return self.leg.rang_at is not None

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.leg.media.open()

    def stream_opened(self) -> None:
        if self.leg.state is LegState.OPENING:
            self.leg.invited_at = self.leg.outbox.now
            self._invite()

    def _invite(self) -> None:
        leg = self.leg
        preference = self._preference()
        offer = leg.media.offer_answer.offer(preference.codecs, only=preference.only, far_hz=preference.far_hz)
        to = self._destinations[self._attempt - 1]
        self.phone = to.phone
        told = (("Max-Breadth", str(self._breadth)),) if self._breadth < MAX_BREADTH else ()  # what everybody assumes is not said
        leg.outbox.emit(
            commands.SendInvite(
                session=leg.session,
                request_uri=to.request_uri,
                from_uri=to.from_uri,
                from_display=to.from_display,
                body=offer,
                next_hop=to.next_hop,
                headers=(*to.headers, *header_of(leg.trail), ("Max-Forwards", str(self._max_forwards)), *told),
                session_headers=leg.outbox.session_headers(leg.sid),
                credentials=to.credentials,
                places=tuple(commands.Place(one.request_uri, one.next_hop, one.flow) for one in self._destinations[self._attempt :]),
                flow=to.flow,
            )
        )
        leg.invited(to.request_uri)

    def renegotiated(self, offer: Request) -> None:
        tag = parse_name_addr(offer.headers.get("From") or "").tag
        if tag is not None and len(self._settled) < MAX_FORKS:
            self._settled.add(tag)

    def give_up(self, status: int, phrase: str, headers: commands.HeaderList, reason: str | None) -> None:
        """CANCEL goes out as soon as it may."""
        self.canceled_by_us = True
        if self.leg.session_open:
            self.leg.outbox.emit(commands.SendCancel(self.leg.session, reason))

    def cancel(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        """Give up before the answer."""
        if self.leg.unanswered:
            self.leg.give_up(CallEnded(cause, by, 0, text), reason=reason)

    def end(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        """CANCEL or BYE, as the state demands."""
        self.cancel(cause, by, reason=reason, text=text)
        self.bye(cause, by, reason=reason, text=text)

    def bye(self, cause: Cause, by: By, *, reason: str | None = None, text: str = "") -> None:
        self.leg.bye(CallEnded(cause, by, 200, text), reason=reason)

    # --- events ---------------------------------------------------------------------------------------------------

    def progressed(self, event: events.InviteProgressed) -> bool:
        """True when the leg brings early media that could be passed on now."""
        leg = self.leg
        if not leg.unanswered:
            return False
        leg.sip_call_id = event.response.headers.get("Call-ID")
        if event.response.status in RINGING:
            leg.ringing()
        return self._take_answer(event.response, event.early_dialog, early=True) is None and self.early_sdp

    def answered(self, event: events.InviteAnswered) -> bool:
        """The peer took the call (the ACK is out). False: its 200 was of no use, the leg is being hung up."""
        leg = self.leg
        if not leg.unanswered:
            return False  # our CANCEL crossed it: the SIP core has turned that into a BYE
        leg.final(event.response)
        leg.taken(acknowledged=True)
        refused = self._take_answer(event.response, event.dialog, early=False)
        if refused is not None:
            self.reject_answer(refused)
        return refused is None

    def reject_answer(self, why: str) -> None:
        """The peer took the call, but cannot be connected: hang it up."""
        leg = self.leg
        leg.answered_at = None  # nobody was connected
        leg.failure_reason = why
        leg.bye(CallEnded(Cause.FAILED, By.SERVER, 200, why), reason=sip_reason(488, why))

    def _take_answer(self, response: Response, dialog: str | None, *, early: bool) -> str | None:
        """Hand the session description to the engine; returns what is wrong with it, None when all is well.

        dialog: its To tag. A 2xx without a description stands for what its own dialog said before, not another fork's.
        """
        if dialog in self._settled:
            return None
        try:
            body = extract_sdp(response.body, response.headers.get("Content-Type") or "")
            if body is None and early:
                return None
            if body is None:
                body = next(reversed(self._early.values()), None) if dialog is None else self._early.get(dialog)
            if body is None:
                return "Callee answered without a session description"
            agreed = self.leg.media.offer_answer.receive_answer(body)
        except SdpRefused as refused:
            return None if early else f"Callee's session description: {refused.reason}"
        if early:
            self.early_sdp = True
            self._early.pop(dialog or "", None)
            if len(self._early) < MAX_FORKS:
                self._early[dialog or ""] = body
        self.leg.media.connect(agreed)
        return None

    def failed(self, event: events.InviteFailed) -> None:
        """The session is over and was never answered."""
        leg, response = self.leg, event.response
        leg.session_open = False
        if response is not None and not self.canceled_by_us:
            leg.final(response)
        if not leg.unanswered or self._try_encrypted(event) or self._try_next(event):
            return
        match event.cause:
            case events.FailureCause.RESPONSE if response is not None:
                cause, text = status_of_response(response.status), f"{response.status} {response.reason}".strip()
                self._fail(cause, By.CALLEE, response.status, text)
            case events.FailureCause.NO_RESPONSE:
                self._fail(STATUS_OF_SILENCE, By.TIMER, 0, "No response from the called party")
            case events.FailureCause.UNRESOLVED if (denied := leg.outbox.policy.sip_refusal(event.detail)) is not None:
                leg.outbox.notify(11008, "error", f"{FORBIDDEN}; {denied}")
                self._fail(Cause.FAILED, By.SERVER, 0, FORBIDDEN)
            case events.FailureCause.UNRESOLVED:
                self._fail(Cause.FAILED, By.SERVER, 0, f"No address found for the destination {event.detail}".strip())
            case events.FailureCause.CANCELED:
                self._fail(Cause.CANCELED, By.SERVER, 487, "Canceled")
            case _:
                self._fail(Cause.FAILED, By.SERVER, 0, f"Could not be sent: {event.detail}".rstrip(": "))

    def _try_next(self, event: events.InviteFailed) -> bool:
        """The fallback proxy, when this one is out of reach (RFC 3263 4.3: 503, silence, transport)."""
        self._attempt += event.tried - 1  # asked beside the first, when that said nothing
        unreachable = event.cause is not events.FailureCause.RESPONSE or (event.response is not None and event.response.status == 503)
        if not unreachable or self._attempt >= len(self._destinations):
            return False
        self._attempt += 1
        self._again("fallback", self._srtp)
        return True

    def _try_encrypted(self, event: events.InviteFailed) -> bool:
        """Once more under RTP/SAVP, when a peer refuses keys under RTP/AVP, which is how `srtp = "optional"` offers both (488)."""
        response = event.response
        if response is None or response.status != 488 or self.canceled_by_us or self.leg.media.srtp != "optional":
            return False
        self._again("encrypted", "mandatory")
        return True

    def _again(self, status: str, srtp: SrtpPolicy | None) -> None:
        """Another INVITE in a session of its own."""
        leg = self.leg
        self.early_sdp = False  # of another dialog
        self._early.clear()
        self._settled.clear()
        leg.media.begin_anew(srtp)
        leg.outbox.note(Kind.STATE, {"status": status, "to": self._destinations[self._attempt - 1].request_uri}, leg.sid)
        self._sessions += 1
        leg.session = session_name(leg.sid, self._sessions)
        self._invite()

    def media_failed(self, text: str) -> None:
        """The engine cannot serve this leg."""
        if self.leg.over:
            return
        self.leg.failure_reason = "Media failure"
        self.end(Cause.FAILED, By.SERVER, reason=sip_reason(503, "Media failure"), text=text or "Media failure")

    def session_ended(self, event: events.SessionEnded) -> None:
        self.leg.finish(self.leg.session_ended(event))

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, cause: Cause, by: By, status: int, text: str) -> None:
        if cause is Cause.FAILED:
            self.leg.failure_reason = text
        self.leg.finish(CallEnded(cause, by, status, text))
