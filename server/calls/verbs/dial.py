"""One running `<Dial>`: its branches, which of them wins, and its one result.

```
  DIALING --one accepted--> CONNECTING --caller's media there--> BRIDGED --end--> SETTLING --> OVER
     |                       |                                                  (waits a moment for the end of the
     +-- all failed, timeout, stopped ----------------------------------> OVER   recording and the answer to our BYE)
```
What the caller hears meanwhile is `Ringing`, who hears whom is a `Bridge`, what is recorded a `Recording`. A party is accepted by its 200,
unless its noun has `sendDigits` or a screening `url`: then an `Acceptance` stands between (2.4, 2.5). With keys to press it has won by its
200 all the same, and the others are cancelled; a screened one lets them ring on, and the first who is accepted wins.
The order on the wire is part of the contract (behaviour.md 4.2): the caller's 200 goes before the CANCELs to the losers; on a timeout
the caller's final goes before the CANCELs too, so those wait for `release`; when the caller gives up the CANCELs go first.

The file is longer than others: every event of every branch meets the phase of the Dial here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace

from media import engine
from rcml.verbs.dial import Dial
from server.calls.bridge import Bridge
from server.calls.effects import Fetched, Json, Kind, Prepared
from server.calls.legs.leg import Leg
from server.calls.legs.outbound import ELSEWHERE, Outbound
from server.calls.outbox import reason_of, sip_reason
from server.calls.outcome import CODE_OF_CANCELED_BRANCHES, CODE_OF_TIMEOUT, CODE_OF_UNREACHABLE, CODE_OF_UNREGISTERED_CLIENT, DialResult
from server.calls.recording import Recording
from server.calls.records import By, Cause
from server.calls.targets import Unreachable
from server.calls.verbs.acceptance import Acceptance, Acceptances, AcceptanceState
from server.calls.verbs.branches import branches_of
from server.calls.verbs.dial_recording import DialRecording
from server.calls.verbs.dial_result import first_that_rang, foremost, result_of, result_of_failure
from server.calls.verbs.ringing import Ringing, passes_early_media
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf
from sip.core import events

# The engine's own timeLimit, for when we are gone, comes so much later than ours.
LIMIT_MARGIN_S = 5.0
WAITED_S = 1.0  # a Dial that took so long does not make a loop of documents a mistake


class Phase(enum.Enum):
    DIALING = "dialing"
    CONNECTING = "connecting"
    BRIDGED = "bridged"
    SETTLING = "settling"
    OVER = "over"


class RunningDial(VerbOf[Dial]):
    def __init__(self, stage: Stage, verb: Dial) -> None:
        super().__init__(stage, verb)
        self.phase = Phase.DIALING
        self.refer_document = (verb.refer_url, verb.refer_method) if verb.refer_url is not None else None
        self.branches: list[Outbound] = []
        self._ahead: list[Outbound] = []  # that are not called yet
        self.winner: Outbound | None = None
        self._acceptances = Acceptances()
        self._began_at = self.outbox.now
        self._uncreated: list[Unreachable] = []
        self._timer_runs = False  # the Dial's timeout counts from the first INVITE
        self._abandoned = False
        self._taken: DialResult | None = None  # the winner is another call's, which has its own say about it; so it was then
        self._ringing = Ringing(self.leg, verb)
        self._bridge = Bridge(self.outbox)
        self._recording = DialRecording(stage, verb)
        self._status = Cause.COMPLETED
        self._reason_text: str | None = None
        self._end_reason: str | None = None  # the Reason of the callee's BYE or refusal, passed on to the caller (behaviour 0.4)

    # --- start ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the branches: all INVITEs leave before any reply is awaited (behaviour.md 2.7)."""
        verb = self.verb
        facts: dict[str, Json] = {"verb": "Dial", "line": verb.line, "timeout_s": verb.timeout_s, "record": verb.record is not None}
        self.outbox.note(Kind.VERB, facts | {"nouns": len(verb.nouns), "action": verb.action or ""})
        for made in branches_of(self.stage, verb):
            if isinstance(made, Unreachable):
                self._uncreated.append(made)
                continue
            self._ahead.append(made.opening)
            if made.acceptance is not None:
                self._acceptances.plan(made.acceptance)
        if not self._ahead:
            self._conclude_uncreated()
            return
        self._call_next()
        self._ringing.start()
        self._recording.ringing(self.leg)

    def _call_next(self) -> None:
        """All who are left; the first of them when they are called one after another."""
        count = 1 if self.verb.sequential else len(self._ahead)
        called, self._ahead = self._ahead[:count], self._ahead[count:]
        self._timer_runs = False
        self.deadline = self.outbox.now + self.outbox.policy.media_open_s
        self.branches += called
        for branch in called:
            self.stage.adopt(branch.leg, self)
            branch.start()

    # --- legs -----------------------------------------------------------------------------------------------------

    def _branch_of(self, leg: Leg) -> Outbound:
        return next(branch for branch in self.branches if branch.leg is leg)

    def leg_event(self, leg: Leg, event: events.SessionEvent) -> None:
        branch = self._branch_of(leg)
        match event:
            case events.InviteProgressed():
                self._progressed(branch, event)
            case events.InviteAnswered():
                self._answered(branch, event)
            case events.InviteFailed():
                self._failed(branch, event)
            case events.SessionEnded():
                self._session_ended(branch, event)
            case _:
                pass  # what any leg answers by itself, and answers to requests that branches never send

    def leg_opened(self, leg: Leg, event: engine.Opened) -> None:
        branch = self._branch_of(leg)
        if leg.media.opened(event):
            branch.stream_opened()
        if leg.invited_at is not None and not self._timer_runs and self.phase is Phase.DIALING:
            self._timer_runs = True
            self.deadline = leg.invited_at + self.verb.timeout_s

    def leg_failed(self, leg: Leg, reason: str) -> None:
        branch = self._branch_of(leg)
        branch.media_failed(reason)  # also of one that is not accepted yet
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._reason_text = "Media failure"
            self._settle(Cause.FAILED, None)
        else:
            self._branch_over(branch)

    def leg_counted(self, leg: Leg, packets_in: int) -> None:
        if self.phase is Phase.DIALING:
            self._ringing.counted(leg, packets_in)

    def leg_vanished(self, leg: Leg, text: str) -> None:
        """As if it had hung up, and its BYE is not to be hoped for; a phone that rings is given up (behaviour.md 2.11)."""
        branch = self._branch_of(leg)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._hang_up_winner(By.SERVER, sip_reason(200, text), text)
        elif leg.unanswered:
            leg.failure_reason = text
            branch.cancel(Cause.FAILED, By.SERVER, reason=sip_reason(CODE_OF_UNREGISTERED_CLIENT, text), text=text)
            self._branch_over(branch)
        else:
            self._tell(leg, lambda acceptance: acceptance.vanished(text))

    def leg_play_ended(self, leg: Leg, event: engine.PlayEnded) -> None:
        self._tell(leg, lambda acceptance: acceptance.play_ended(event))

    def digit(self, event: engine.Digit) -> None:
        if event.digit == "*" and self.verb.hangup_on_star and self.phase is Phase.BRIDGED:
            self._hang_up_winner(By.CALLER, None, "The caller pressed *")

    def leg_digit(self, leg: Leg, event: engine.Digit) -> None:
        self._tell(leg, lambda acceptance: acceptance.digit(event))

    def leg_canceled(self, leg: Leg) -> None:
        """An unanswered one is cancelled, the others ring on; the winner is hung up."""
        branch = self._branch_of(leg)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._hang_up_winner(By.OPERATOR, None, "")
            return
        branch.end(Cause.CANCELED, By.OPERATOR, text="Canceled by the operator")
        self._branch_over(branch)

    def leg_taken(self, leg: Leg, into: Bridge | None) -> None:
        """One that answered goes on elsewhere: here it is as if it had hung up now."""
        branch = self._branch_of(leg)
        self.branches.remove(branch)
        self._recording.stop()
        self._bridge.move(leg, into)
        if self._acceptances.stop(leg, By.OPERATOR, "Wanted elsewhere"):
            if self._ahead:
                self._call_next()
            elif all(other.leg.over for other in self.branches):
                self._conclude(result_of(branch, Cause.CANCELED, answered=False, code=CODE_OF_CANCELED_BRANCHES, own=True))
            return
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            leg.media.limit(None)
            self._taken = result_of(branch, Cause.COMPLETED, answered=True, code=CODE_OF_UNREACHABLE)
            self._settle(Cause.COMPLETED, None)

    def _progressed(self, branch: Outbound, event: events.InviteProgressed) -> None:
        early = branch.progressed(event)
        heard = self._bridge.holds(branch.leg)
        if self.phase is not Phase.DIALING or not early or len(self.branches) > 1 or not passes_early_media(self.verb, self.outbox.policy):
            return
        if branch.leg.media.relays and not self.leg.media.relays:
            if heard:  # another fork, or another mind
                self._bridge.clear()
                self._ringing.refused()
            return  # before the answer nothing is agreed that only this callee understands
        if not heard and not branch.leg.media.may_be_heard:
            return  # on hold, and the caller's own phone goes on ringing
        if self.leg.unanswered and not self.leg.early_media(branch.leg.media.voices):
            return
        if self.leg.media_connected:
            self._join(branch)
            self._ringing.listen(branch.leg)
            self._recording.ringing(self.leg)

    def _answered(self, branch: Outbound, event: events.InviteAnswered) -> None:
        connectable = branch.answered(event)
        voices = branch.leg.media.voices
        if connectable and branch.leg.media.relays and not self.leg.can_take(voices[0]):
            branch.reject_answer(f"Callee speaks {voices[0].name}, which its caller does not")
            connectable = False
        acceptance = self._acceptances.planned(branch)
        if not connectable:
            self._branch_over(branch)
        elif acceptance is None:
            self._wins(branch)
        else:
            self._begin_acceptance(branch, acceptance)

    def _begin_acceptance(self, branch: Outbound, acceptance: Acceptance) -> None:
        """It has answered, and is not to be heard yet."""
        if self._bridge.holds(branch.leg):
            self._bridge.clear()
            self._ringing.refused()
        if not acceptance.may_decline:
            self._lose_all_but(branch)
        self._acceptances.begin(acceptance)
        self._tell(branch.leg, Acceptance.start)

    def _tell(self, leg: Leg, what: Callable[[Acceptance], None]) -> bool:
        """False when the leg is not one that is to be accepted."""
        acceptance = self._acceptances.of(leg)
        if acceptance is None:
            return False
        what(acceptance)
        if acceptance.over:
            self._acceptances.stop(leg, By.SERVER, "")
            if acceptance.state is AcceptanceState.ACCEPTED:
                self._wins(acceptance.branch)
            else:
                self._branch_over(acceptance.branch)
        return True

    def _tell_all(self, what: Callable[[Acceptance], None]) -> None:
        for leg in self._acceptances.legs():
            self._tell(leg, what)  # unless the one before it has won

    def _lose_all_but(self, winner: Outbound) -> None:
        for branch in self.branches:
            if branch is not winner:
                self._acceptances.stop(branch.leg, By.SERVER, "Another party answered first")
                branch.end(Cause.CANCELED, By.SERVER, reason=ELSEWHERE, text="Another party answered first")

    def _wins(self, branch: Outbound) -> None:
        voices = branch.leg.media.voices
        self.winner = branch
        self.phase = Phase.CONNECTING
        self.deadline = None
        self.leg.prepare_answer(voices)
        self._ringing.stop()
        self._join(branch)
        if self.leg.media_connected:
            self._enter_bridged()
        self.leg.answer(voices)
        self._lose_all_but(branch)

    def _failed(self, branch: Outbound, event: events.InviteFailed) -> None:
        branch.failed(event)
        if self._bridge.holds(branch.leg):  # its early media is over, also when the fallback proxy is tried
            self._bridge.clear()
            if not branch.leg.over:
                self._ringing.refused()
        self._branch_over(branch)

    def _session_ended(self, branch: Outbound, event: events.SessionEnded) -> None:
        """BYE from the callee, or the answer to ours."""
        if self._tell(branch.leg, lambda acceptance: acceptance.hung_up(event)):
            return
        reason = reason_of(event.request.headers) if event.request is not None else None
        branch.session_ended(event)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._settle(Cause.COMPLETED, reason)
        elif self.phase is Phase.SETTLING:
            self._check_settled()
        else:
            self._branch_over(branch)

    def _branch_over(self, branch: Outbound) -> None:
        """Look whether any branch is left to hope for."""
        if not branch.leg.over or self.phase is not Phase.DIALING:
            return
        self._acceptances.stop(branch.leg, By.SERVER, "The leg is over")
        if self._bridge.holds(branch.leg):
            self._bridge.clear()
        if all(other.leg.over for other in self.branches):
            if self._ahead:
                self._call_next()
                return
            result, self._end_reason = result_of_failure(branch)
            self._conclude(result)

    # --- prompts, time, media -------------------------------------------------------------------------------------

    def fetched(self, event: Fetched) -> None:
        self._tell_all(lambda acceptance: acceptance.fetched(event))

    def prepared(self, event: Prepared) -> None:
        self._ringing.prepared(event)
        self._recording.ringing(self.leg)
        self._tell_all(lambda acceptance: acceptance.prepared(event))

    def play_ended(self, event: engine.PlayEnded) -> None:
        if event.reason == "failed":
            self._ringing.play_failed(event.detail)

    def caller_connected(self) -> None:
        """The caller's late answer has come with the ACK."""
        if self.phase is Phase.CONNECTING:
            self._enter_bridged()

    def recording_begun(self, recording: Recording) -> None:
        self._tell_all(lambda acceptance: acceptance.recording_begun(recording))

    def recording_over(self, recording: Recording) -> None:
        if self.phase is Phase.SETTLING:
            self._check_settled()
        self._tell_all(lambda acceptance: acceptance.recording_over(recording))

    def next_deadline(self) -> float | None:
        dues = (self.deadline, self._ringing.deadline, self._acceptances.next_deadline())
        return min((at for at in dues if at is not None), default=None)

    def timeout(self) -> None:
        now = self.outbox.now
        if self._ringing.deadline is not None and now >= self._ringing.deadline:
            self._ringing.timeout()
        self._tell_all(Acceptance.timeout)
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        match self.phase:
            case Phase.DIALING if not self._timer_runs:
                self.media_lost("The media worker did not open a stream in time")
            case Phase.DIALING if self._acceptances or self._ahead:
                for branch in list(self.branches):  # but not those who are called next
                    branch.cancel(Cause.NO_ANSWER, By.TIMER, text="Dial timeout")
                    self._branch_over(branch)
            case Phase.DIALING:
                self._timed_out()
            case Phase.CONNECTING | Phase.OVER:
                pass  # the caller's ACK has a timer of its own, in the SIP core
            case Phase.BRIDGED:
                self.outbox.note(Kind.STATE, {"status": "time-limit", "seconds": self.verb.time_limit_s})
                self._hang_up_winner(By.TIMER, None, "timeLimit reached")
            case Phase.SETTLING:
                self._conclude_settled()

    def media_lost(self, text: str) -> None:
        if self.phase is Phase.OVER:
            return
        if self.phase is Phase.SETTLING:
            self._check_settled()
            return
        reported = foremost(self.branches)
        for branch in self.branches:
            self._acceptances.stop(branch.leg, By.SERVER, text)
            branch.media_failed(text)
        self._reason_text = "Media failure"
        if self.winner is not None:
            self._settle(Cause.FAILED, None)
        else:
            reason = self._reason_text
            self._conclude(result_of(reported, Cause.FAILED, answered=False, failure_reason=reason, code=CODE_OF_UNREACHABLE))

    # --- the bridge -----------------------------------------------------------------------------------------------

    def _join(self, branch: Outbound) -> None:
        if self._bridge.holds(branch.leg):
            self._bridge.renegotiated(branch.leg)
        self._bridge.put(self.leg)
        self._bridge.put(branch.leg)

    def _enter_bridged(self) -> None:
        assert self.winner is not None
        self.phase = Phase.BRIDGED
        self._bridge.connected()
        self.deadline = self.outbox.now + self.verb.time_limit_s
        for leg in (self.leg, self.winner.leg):
            leg.media.limit(self.verb.time_limit_s + LIMIT_MARGIN_S)
        self._recording.bridged(self._bridge, self.leg, self.winner.leg)

    # --- endings --------------------------------------------------------------------------------------------------

    def stop(self, stop: Stop) -> None:
        """The caller has left, or is wanted elsewhere."""
        self._abandoned = self._abandoned or stop.abandoned
        match self.phase:
            case Phase.DIALING:
                ancestral = stop.by is By.OPERATOR and self.outbox.policy.operator_completed_is_completed
                self._give_up(Cause.COMPLETED if ancestral else Cause.CANCELED, stop)
            case Phase.CONNECTING | Phase.BRIDGED:
                self._hang_up_winner(stop.by, stop.reason, stop.text)
            case Phase.SETTLING if stop.abandoned:
                self._conclude_settled()  # the leg is another's from now on: what comes late may not touch it
            case Phase.SETTLING | Phase.OVER:
                pass

    def _hang_up_winner(self, by: By, reason: str | None, text: str) -> None:
        assert self.winner is not None
        cause = Cause.COMPLETED if self.phase is Phase.BRIDGED else Cause.CANCELED
        self.winner.bye(cause, by, reason=reason, text=text)
        self._settle(cause, None)

    def _settle(self, status: Cause, reason: str | None) -> None:
        """The bridged part is over; hold the result until the recording's end and the BYE's answer, for a moment."""
        if self.phase is Phase.BRIDGED and self.leg.session_open:
            self.leg.media.limit(None)  # the caller goes on, or is closed anyway
        self.phase = Phase.SETTLING
        self._status = status
        pending = self._recording.pending
        self._recording.stop()
        self._bridge.clear()
        policy = self.outbox.policy
        self.deadline = self.outbox.now + (policy.recording_wait_s if pending else policy.settle_s)
        self._end_reason = reason
        self._check_settled()

    def _check_settled(self) -> None:
        assert self.winner is not None
        bye_pending = self._taken is None and self.winner.leg.bye_pending
        if self._abandoned or not (bye_pending or self._recording.pending):
            self._conclude_settled()

    def _conclude_settled(self) -> None:
        assert self.winner is not None
        if self._taken is not None:
            self._conclude(self._taken)
            return
        self._conclude(
            result_of(
                self.winner,
                self._status,
                answered=self._status is not Cause.CANCELED,
                failure_reason=self._reason_text,
                code=CODE_OF_UNREACHABLE,
            )
        )

    def _timed_out(self) -> None:
        """The CANCELs wait for `release`: the caller hears of it first (behaviour.md 4.2)."""
        self._bridge.clear()
        timed = self.branches[-1:] if self.verb.sequential else self.branches
        self._conclude(result_of(first_that_rang(timed), Cause.NO_ANSWER, answered=False, code=CODE_OF_TIMEOUT))

    def _give_up(self, status: Cause, stop: Stop) -> None:
        self._bridge.clear()
        reported = foremost(self.branches)
        for branch in self.branches:
            self._acceptances.stop(branch.leg, stop.by, stop.text)
            branch.end(Cause.CANCELED, stop.by, reason=stop.reason, text=stop.text)
        self._conclude(result_of(reported, status, answered=False, code=CODE_OF_CANCELED_BRANCHES, own=True))

    def _conclude_uncreated(self) -> None:
        """No leg was created (behaviour.md 4.3): no DialCallSid, durations 0."""
        first = self._uncreated[0]
        code = 500 if self.outbox.policy.no_branch_code_500 else first.code
        self._conclude(DialResult(Cause.FAILED, answered=False, failure_reason=first.reason, caller_code=code))

    def _conclude(self, result: DialResult) -> None:
        if self.result is not None:
            return
        self._recording.stop()
        result = replace(result, recording_url=self._recording.url)
        self.phase = Phase.OVER
        self.deadline = None
        self._ringing.stop()
        facts: dict[str, Json] = {"event": "dial", "status": result.status.value, "leg": result.call_sid}
        facts |= {"ring_s": result.ring_duration_s, "duration_s": result.duration_s, "failure_reason": result.failure_reason}
        self.outbox.note(Kind.OUTCOME, facts)
        waited = self.outbox.now >= self._began_at + WAITED_S
        self.result = Finished(answered=result.answered, waited=waited, dial=result, reason=self._end_reason)

    def release(self) -> None:
        """After the result has been acted on: take back what still rings (a timeout's CANCELs)."""
        for branch in self.branches:
            branch.end(Cause.NO_ANSWER, By.TIMER, text="Dial timeout")
