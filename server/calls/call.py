"""One call: a script on a primary leg. It asks for documents, runs their verbs one after another, and ends once.

Sans-I/O. Every input returns the actions that it leads to, in the order in which they must be carried out. Here each input finds the
part that it is for: how the call comes to be (`CallSetup`), what runs on the leg and how it ends (`Course`), what the engine says
(`EngineEvents`), or the leg itself.

How the primary leg came to be is of no matter: an INVITE (`admit`), an order (`originate`), or another call that gave it away (`adopt`).
The call is `finished` when nothing of it lives any more: no session, stream, request or leg beside it. Then the registry forgets it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from media import engine
from server.calls.bridge import Bridge
from server.calls.call_setup import CallSetup
from server.calls.conferences.conferences import Conferences
from server.calls.conferences.room import Member, RoomSignal
from server.calls.course import Course, Phase
from server.calls.effects import Fetched, Kind, Prepared
from server.calls.engine_events import EngineEvents, News, NoMedia, Vanished
from server.calls.handover import Handover
from server.calls.legs import requests
from server.calls.legs.inbound import Inbound
from server.calls.legs.leg import Direction, Leg
from server.calls.legs.outbound import Outbound
from server.calls.legs.party import Party, Referral
from server.calls.names import leg_of_session
from server.calls.outbox import Action, Outbox, reason_of, sip_reason
from server.calls.outcome import CODE_OF_CANCELED, CODE_OF_UNREGISTERED_CLIENT, REGISTRATION_REMOVED
from server.calls.policy import Application, Refusal
from server.calls.records import By, CallEnded, Cause
from server.calls.signals import ReferAsked, Signal
from server.calls.targets import CallerIdentity, Targets
from server.calls.verbs import RUNNING
from server.calls.verbs.running import RunningVerb, Stage
from sip.core import commands, events
from sip.core.referring import ReferAnswered, ReferNotified, ReferReceived
from sip.core.reliable import NotAcknowledged
from sip.core.session_timer import RefreshDue


class Call:
    """leg: the primary one, whose sid is the call's."""

    def __init__(self, outbox: Outbox, leg: Leg, party: Party, targets: Targets, conferences: Conferences) -> None:
        self.sid = leg.sid
        self.leg = leg
        self._outbox = outbox
        identity = CallerIdentity(party.from_user, party.caller_name, party.privacy, forwarded_from=party.forwarded_from)
        self._stage = Stage(outbox, leg, targets, identity, RUNNING, conferences=conferences)
        self._engine = EngineEvents(self._stage)
        self._course = Course(outbox, leg, party, self._stage)
        self._setup = CallSetup(self._course, self._stage)

    # --- how it comes to be -----------------------------------------------------------------------------------------

    def admit(self, application: Application) -> list[Action]:
        """By an INVITE."""
        self._setup.admit(application)
        return self._finish_input()

    def refuse(self, refusal: Refusal) -> list[Action]:
        """An INVITE that no application will hear of."""
        self._setup.refuse(refusal)
        return self._finish_input()

    def originate(self, application: Application, timeout_s: float, limit_s: float = 0.0) -> list[Action]:
        """By an order: the leg is called, and asks the application when it has answered. limit_s: of the whole talk, 0 for none."""
        self._setup.originate(application, timeout_s, limit_s)
        return self._finish_input()

    def take_over(self, replaces: commands.SessionId) -> list[Action]:
        """By an INVITE that is to take the place of a leg."""
        self._setup.take_over(replaces)
        return self._finish_input()

    def adopt(self, application: Application) -> list[Action]:
        """By a leg that has answered and left its call."""
        self._course.belong_to(application)
        self._course.begin()
        return self._finish_input()

    # --- what is so -----------------------------------------------------------------------------------------------

    @property
    def ended(self) -> CallEnded | None:
        return self.leg.ended

    @property
    def legs(self) -> list[Leg]:
        """Those beside the primary one that are not gone yet."""
        return [leg for leg, _ in self._stage.legs.values()]

    @property
    def all_legs(self) -> list[Leg]:
        """With the primary one."""
        return [self.leg, *self.legs]

    @property
    def recordings(self) -> int:
        """That are not over."""
        return sum(not recording.over for recording in self._stage.recordings.values())

    @property
    def finished(self) -> bool:
        stage = self._stage
        over = self._course.phase is Phase.OVER and self.leg.gone and not self._outbox.asks
        return over and not stage.legs and not stage.recordings

    def next_deadline(self) -> float | None:
        every = (self._setup.next_deadline(), self._course.next_deadline(), self._engine.silence.next_deadline())
        return min((at for at in every if at is not None), default=None)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def sip_event(self, event: events.SessionEvent, now: float) -> list[Action]:
        self._outbox.now = now
        if isinstance(event, ReferReceived):
            self._outbox.signal(ReferAsked(event))
        elif event.session == self.leg.session:
            self._primary_event(event)
            if self._course.verb is not None and isinstance(event, events.ReinviteAnswered | ReferAnswered | ReferNotified):
                self._course.verb.told(event)
        else:
            found = self._stage.legs.get(leg_of_session(event.session))
            if found is not None:
                leg, verb = found
                if isinstance(event, requests.InDialog):
                    key = requests.handle(leg, event)
                    if key is not None:
                        verb.leg_digit(leg, key)
                elif isinstance(event, events.RequestAnswered):
                    self._engine.silence.answered(leg, event)
                else:
                    verb.leg_event(leg, event)
        return self._finish_input()

    def media_event(self, event: engine.Event, now: float) -> list[Action]:
        self._outbox.now = now
        news = self._engine.receive(event, self._course.verb)
        match news:
            case News.OPENED:
                self._setup.stream_opened()
            case News.SILENT:
                text = "No media from either side"
                self._course.depart(By.SERVER, text, reason=sip_reason(200, text), passed=sip_reason(200, text))
            case Vanished(leg):
                self._vanished(leg)
            case NoMedia(reason):
                self._course.media_failed(f"No media: {reason}", f"No media: {reason}")
            case None:
                pass
            case _:
                assert_never(news)
        return self._finish_input()

    def engine_lost(self, reason: str, now: float) -> list[Action]:
        """The worker is gone, and with it every stream of this call (behaviour.md 3.1, media failure)."""
        self._outbox.now = now
        self._engine.lost(reason)
        self._course.media_failed("Media failure", "The media worker ended")
        return self._finish_input()

    def fetched(self, event: Fetched, now: float) -> list[Action]:
        self._outbox.now = now
        self._outbox.answered(event)
        self._course.fetched(event)
        return self._finish_input()

    def prepared(self, event: Prepared, now: float) -> list[Action]:
        return self._to_verb(lambda verb: verb.prepared(event), now)

    def room_signal(self, member: Member, signal: RoomSignal, now: float) -> list[Action]:
        """From a conference room that this call takes part in."""
        return self._to_verb(lambda verb: verb.room_signal(member, signal), now)

    def signalled(self, signal: Signal, now: float) -> list[Action]:
        """From another call."""
        return self._to_verb(lambda verb: verb.signalled(signal), now)

    def _to_verb(self, tell: Callable[[RunningVerb], None], now: float) -> list[Action]:
        """What is for the verb that runs, and for nobody without one."""
        self._outbox.now = now
        if self._course.verb is not None:
            tell(self._course.verb)
        return self._finish_input()

    def timeout(self, now: float) -> list[Action]:
        self._outbox.now = now
        self._setup.timeout(now)
        self._course.timeout(now)
        self._engine.silence.timeout(now)
        return self._finish_input()

    def operator_end(self, now: float, code: int = CODE_OF_CANCELED, text: str = "Ended by the operator") -> list[Action]:
        """REST `completed` or `canceled` on the primary leg, or the server goes down (`code` 503)."""
        self._outbox.now = now
        self._course.depart(By.OPERATOR, text, code=code)
        return self._finish_input()

    def phone_gone(self, phone: str, now: float) -> list[Action]:
        """A client's phone does not answer any more: its legs are over (`server.calls.phones`)."""
        self._outbox.now = now
        for leg in [leg for leg in self.all_legs if leg.opening.phone == phone and not leg.over]:
            self._phone_gone(leg)
        return self._finish_input()

    def operator_cancel_leg(self, sid: str, now: float) -> list[Action]:
        """REST on a dialled leg."""
        self._outbox.now = now
        found = self._stage.legs.get(sid)
        if found is not None:
            leg, verb = found
            verb.leg_canceled(leg)
        return self._finish_input()

    def redirect(self, application: Application, now: float) -> list[Action]:
        """Run another document on this leg from now on, instead of what runs. Without a script until now, it is the application's call."""
        self._outbox.now = now
        if self.ended is None and self._course.phase is not Phase.OPENING:
            self._course.redirect(application)
        return self._finish_input()

    def run(self, make: Callable[[Stage], RunningVerb], now: float) -> list[Action]:
        """Run one verb on this leg, instead of what runs. Its end is the call's."""
        self._outbox.now = now
        if self.ended is None:
            self._course.interrupt("Something else runs on the call")
            self._course.start(make(self._stage), of_script=False)
        return self._finish_input()

    def can_give(self, sid: str) -> bool:
        """A leg beside the primary one that has been answered and lives."""
        found = self._stage.legs.get(sid)
        return found is not None and found[0].answered

    def give(self, sid: str, now: float, into: Bridge | None = None) -> tuple[Leg, list[Action]] | None:
        """Let another call have such a leg, in a bridge of that call if there is one; None without it."""
        self._outbox.now = now
        if not self.can_give(sid):
            return None
        leg, verb = self._stage.legs.pop(sid)
        verb.leg_taken(leg, into)
        return leg, self._finish_input()

    def new_bridge(self) -> Bridge:
        """For a leg that is to come from another call."""
        return Bridge(self._outbox)

    def take(self, leg: Leg) -> None:
        """Before anything works with the leg, the primary one or another: it belongs to this call."""
        leg.rehome(self._outbox)
        self._engine.silence.watch(leg)

    # --- transfers (server.calls.transfer) ------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Of the latest input."""
        return self._outbox.now

    @property
    def partner(self) -> str:
        """sid of the call that this one is linked with, "" for none."""
        return self._course.verb.partner if self._course.verb is not None else ""

    @property
    def transferring(self) -> bool:
        """A transfer of its leg, or by it, is under way."""
        return self._course.handover is not None or (self._course.verb is not None and self._course.verb.hands_over)

    @property
    def referral(self) -> Application | None:
        """Where a transfer is asked about: as the verb that runs has it, else the number; None: there can be none."""
        application, asked = self._course.application, self._course.verb.refer_document if self._course.verb is not None else None
        if application is not None and asked is not None:
            application = replace(application, refer_url=asked[0], refer_method=asked[1])
        return application.referral if application is not None else None

    def inherit(self, other: Call) -> None:
        """The leg comes from another call: the same application hears of its transfers."""
        self._course.application = other._course.application

    def leg_of(self, session: str) -> Leg | None:
        """The primary one, or one beside it."""
        return next((leg for leg in self.all_legs if leg.session == session), None)

    def take_signals(self) -> list[Signal]:
        """What the others should hear of the latest input."""
        return self._outbox.take_signals()

    def look(self, now: float) -> list[Action]:
        """Something has changed at the other side of a bridge."""
        self._outbox.now = now
        return self._finish_input()

    def detach(self, leg: Leg, now: float) -> list[Action]:
        """An answered leg beside the primary one goes its own way, and nothing of what runs is wanted any more; no action is asked."""
        self._outbox.now = now
        _, verb = self._stage.legs.pop(leg.sid)
        verb.leg_taken(leg, None)
        self._course.interrupt("The call is transferred")
        return self._finish_input()

    def unlink(self, now: float) -> list[Action]:
        """It talks with the leg of another call no more."""
        self._outbox.now = now
        if self._course.verb is not None:
            self._course.verb.leave()
        self._course.interrupt("The call is transferred")
        return self._finish_input()

    def refer(self, application: Application, referral: Referral, handover: Handover, now: float) -> list[Action]:
        """Run the refer document on the leg, which belongs to nobody else now."""
        self._outbox.now = now
        self._course.refer(application, referral, handover)
        return self._finish_input()

    def be_referred(self, referral: Referral) -> None:
        """What is asked of the application from now on says so."""
        self._course.be_referred(referral)

    def leave(self, text: str, now: float, *, code: int = 200) -> list[Action]:
        """Nothing of the call is wanted any more. code: for a caller who is still unanswered."""
        self._outbox.now = now
        self._course.end_here(code, By.SERVER, text)
        return self._finish_input()

    # --- SIP ------------------------------------------------------------------------------------------------------

    def _primary_event(self, event: events.SessionEvent) -> None:
        leg, opening = self.leg, self.leg.opening
        match event:
            case events.SessionEnded():
                ended = leg.session_ended(event)
                passed = reason_of(event.request.headers) if event.request is not None else None
                self._course.depart(ended.by, ended.text, over=ended, passed=passed)
            case events.ReinviteReceived() | events.ReinviteAcked() | events.ReinviteAnswered() | events.RequestReceived() | RefreshDue():
                key = requests.handle(leg, event)
                if key is not None:
                    self._engine.pressed(key, self._course.verb)
            case events.RequestAnswered():
                self._engine.silence.answered(leg, event)
            case NotAcknowledged():
                text = "The caller did not acknowledge a reliable provisional response"
                passed = sip_reason(504, text)
                self._course.depart(By.TIMER, text, code=504, cause=Cause.FAILED, reason=passed, passed=passed)
            case events.CancelReceived() if isinstance(opening, Inbound):
                opening.canceled()
                passed = reason_of(event.request.headers)
                self._course.depart(By.CALLER, "Canceled by the caller", code=CODE_OF_CANCELED, passed=passed)
            case events.AnswerAcked() if isinstance(opening, Inbound):
                wrong = opening.acked(event)
                if wrong is not None:
                    self._course.depart(By.SERVER, wrong, code=488, cause=Cause.FAILED, reason=sip_reason(488, wrong))
                elif opening.late_offer:
                    self._course.late_answer_came()
            case events.InviteProgressed() if isinstance(opening, Outbound):
                opening.progressed(event)
            case events.InviteAnswered() if isinstance(opening, Outbound):
                if opening.answered(event):
                    self._setup.answered()
                else:
                    self._course.leg_over()
            case events.InviteFailed() if isinstance(opening, Outbound):
                opening.failed(event)
                self._course.leg_over()
            case _:
                pass  # answers to requests that this leg never sends

    # --- media ----------------------------------------------------------------------------------------------------

    def _vanished(self, leg: Leg) -> None:
        """Nothing is heard of its peer, which does not answer either (RFC 5057 5.1)."""
        who = "caller" if leg.direction is Direction.INBOUND else "called party"
        text = f"The {who} is gone: no media, and no answer when asked"
        self._outbox.note(Kind.MEDIA, {"event": "vanished"}, leg.sid)
        if leg is self.leg:
            self._course.depart(By.SERVER, text, reason=sip_reason(200, text), passed=sip_reason(200, text))
        elif leg.sid in self._stage.legs:
            self._stage.legs[leg.sid][1].leg_vanished(leg, text)

    def _phone_gone(self, leg: Leg) -> None:
        """It is registered no longer, since it does not answer (behaviour.md 2.11, 8)."""
        reason = sip_reason(CODE_OF_UNREGISTERED_CLIENT, REGISTRATION_REMOVED)
        self._outbox.note(Kind.STATE, {"status": "registration-removed"}, leg.sid)
        if leg is self.leg:
            self._course.depart(By.SERVER, REGISTRATION_REMOVED, code=CODE_OF_UNREGISTERED_CLIENT, reason=reason, passed=reason)
        elif leg.sid in self._stage.legs:
            self._stage.legs[leg.sid][1].leg_vanished(leg, REGISTRATION_REMOVED)

    def _finish_input(self) -> list[Action]:
        """Draw the conclusions of the input, then hand out what it led to."""
        self._course.conclude()
        return self._outbox.drain()
