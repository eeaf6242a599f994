"""One call: a script on a primary leg. It asks for documents, runs their verbs one after another, and ends once.

Sans-I/O. Every input returns the actions that it leads to, in the order in which they must be carried out.

```
  OPENING --stream open, originated leg answered--> FETCHING --document--> RUNNING --verb over--> RUNNING, FETCHING
                                                                       (HOLDING: a verb waits for the ACK of a late offer)
  anything --leg over--> ENDING --nothing is asked or waited for any more--> OVER
```
The call ends logically once, with its leg (`ended`, whose record is out then). ENDING lasts as long as the running verb needs to
come to its result, whose action is still asked but not run (behaviour.md 2.8), and the last status callback. The call is `finished` when
nothing of it lives any more: no session, stream, request or leg beside it. Then the registry forgets it.

How the primary leg came to be is of no matter: an INVITE (`admit`), an order (`originate`), or another call that gave it away (`adopt`).
What a verb does is the verb's business (`server.calls.verbs`); no verb is known here by name.

The file is longer than others: every input of a call enters here, and each of its endings leaves here, beside each other.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from media import engine
from media.sdp.offer_answer import SdpRefused
from rcml.notices import NOT_CARRIED_OUT
from rcml.verbs import Verb
from server.calls.bridge import Bridge
from server.calls.conferences.conferences import Conferences
from server.calls.conferences.room import Member, RoomSignal
from server.calls.effects import Fetched, Json, Kind, Log, Prepared
from server.calls.engine_events import EngineEvents, News, NoMedia, Vanished
from server.calls.handover import Handover
from server.calls.legs import requests
from server.calls.legs.inbound import Inbound
from server.calls.legs.leg import Direction, Leg
from server.calls.legs.outbound import Outbound
from server.calls.legs.party import Party, Referral
from server.calls.names import leg_of_session
from server.calls.outbox import Action, Outbox, reason_of, sip_reason
from server.calls.outcome import CODE_OF_CANCELED, CODE_OF_UNREACHABLE, CODE_OF_UNREGISTERED_CLIENT, REGISTRATION_REMOVED
from server.calls.policy import Application, Refusal
from server.calls.records import By, CallEnded, Cause
from server.calls.script import Begin, How, Next, Over, Script, Wait
from server.calls.signals import ReferAsked, Signal, TakeOver
from server.calls.targets import CallerIdentity, Targets
from server.calls.verbs import RUNNING
from server.calls.verbs.running import Finished, HungUp, Result, RunningVerb, Stage, Stop
from sip.core import commands, events
from sip.core.referring import ReferAnswered, ReferNotified, ReferReceived
from sip.core.reliable import NotAcknowledged
from sip.core.session_timer import RefreshDue


class Phase(enum.Enum):
    OPENING = "opening"
    FETCHING = "fetching"
    RUNNING = "running"
    HOLDING = "holding"
    ENDING = "ending"
    OVER = "over"


class Call:
    """leg: the primary one, whose sid is the call's; party: who calls whom."""

    def __init__(self, outbox: Outbox, leg: Leg, party: Party, targets: Targets, conferences: Conferences) -> None:
        self.sid = leg.sid
        self.leg = leg
        self.party = party
        self.phase = Phase.OPENING
        self._outbox = outbox
        identity = CallerIdentity(party.from_user, party.caller_name, party.privacy, forwarded_from=party.forwarded_from)
        self._stage = Stage(outbox, leg, targets, identity, RUNNING, conferences=conferences)
        self._engine = EngineEvents(self._stage)
        self._script: Script | None = None
        self._application: Application | None = None
        self._replaces: commands.SessionId | None = None  # whose place the leg is to take
        self._handover: Handover | None = None  # the leg is being transferred
        self._verb: RunningVerb | None = None
        self._of_script = True  # that verb: the script goes on behind it
        self._held: Verb | None = None  # waits for the ACK of a late offer
        self._deadline: float | None = None
        self._expires_at: float | None = None  # an INVITE that came wants an answer until then
        self._ring_timeout_s = 0.0  # of a leg that we call
        self._limit_s = 0.0  # of talk with it
        self._limit_at: float | None = None

    # --- how it comes to be -----------------------------------------------------------------------------------------

    def admit(self, application: Application) -> list[Action]:
        """By an INVITE: 180 at once, then the stream, then the document (behaviour.md 1.1)."""
        inbound = self.leg.opening
        assert isinstance(inbound, Inbound)
        if application.dialled:
            self.party = replace(self.party, to_user=application.dialled, dialled_by="Request-URI")
        self._stage.identity = replace(self._stage.identity, dialled=self.party.to_user, history=self.party.history)
        if application.trusted_identity:
            self._stage.identity = replace(self._stage.identity, asserted=self.party.asserted)
        self._belong_to(application)
        self._outbox.emit(commands.SetSessionHeaders(self.leg.session, self._outbox.session_headers(self.sid)))
        try:
            inbound.receive_offer()
        except SdpRefused as refused:
            self._end_here(refused.status, By.SERVER, refused.reason, headers=requests.warning_of(refused))
            return self._finish_input()
        if inbound.expires_s is not None:
            self._expires_at = self._outbox.now + inbound.expires_s
        self._outbox.note(Kind.STATE, {"status": "ringing", "from": self.party.from_user, "to": self.party.to_user})
        inbound.ring()
        self._open_stream()
        self._tell_status("ringing")
        return self._finish_input()

    def refuse(self, refusal: Refusal) -> list[Action]:
        """No application will hear of this call; it keeps a timeline all the same."""
        self._outbox.emit(commands.SetSessionHeaders(self.leg.session, self._outbox.session_headers(self.sid)))
        if refusal.notification:
            self._outbox.notify(refusal.notification, "error", refusal.explain)
        self._outbox.note(Kind.STATE, {"status": "refused", "reason": refusal.explain})
        headers = (("Retry-After", "10"),) if refusal.status == 503 else ()
        self._end_here(refusal.status, By.SERVER, refusal.explain, phrase=refusal.reason, headers=headers)
        return self._finish_input()

    def originate(self, application: Application, timeout_s: float, limit_s: float = 0.0) -> list[Action]:
        """By an order: the leg is called, and asks the application when it has answered. limit_s: of the whole talk, 0 for none."""
        self._belong_to(application)
        self._ring_timeout_s, self._limit_s = timeout_s, limit_s
        self._outbox.note(Kind.STATE, {"status": "queued", "from": self.party.from_user, "to": self.party.to_user})
        self._open_stream()
        return self._finish_input()

    def adopt(self, application: Application) -> list[Action]:
        """By a leg that has answered and left its call."""
        self._belong_to(application)
        self._script_begins()
        return self._finish_input()

    def _belong_to(self, application: Application) -> None:
        self._application = application
        self._stage.dialect = application.dialect
        self._script = Script(self._outbox, self.leg, self.party, application)
        self._stage.voice = self._script.facts
        facts: dict[str, Json] = {"from": self.party.from_user, "to": self.party.to_user, "number": application.number}
        self._log("call_started", facts | {"dialled_by": self.party.dialled_by})

    def _script_begins(self) -> None:
        if self._script is not None:
            self._go(self._script.begin())

    def _open_stream(self) -> None:
        self.leg.media.open()
        self._deadline = self._outbox.now + self._outbox.policy.media_open_s

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
        over = self.phase is Phase.OVER and self.leg.gone and not self._outbox.asks
        return over and not stage.legs and not stage.recordings

    def next_deadline(self) -> float | None:
        verb = self._verb.next_deadline() if self._verb is not None else None
        expires = self._expires_at if self.leg.unanswered else None
        every = (verb, self._deadline, expires, self._limit_at, self._engine.silence.next_deadline())
        return min((at for at in every if at is not None), default=None)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def sip_event(self, event: events.SessionEvent, now: float) -> list[Action]:
        self._outbox.now = now
        if isinstance(event, ReferReceived):
            self._outbox.signal(ReferAsked(event))
        elif event.session == self.leg.session:
            self._primary_event(event)
            if self._verb is not None and isinstance(event, events.ReinviteAnswered | ReferAnswered | ReferNotified):
                self._verb.told(event)
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
        news = self._engine.receive(event, self._verb)
        match news:
            case News.OPENED:
                self._stream_opened()
            case News.SILENT:
                text = "No media from either side"
                self._depart(By.SERVER, text, reason=sip_reason(200, text), passed=sip_reason(200, text))
            case Vanished(leg):
                self._vanished(leg)
            case NoMedia(reason):
                self._media_failed(f"No media: {reason}", f"No media: {reason}")
            case None:
                pass
            case _:
                assert_never(news)
        return self._finish_input()

    def engine_lost(self, reason: str, now: float) -> list[Action]:
        """The worker is gone, and with it every stream of this call (behaviour.md 3.1, media failure)."""
        self._outbox.now = now
        self._engine.lost(reason)
        self._media_failed("Media failure", "The media worker ended")
        return self._finish_input()

    def fetched(self, event: Fetched, now: float) -> list[Action]:
        self._outbox.now = now
        self._outbox.answered(event)
        if self._script is not None:
            following = self._script.fetched(event, read=self.ended is None)
            if self._handover is not None and following is not None:
                dials = isinstance(following, Begin) and following.verb.connects
                failed = isinstance(following, Over) and following.how is How.FAILED
                self._handover.document_came(self._outbox, dials=dials, failed=failed)
            self._go(following)
        if self._verb is not None:
            self._verb.fetched(event)
        return self._finish_input()

    def prepared(self, event: Prepared, now: float) -> list[Action]:
        self._outbox.now = now
        if self._verb is not None:
            self._verb.prepared(event)
        return self._finish_input()

    def room_signal(self, member: Member, signal: RoomSignal, now: float) -> list[Action]:
        """From a conference room that this call takes part in."""
        self._outbox.now = now
        if self._verb is not None:
            self._verb.room_signal(member, signal)
        return self._finish_input()

    def timeout(self, now: float) -> list[Action]:
        self._outbox.now = now
        if self._expires_at is not None and now >= self._expires_at and self.leg.unanswered:
            self._expires_at = None
            text = "The caller's INVITE has expired"
            self._depart(By.TIMER, text, code=CODE_OF_CANCELED, passed=sip_reason(CODE_OF_CANCELED, text))
        verb = self._verb
        due = verb.next_deadline() if verb is not None else None
        if verb is not None and due is not None and now >= due:
            verb.timeout()
        if self._limit_at is not None and now >= self._limit_at:
            self._limit_at = None
            self._depart(By.TIMER, "The call's time limit is reached")
        self._engine.silence.timeout(now)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            match self.phase:
                case Phase.OPENING if self.leg.direction is Direction.ORIGINATED and self.leg.session_open:
                    self._depart(By.TIMER, "No answer in time", code=CODE_OF_CANCELED, cause=Cause.NO_ANSWER)
                case Phase.OPENING:
                    text = "The media worker did not open a stream in time"
                    self._media_failed(text, text)
                case _:
                    self._outbox.give_up_asking()
        return self._finish_input()

    def operator_end(self, now: float, code: int = CODE_OF_CANCELED, text: str = "Ended by the operator") -> list[Action]:
        """REST `completed` or `canceled` on the primary leg, or the server goes down (`code` 503)."""
        self._outbox.now = now
        self._depart(By.OPERATOR, text, code=code)
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
        if self.ended is None and self.phase is not Phase.OPENING:
            if self._handover is not None:
                self._handover.settle(self._outbox, 200)
            self._interrupt("Another document runs on the call")
            if self._script is not None:
                self._go(self._script.begin_anew(application))
            else:
                self._belong_to(application)
                self._script_begins()
        return self._finish_input()

    def run(self, make: Callable[[Stage], RunningVerb], now: float) -> list[Action]:
        """Run one verb on this leg, instead of what runs. Its end is the call's."""
        self._outbox.now = now
        if self.ended is None:
            self._interrupt("Something else runs on the call")
            self._start(make(self._stage), of_script=False)
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
        return self._verb.partner if self._verb is not None else ""

    @property
    def transferring(self) -> bool:
        """A transfer of its leg, or by it, is under way."""
        return self._handover is not None or (self._verb is not None and self._verb.hands_over)

    @property
    def referral(self) -> Application | None:
        """Where a transfer is asked about: as the verb that runs has it, else the number; None: there can be none."""
        application, asked = self._application, self._verb.refer_document if self._verb is not None else None
        if application is not None and asked is not None:
            application = replace(application, refer_url=asked[0], refer_method=asked[1])
        return application.referral if application is not None else None

    def inherit(self, other: Call) -> None:
        """The leg comes from another call: the same application hears of its transfers."""
        self._application = other._application

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

    def signalled(self, signal: Signal, now: float) -> list[Action]:
        self._outbox.now = now
        if self._verb is not None:
            self._verb.signalled(signal)
        return self._finish_input()

    def detach(self, leg: Leg, now: float) -> list[Action]:
        """An answered leg beside the primary one goes its own way, and nothing of what runs is wanted any more; no action is asked."""
        self._outbox.now = now
        _, verb = self._stage.legs.pop(leg.sid)
        verb.leg_taken(leg, None)
        self._interrupt("The call is transferred")
        return self._finish_input()

    def unlink(self, now: float) -> list[Action]:
        """It talks with the leg of another call no more."""
        self._outbox.now = now
        if self._verb is not None:
            self._verb.leave()
        self._interrupt("The call is transferred")
        return self._finish_input()

    def refer(self, application: Application, referral: Referral, handover: Handover, now: float) -> list[Action]:
        """Run the refer document on the leg, which belongs to nobody else now."""
        self._outbox.now = now
        self._handover = handover
        self._outbox.note(Kind.STATE, {"status": "transferred", "to": referral.target, "by": referral.transferor})
        if self._script is None:
            self._belong_to(application)
        assert self._script is not None
        self._script.referred(referral)
        self._go(self._script.go_to(application.voice_url, application.voice_method, "refer"))
        return self._finish_input()

    def be_referred(self, referral: Referral) -> None:
        """What is asked of the application from now on says so."""
        self._outbox.note(Kind.STATE, {"status": "transferred", "to": referral.target, "by": referral.transferor})
        if self._script is not None:
            self._script.referred(referral)

    def take_over(self, replaces: commands.SessionId) -> list[Action]:
        """By an INVITE that is to take the place of a leg: it needs a stream first, then `server.calls.transfer` does the rest."""
        inbound = self.leg.opening
        assert isinstance(inbound, Inbound)
        self._replaces = replaces
        self._outbox.emit(commands.SetSessionHeaders(self.leg.session, self._outbox.session_headers(self.sid)))
        try:
            inbound.receive_offer()
        except SdpRefused as refused:
            self._end_here(refused.status, By.SERVER, refused.reason, headers=requests.warning_of(refused))
            return self._finish_input()
        self._outbox.note(Kind.STATE, {"status": "taking-over", "from": self.party.from_user})
        self._open_stream()
        return self._finish_input()

    def leave(self, text: str, now: float, *, code: int = 200) -> list[Action]:
        """Nothing of the call is wanted any more. code: for a caller who is still unanswered."""
        self._outbox.now = now
        self._end_here(code, By.SERVER, text)
        return self._finish_input()

    # --- SIP ------------------------------------------------------------------------------------------------------

    def _primary_event(self, event: events.SessionEvent) -> None:
        leg, opening = self.leg, self.leg.opening
        match event:
            case events.SessionEnded():
                ended = leg.session_ended(event)
                passed = reason_of(event.request.headers) if event.request is not None else None
                self._depart(ended.by, ended.text, over=ended, passed=passed)
            case events.ReinviteReceived() | events.ReinviteAcked() | events.ReinviteAnswered() | events.RequestReceived() | RefreshDue():
                key = requests.handle(leg, event)
                if key is not None:
                    self._engine.pressed(key, self._verb)
            case events.RequestAnswered():
                self._engine.silence.answered(leg, event)
            case NotAcknowledged():
                text = "The caller did not acknowledge a reliable provisional response"
                passed = sip_reason(504, text)
                self._depart(By.TIMER, text, code=504, cause=Cause.FAILED, reason=passed, passed=passed)
            case events.CancelReceived() if isinstance(opening, Inbound):
                opening.canceled()
                passed = reason_of(event.request.headers)
                self._depart(By.CALLER, "Canceled by the caller", code=CODE_OF_CANCELED, passed=passed)
            case events.AnswerAcked() if isinstance(opening, Inbound):
                wrong = opening.acked(event)
                if wrong is not None:
                    self._depart(By.SERVER, wrong, code=488, cause=Cause.FAILED, reason=sip_reason(488, wrong))
                elif opening.late_offer:
                    self._late_answer_came()
            case events.InviteProgressed() if isinstance(opening, Outbound):
                opening.progressed(event)
            case events.InviteAnswered() if isinstance(opening, Outbound):
                if opening.answered(event):
                    self._originated()
                else:
                    self._leg_over()
            case events.InviteFailed() if isinstance(opening, Outbound):
                opening.failed(event)
                self._leg_over()
            case _:
                pass  # answers to requests that this leg never sends

    def _late_answer_came(self) -> None:
        if self._verb is not None:
            self._verb.caller_connected()
        held, self._held = self._held, None
        if held is not None:
            self._begin(held)

    def _originated(self) -> None:
        """The leg that we called has answered: now it is a call like any other."""
        self._deadline = None
        self._limit_at = self._outbox.now + self._limit_s if self._limit_s else None
        self._script_begins()

    def _leg_over(self) -> None:
        """The leg may have ended by itself, before there was anything to stop; after a CANCEL of ours it is no news."""
        if self.leg.over and self.phase is Phase.OPENING:
            self._ended()

    # --- media ----------------------------------------------------------------------------------------------------

    def _stream_opened(self) -> None:
        opening = self.leg.opening
        if isinstance(opening, Outbound):
            opening.stream_opened()
            self._deadline = self._outbox.now + self._ring_timeout_s
        else:
            self._deadline = None
            if self._replaces is not None:
                self._outbox.signal(TakeOver(self.sid, self._replaces))
            self._script_begins()

    def _media_failed(self, text: str, told: str) -> None:
        """The leg's media cannot be had, or is lost (behaviour.md 1.1, 3.1). told: to the verb, for the records of its legs."""
        if self._verb is not None:
            self._verb.media_lost(told)
        code = CODE_OF_UNREACHABLE
        self._depart(By.SERVER, text, code=code, cause=Cause.FAILED, reason=sip_reason(code, text))

    def _vanished(self, leg: Leg) -> None:
        """Nothing is heard of its peer, which does not answer either (RFC 5057 5.1)."""
        who = "caller" if leg.direction is Direction.INBOUND else "called party"
        text = f"The {who} is gone: no media, and no answer when asked"
        self._outbox.note(Kind.MEDIA, {"event": "vanished"}, leg.sid)
        if leg is self.leg:
            self._depart(By.SERVER, text, reason=sip_reason(200, text), passed=sip_reason(200, text))
        elif leg.sid in self._stage.legs:
            self._stage.legs[leg.sid][1].leg_vanished(leg, text)

    def _phone_gone(self, leg: Leg) -> None:
        """It is registered no longer, since it does not answer (behaviour.md 2.11, 8)."""
        reason = sip_reason(CODE_OF_UNREGISTERED_CLIENT, REGISTRATION_REMOVED)
        self._outbox.note(Kind.STATE, {"status": "registration-removed"}, leg.sid)
        if leg is self.leg:
            self._depart(By.SERVER, REGISTRATION_REMOVED, code=CODE_OF_UNREGISTERED_CLIENT, reason=reason, passed=reason)
        elif leg.sid in self._stage.legs:
            self._stage.legs[leg.sid][1].leg_vanished(leg, REGISTRATION_REMOVED)

    # --- the script -----------------------------------------------------------------------------------------------

    def _go(self, following: Next | None) -> None:
        match following:
            case Begin(verb, needs_answer):
                if needs_answer:
                    self.leg.answer()
                if self.leg.awaits_answer:
                    self._held = verb
                    self._enter(Phase.HOLDING)
                else:
                    self._begin(verb)
            case Wait():
                self._enter(Phase.FETCHING)
            case Over(code, text, phrase, reason):
                self._end_here(code, By.APPLICATION, text, phrase=phrase, reason=reason)
            case None:
                pass
            case _:
                assert_never(following)

    def _begin(self, verb: Verb) -> None:
        make = RUNNING.get(type(verb))
        if make is None:
            text = f"<{type(verb).__name__}> is not carried out here"
            self._outbox.notify(NOT_CARRIED_OUT, "error", text, line=verb.line)
            self._end_here(500, By.APPLICATION, text, reason=sip_reason(500, text))
        else:
            self._start(make(self._stage, verb))

    def _start(self, verb: RunningVerb, *, of_script: bool = True) -> None:
        self._verb, self._of_script = verb, of_script
        self._enter(Phase.RUNNING)
        verb.start()

    def _verb_over(self, result: Result) -> None:
        verb, self._verb = self._verb, None
        if verb is not None and not verb.takes_keys and isinstance(result, Finished) and result.waited:
            self._stage.keys.drop()
        dial = result.dial if isinstance(result, Finished) else None
        if self._handover is not None and self.ended is None and self._handover.goes_back(self._outbox, dial):
            assert self._script is not None
            self._script.abandon()
            return
        if self._script is not None and self._of_script:
            self._go(self._script.after(result))
        else:
            why, reason = (result.why, result.reason) if isinstance(result, HungUp) else ("The verb is over", None)
            self._end_here(200, By.SERVER, why, reason=reason)

    def _interrupt(self, text: str) -> None:
        """Nothing of what runs is wanted any more; the leg stays."""
        verb, self._verb = self._verb, None
        if verb is not None and verb.result is None:
            verb.stop(Stop(By.OPERATOR, text, abandoned=True))
            verb.release()
        self._held = None
        if self._script is not None:
            self._script.abandon()

    # --- the end --------------------------------------------------------------------------------------------------

    def _end_here(
        self, code: int, by: By, text: str, *, phrase: str = "", headers: commands.HeaderList = (), reason: str | None = None
    ) -> None:
        """Nothing follows: BYE, or the final that an unanswered caller gets. reason: value of a Reason header."""
        if not self.leg.over:
            self.leg.end(by, text, code=code, phrase=phrase, headers=headers, reason=reason)
            self._ended()

    def _depart(
        self,
        by: By,
        text: str,
        *,
        code: int = 200,
        cause: Cause = Cause.COMPLETED,
        reason: str | None = None,
        passed: str | None = None,
        over: CallEnded | None = None,
    ) -> None:
        """The leg is over or to be ended, by whatever way; what still runs is stopped, a Dial's action still goes out.

        over: how its session ended by itself; otherwise it is ended as `Leg.end` has it. passed: value of the Reason header that the
        other side gets.
        """
        if self.ended is not None:
            return
        if self._verb is not None and self._verb.result is None:
            self._verb.stop(Stop(by, text, passed))
        if self._script is not None:
            self._script.leg_over()
        if over is not None:
            self.leg.finish(over)
        else:
            self.leg.end(by, text, code=code, cause=cause, reason=reason)
        self._ended()

    def _ended(self) -> None:
        """The leg is over, and so is the call."""
        ended = self.leg.ended
        assert ended is not None
        self._held = self._deadline = self._limit_at = None
        self.phase = Phase.ENDING
        if self._script is not None:  # a refused call has its own line
            facts: dict[str, Json] = {"cause": ended.cause.value, "by": ended.by.value, "sip_status": ended.sip_status}
            self._log("call_ended", facts | {"duration_s": self.leg.duration_s, "text": ended.text})

    def _enter(self, phase: Phase) -> None:
        if self.ended is None:
            self.phase = phase

    def _tell_status(self, status: str) -> None:
        if self._script is not None:
            self._script.tell(status)

    def _log(self, event: str, facts: dict[str, Json]) -> None:
        self._outbox.emit(Log("info", event, {"call_sid": self.sid} | facts))

    # --- after every input ----------------------------------------------------------------------------------------

    def _finish_input(self) -> list[Action]:
        """Draw the conclusions of the input, then hand out what it led to."""
        over = []
        while self._verb is not None and self._verb.result is not None:
            over.append(self._verb)
            self._verb_over(self._verb.result)
        for verb in over:
            verb.release()
        if self.leg.answered_at is not None and self._script is not None:
            self._script.answered()
        stage = self._stage
        for sid in [sid for sid, recording in stage.recordings.items() if recording.over]:
            del stage.recordings[sid]
        for leg in [leg for leg, _ in stage.legs.values() if leg.gone]:
            del stage.legs[leg.sid]
            leg.forget()
        if self._handover is not None and self._handover.look(self._outbox, self.leg, self.legs):
            self._handover = None
        for leg in self.all_legs:
            leg.fill_silence()
        if self.phase is Phase.ENDING and self._verb is None:
            self._wrap_up()
        return self._outbox.drain()

    def _wrap_up(self) -> None:
        """The last status callback, when no document is waited for any more; what is asked then is awaited for a while."""
        if self._script is not None and self._script.waits:
            return
        self._tell_status(self.leg.status)
        self.phase = Phase.OVER
        if self._outbox.asks:
            self._deadline = self._outbox.now + self._outbox.policy.final_status_wait_s
