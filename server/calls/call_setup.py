"""How a call comes to be, until its leg is there and the application is asked; and for how long that may take. Sans-I/O.

INVITE                180 at once, then the stream, then the document (behaviour.md 1.1)
INVITE that replaces  the stream, then `server.calls.transfer` does the rest (RFC 3891)
order                 the stream, then an INVITE of ours; the document when it is answered
"""

from __future__ import annotations

from dataclasses import replace

from media.sdp.offer_answer import SdpRefused
from server.calls.course import Course, Phase
from server.calls.effects import Kind
from server.calls.legs import requests
from server.calls.legs.inbound import Inbound
from server.calls.legs.leg import Direction
from server.calls.legs.outbound import Outbound
from server.calls.outbox import sip_reason
from server.calls.outcome import CODE_OF_CANCELED
from server.calls.policy import Application, Refusal
from server.calls.records import By, Cause
from server.calls.signals import TakeOver
from server.calls.verbs.running import Stage
from sip.core import commands


class CallSetup:
    def __init__(self, course: Course, stage: Stage) -> None:
        self._course = course
        self._leg = course.leg
        self._outbox = stage.outbox
        self._stage = stage
        self._replaces: commands.SessionId | None = None  # whose place the leg is to take
        self._deadline: float | None = None  # of the stream, then of the answer of a leg that we call; while it is OPENING
        self._expires_at: float | None = None  # an INVITE that came wants an answer until then
        self._ring_timeout_s = 0.0  # of a leg that we call
        self._limit_s = 0.0  # of talk with it

    # --- by an INVITE ---------------------------------------------------------------------------------------------

    def admit(self, application: Application) -> None:
        inbound, course, stage = self._inbound(), self._course, self._stage
        if application.dialled:
            course.party = replace(course.party, to_user=application.dialled, dialled_by="Request-URI")
        stage.identity = replace(stage.identity, dialled=course.party.to_user, history=course.party.history)
        if application.trusted_identity:
            stage.identity = replace(stage.identity, asserted=course.party.asserted)
        course.belong_to(application)
        if not self._receive_offer(inbound):
            return
        if inbound.expires_s is not None:
            self._expires_at = self._outbox.now + inbound.expires_s
        self._outbox.note(Kind.STATE, {"status": "ringing", "from": course.party.from_user, "to": course.party.to_user})
        inbound.ring()
        self._open_stream()
        course.tell_status("ringing")

    def refuse(self, refusal: Refusal) -> None:
        """No application will hear of this call; it keeps a timeline all the same."""
        self._outbox.emit(commands.SetSessionHeaders(self._leg.session, self._outbox.session_headers(self._leg.sid)))
        if refusal.notification:
            self._outbox.notify(refusal.notification, "error", refusal.explain)
        self._outbox.note(Kind.STATE, {"status": "refused", "reason": refusal.explain})
        headers = (("Retry-After", "10"),) if refusal.status == 503 else ()
        self._course.end_here(refusal.status, By.SERVER, refusal.explain, phrase=refusal.reason, headers=headers)

    def take_over(self, replaces: commands.SessionId) -> None:
        """By an INVITE that is to take the place of a leg: it needs a stream first."""
        self._replaces = replaces
        if self._receive_offer(self._inbound()):
            self._outbox.note(Kind.STATE, {"status": "taking-over", "from": self._course.party.from_user})
            self._open_stream()

    def _inbound(self) -> Inbound:
        assert isinstance(self._leg.opening, Inbound)
        return self._leg.opening

    def _receive_offer(self, inbound: Inbound) -> bool:
        """False: nothing of it can be served, and the call is over."""
        self._outbox.emit(commands.SetSessionHeaders(self._leg.session, self._outbox.session_headers(self._leg.sid)))
        try:
            inbound.receive_offer()
        except SdpRefused as refused:
            self._course.end_here(refused.status, By.SERVER, refused.reason, headers=requests.warning_of(refused))
            return False
        return True

    # --- by an order ----------------------------------------------------------------------------------------------

    def originate(self, application: Application, timeout_s: float, limit_s: float) -> None:
        self._course.belong_to(application)
        self._ring_timeout_s, self._limit_s = timeout_s, limit_s
        party = self._course.party
        self._outbox.note(Kind.STATE, {"status": "queued", "from": party.from_user, "to": party.to_user})
        self._open_stream()

    def answered(self) -> None:
        """The leg that we called has answered: now it is a call like any other."""
        self._deadline = None
        self._course.limit_at = self._outbox.now + self._limit_s if self._limit_s else None
        self._course.begin()

    # --- the stream, and time -------------------------------------------------------------------------------------

    def _open_stream(self) -> None:
        self._leg.media.open()
        self._deadline = self._outbox.now + self._outbox.policy.media_open_s

    def stream_opened(self) -> None:
        opening = self._leg.opening
        if isinstance(opening, Outbound):
            opening.stream_opened()
            self._deadline = self._outbox.now + self._ring_timeout_s
        else:
            self._deadline = None
            if self._replaces is not None:
                self._outbox.signal(TakeOver(self._leg.sid, self._replaces))
            self._course.begin()

    def next_deadline(self) -> float | None:
        opening = self._deadline if self._course.phase is Phase.OPENING else None
        if self._expires_at is None or not self._leg.unanswered:  # most calls, after every input
            return opening
        return self._expires_at if opening is None else min(self._expires_at, opening)

    def timeout(self, now: float) -> None:
        if self._expires_at is not None and now >= self._expires_at and self._leg.unanswered:
            self._expires_at = None
            text = "The caller's INVITE has expired"
            self._course.depart(By.TIMER, text, code=CODE_OF_CANCELED, passed=sip_reason(CODE_OF_CANCELED, text))
        if self._deadline is not None and now >= self._deadline and self._course.phase is Phase.OPENING:
            self._deadline = None
            if self._leg.direction is Direction.ORIGINATED and self._leg.session_open:
                self._course.depart(By.TIMER, "No answer in time", code=CODE_OF_CANCELED, cause=Cause.NO_ANSWER)
            else:
                text = "The media worker did not open a stream in time"
                self._course.media_failed(text, text)
