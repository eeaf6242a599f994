"""What runs on the primary leg of a call: the script, its verbs one after another, and how all of it ends, once. Sans-I/O.

```
  OPENING --begin--> FETCHING --document--> RUNNING --verb over--> RUNNING, FETCHING
                                           (HOLDING: a verb waits for the ACK of a late offer)
  anything --leg over--> ENDING --nothing is asked or waited for any more--> OVER
```
The call ends logically once, with its leg, whose record is out then. ENDING lasts as long as the running verb needs to come to its
result, whose action is still asked but not run (behaviour.md 2.8), and the last status callback.

What a verb does is the verb's business (`server.calls.verbs`); no verb is known here by name.
"""

from __future__ import annotations

import enum
from typing import assert_never

from rcml.notices import NOT_CARRIED_OUT
from rcml.verbs import Verb
from server.calls.effects import Fetched, Json, Kind, Log
from server.calls.handover import Handover
from server.calls.legs.leg import Leg
from server.calls.legs.party import Party, Referral
from server.calls.outbox import Outbox, sip_reason
from server.calls.outcome import CODE_OF_UNREACHABLE
from server.calls.policy import Application
from server.calls.records import By, CallEnded, Cause
from server.calls.script import Begin, How, Next, Over, Script, Wait
from server.calls.verbs import RUNNING
from server.calls.verbs.running import Finished, HungUp, Result, RunningVerb, Stage, Stop
from sip.core import commands


class Phase(enum.Enum):
    OPENING = "opening"
    FETCHING = "fetching"
    RUNNING = "running"
    HOLDING = "holding"
    ENDING = "ending"
    OVER = "over"


class Course:
    """party: who calls whom. application: None until the call belongs to one. verb: what runs now. limit_at: of talk with the leg.

    handover: the leg is being transferred.
    """

    def __init__(self, outbox: Outbox, leg: Leg, party: Party, stage: Stage) -> None:
        self.leg = leg
        self.party = party
        self.phase = Phase.OPENING
        self._script: Script | None = None
        self.application: Application | None = None
        self.verb: RunningVerb | None = None
        self.handover: Handover | None = None
        self.limit_at: float | None = None
        self._outbox = outbox
        self._stage = stage
        self._of_script = True  # that verb: the script goes on behind it
        self._held: Verb | None = None  # waits for the ACK of a late offer
        self._give_up_at: float | None = None  # the answers that are still out are waited for until then

    # --- the script -----------------------------------------------------------------------------------------------

    def belong_to(self, application: Application) -> None:
        self.application = application
        self._stage.dialect = application.dialect
        self._script = Script(self._outbox, self.leg, self.party, application)
        self._stage.voice = self._script.facts
        facts: dict[str, Json] = {"from": self.party.from_user, "to": self.party.to_user, "number": application.number}
        self._log("call_started", facts | {"dialled_by": self.party.dialled_by})

    def begin(self) -> None:
        """With the application's first document."""
        if self._script is not None:
            self._go(self._script.begin())

    def fetched(self, event: Fetched) -> None:
        if self._script is not None:
            following = self._script.fetched(event, read=self.leg.ended is None)
            if self.handover is not None and following is not None:
                dials = isinstance(following, Begin) and following.verb.connects
                failed = isinstance(following, Over) and following.how is How.FAILED
                self.handover.document_came(self._outbox, dials=dials, failed=failed)
            self._go(following)
        if self.verb is not None:
            self.verb.fetched(event)

    def redirect(self, application: Application) -> None:
        """Another document instead of what runs, or the first of a leg that had none."""
        if self.handover is not None:
            self.handover.settle(self._outbox, 200)
        self.interrupt("Another document runs on the call")
        if self._script is not None:
            self._go(self._script.begin_anew(application))
        else:
            self.belong_to(application)
            self.begin()

    def refer(self, application: Application, referral: Referral, handover: Handover) -> None:
        """The refer document."""
        self.handover = handover
        self._note_referral(referral)
        if self._script is None:
            self.belong_to(application)
        assert self._script is not None
        self._script.referred(referral)
        self._go(self._script.go_to(application.voice_url, application.voice_method, "refer"))

    def be_referred(self, referral: Referral) -> None:
        """What is asked of the application from now on says so."""
        self._note_referral(referral)
        if self._script is not None:
            self._script.referred(referral)

    def _note_referral(self, referral: Referral) -> None:
        self._outbox.note(Kind.STATE, {"status": "transferred", "to": referral.target, "by": referral.transferor})

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
                self.end_here(code, By.APPLICATION, text, phrase=phrase, reason=reason)
            case None:
                pass
            case _:
                assert_never(following)

    def late_answer_came(self) -> None:
        """The ACK has brought what was missing: the leg can be heard."""
        if self.verb is not None:
            self.verb.caller_connected()
        held, self._held = self._held, None
        if held is not None:
            self._begin(held)

    def _begin(self, verb: Verb) -> None:
        make = RUNNING.get(type(verb))
        if make is None:
            text = f"<{type(verb).__name__}> is not carried out here"
            self._outbox.notify(NOT_CARRIED_OUT, "error", text, line=verb.line)
            self.end_here(500, By.APPLICATION, text, reason=sip_reason(500, text))
        else:
            self.start(make(self._stage, verb))

    def start(self, verb: RunningVerb, *, of_script: bool = True) -> None:
        """of_script: otherwise its end is the call's."""
        self.verb, self._of_script = verb, of_script
        self._enter(Phase.RUNNING)
        verb.start()

    def interrupt(self, text: str) -> None:
        """Nothing of what runs is wanted any more; the leg stays."""
        verb, self.verb = self.verb, None
        if verb is not None and verb.result is None:
            verb.stop(Stop(By.OPERATOR, text, abandoned=True))
            verb.release()
        self._held = None
        if self._script is not None:
            self._script.abandon()

    def _verb_over(self, result: Result) -> None:
        verb, self.verb = self.verb, None
        if verb is not None and not verb.takes_keys and isinstance(result, Finished) and result.waited:
            self._stage.keys.drop()
        dial = result.dial if isinstance(result, Finished) else None
        if self.handover is not None and self.leg.ended is None and self.handover.goes_back(self._outbox, dial):
            assert self._script is not None
            self._script.abandon()
            return
        if self._script is not None and self._of_script:
            self._go(self._script.after(result))
        else:
            why, reason = (result.why, result.reason) if isinstance(result, HungUp) else ("The verb is over", None)
            self.end_here(200, By.SERVER, why, reason=reason)

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        verb = self.verb.next_deadline() if self.verb is not None else None
        return min((at for at in (verb, self.limit_at, self._give_up_at) if at is not None), default=None)

    def timeout(self, now: float) -> None:
        due = self.verb.next_deadline() if self.verb is not None else None
        if self.verb is not None and due is not None and now >= due:
            self.verb.timeout()
        if self.limit_at is not None and now >= self.limit_at:
            self.limit_at = None
            self.depart(By.TIMER, "The call's time limit is reached")
        if self._give_up_at is not None and now >= self._give_up_at:
            self._give_up_at = None
            self._outbox.give_up_asking()

    # --- the end --------------------------------------------------------------------------------------------------

    def end_here(
        self, code: int, by: By, text: str, *, phrase: str = "", headers: commands.HeaderList = (), reason: str | None = None
    ) -> None:
        """Nothing follows: BYE, or the final that an unanswered caller gets. reason: value of a Reason header."""
        if not self.leg.over:
            self.leg.end(by, text, code=code, phrase=phrase, headers=headers, reason=reason)
            self._ended()

    def depart(
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
        if self.leg.ended is not None:
            return
        if self.verb is not None and self.verb.result is None:
            self.verb.stop(Stop(by, text, passed))
        if self._script is not None:
            self._script.leg_over()
        if over is not None:
            self.leg.finish(over)
        else:
            self.leg.end(by, text, code=code, cause=cause, reason=reason)
        self._ended()

    def media_failed(self, text: str, told: str) -> None:
        """The leg's media cannot be had, or is lost (behaviour.md 1.1, 3.1). told: to the verb, for the records of its legs."""
        if self.verb is not None:
            self.verb.media_lost(told)
        code = CODE_OF_UNREACHABLE
        self.depart(By.SERVER, text, code=code, cause=Cause.FAILED, reason=sip_reason(code, text))

    def leg_over(self) -> None:
        """The leg may have ended by itself, before there was anything to stop; after a CANCEL of ours it is no news."""
        if self.leg.over and self.phase is Phase.OPENING:
            self._ended()

    def _ended(self) -> None:
        """The leg is over, and so is the call."""
        ended = self.leg.ended
        assert ended is not None
        self._held = self.limit_at = None
        self.phase = Phase.ENDING
        if self._script is not None:  # a refused call has its own line
            facts: dict[str, Json] = {"cause": ended.cause.value, "by": ended.by.value, "sip_status": ended.sip_status}
            self._log("call_ended", facts | {"duration_s": self.leg.duration_s, "text": ended.text})

    def tell_status(self, status: str) -> None:
        """To the number's status callback."""
        if self._script is not None:
            self._script.tell(status)

    def _enter(self, phase: Phase) -> None:
        if self.leg.ended is None:
            self.phase = phase

    def _log(self, event: str, facts: dict[str, Json]) -> None:
        self._outbox.emit(Log("info", event, {"call_sid": self.leg.sid} | facts))

    # --- after every input ----------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Draw the conclusions of the input: what is over, what follows, and what lives no longer."""
        over = []
        while self.verb is not None and self.verb.result is not None:
            over.append(self.verb)
            self._verb_over(self.verb.result)
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
        legs = [leg for leg, _ in stage.legs.values()]
        if self.handover is not None and self.handover.look(self._outbox, self.leg, legs):
            self.handover = None
        for leg in (self.leg, *legs):
            leg.fill_silence()
        if self.phase is Phase.ENDING and self.verb is None:
            self._wrap_up()

    def _wrap_up(self) -> None:
        """The last status callback, when no document is waited for any more; what is asked then is awaited for a while."""
        if self._script is not None and self._script.waits:
            return
        self.tell_status(self.leg.status)
        self.phase = Phase.OVER
        if self._outbox.asks:
            self._give_up_at = self._outbox.now + self._outbox.policy.final_status_wait_s
