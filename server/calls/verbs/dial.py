"""One running `<Dial>`: its branches, which of them wins, and its one result.

```
  DIALING --first 200--> CONNECTING --caller's media there--> BRIDGED --end--> SETTLING --> OVER
     |                       |                                                  (waits a moment for the end of the
     +-- all failed, timeout, stopped ----------------------------------> OVER   recording and the answer to our BYE)
```
What the caller hears meanwhile is `Ringing`, who hears whom is a `Bridge`, what is recorded a `Recording`.
The order on the wire is part of the contract (behaviour.md 4.2): the caller's 200 goes before the CANCELs to the losers; on a timeout
the caller's final goes before the CANCELs too, so those wait for `release`; when the caller gives up the CANCELs go first.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import replace

from media import engine
from media.sdp.codecs import sampling_hz
from rcml.verbs.dial import Dial
from rcml.verbs.nouns import CallNoun, Number
from server.calls.bridge import Bridge
from server.calls.effects import Json, Kind, Prepared
from server.calls.legs.callbacks import LegCallbacks
from server.calls.legs.leg import MAX_BREADTH, Leg
from server.calls.legs.media import CodecPreference
from server.calls.legs.outbound import ELSEWHERE, Outbound
from server.calls.outbox import reason_of, sip_reason
from server.calls.outcome import CODE_OF_CANCELED_BRANCHES, CODE_OF_TIMEOUT, CODE_OF_UNREACHABLE, DialResult
from server.calls.recording import Recording
from server.calls.records import By, Cause
from server.calls.targets import Unreachable
from server.calls.verbs.dial_result import first_that_rang, foremost, result_of, result_of_failure
from server.calls.verbs.ringing import Ringing
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
        self.branches: list[Outbound] = []
        self.winner: Outbound | None = None
        self._began_at = self.outbox.now
        self._uncreated: list[Unreachable] = []
        self._timer_runs = False  # the Dial's timeout counts from the first INVITE
        self._abandoned = False
        self._taken: DialResult | None = None  # the winner is another call's, which has its own say about it; so it was then
        self._ringing = Ringing(self.leg, verb)
        self._bridge = Bridge(self.outbox)
        self._recording: Recording | None = None
        self._status = Cause.COMPLETED
        self._reason_text: str | None = None
        self._end_reason: str | None = None  # the Reason of the callee's BYE or refusal, passed on to the caller (behaviour 0.4)

    # --- start ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the branches: all INVITEs leave before any reply is awaited (behaviour.md 2.7)."""
        verb = self.verb
        facts: dict[str, Json] = {"verb": "Dial", "line": verb.line, "timeout_s": verb.timeout_s, "record": verb.record}
        self.outbox.note(Kind.VERB, facts | {"nouns": len(verb.nouns), "action": verb.action or ""})
        told, count = self.leg.opening.breadth, max(1, len(verb.nouns))
        share, rest = divmod(max(MAX_BREADTH, count) if told is None else told, count)  # RFC 5393 5.3.3: what leads back to us ends
        for index, noun in enumerate(verb.nouns):
            breadth = share + (index < rest)
            placed = self.stage.targets.place(noun, verb.caller_id, self.stage.identity, self.outbox.policy.sip_refusal)
            if not breadth:
                placed = Unreachable("Max-Breadth Exceeded", 440, "dial fewer at a time, and none that leads back here")
            if isinstance(placed, Unreachable):
                self._uncreated.append(placed)
                text = f"{placed.reason}; {placed.remedy}" if placed.remedy else placed.reason
                self.outbox.notify(11008, "error", text, line=noun.line)
                continue
            assert isinstance(noun, CallNoun)
            self._warn_of_ignored(noun)
            callbacks = LegCallbacks(noun, placed.caller_name)
            branch = Outbound(
                self.outbox,
                placed,
                functools.partial(_preference, self.leg, verb),
                hops_left=self.leg.opening.hops_left,
                trail=self.leg.trail,
                breadth=breadth,
                callbacks=callbacks,
            )
            self.branches.append(branch)
            self.stage.adopt(branch.leg, self)
        if not self.branches:
            self._conclude_uncreated()
            return
        self.deadline = self.outbox.now + self.outbox.policy.media_open_s
        for branch in self.branches:
            branch.start()
        self._ringing.start()

    def _warn_of_ignored(self, noun: CallNoun) -> None:
        """Attributes of later releases: the author must not believe that they worked."""
        if noun.url is not None:
            self.outbox.notify(
                12200, "error", "Screening (url on a noun) is not supported in this release: bridged without it", line=noun.line
            )
        if isinstance(noun, Number) and noun.send_digits is not None:
            self.outbox.notify(12200, "warning", "sendDigits is not supported in this release: no digits are sent", line=noun.line)

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
        branch.media_failed(reason)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._reason_text = "Media failure"
            self._settle(Cause.FAILED, None)
        else:
            self._branch_over(branch)

    def leg_counted(self, leg: Leg, packets_in: int) -> None:
        if self.phase is Phase.DIALING:
            self._ringing.counted(leg, packets_in)

    def leg_vanished(self, leg: Leg, text: str) -> None:
        """As if it had hung up; its BYE is not to be hoped for."""
        if self.winner is not None and leg is self.winner.leg and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._hang_up_winner(By.SERVER, sip_reason(200, text), text)

    def leg_canceled(self, leg: Leg) -> None:
        """An unanswered one is cancelled, the others ring on; the winner is hung up."""
        branch = self._branch_of(leg)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._hang_up_winner(By.OPERATOR, None, "")
            return
        branch.cancel(Cause.CANCELED, By.OPERATOR, text="Canceled by the operator")
        self._branch_over(branch)

    def leg_taken(self, leg: Leg, into: Bridge | None) -> None:
        """The one that answered goes on elsewhere: here it is as if it had hung up now."""
        branch = self._branch_of(leg)
        self.branches.remove(branch)
        if self._recording is not None:
            self._recording.stop()  # before its bridge is gone
        self._bridge.move(leg, into)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            leg.media.limit(None)
            self._taken = result_of(branch, Cause.COMPLETED, answered=True, code=CODE_OF_UNREACHABLE)
            self._settle(Cause.COMPLETED, None)

    def _progressed(self, branch: Outbound, event: events.InviteProgressed) -> None:
        early = branch.progressed(event)
        heard = self._bridge.holds(branch.leg)
        if self.phase is not Phase.DIALING or not early or not self._may_pass_early_media():
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

    def _may_pass_early_media(self) -> bool:
        """Behaviour 0.1: one destination, no dialMusic of any kind, no screening."""
        verb = self.verb
        single = len(verb.nouns) == 1 and getattr(verb.nouns[0], "url", None) is None
        return single and verb.dial_music is None and not verb.dial_music_disabled and self.outbox.policy.early_media

    def _answered(self, branch: Outbound, event: events.InviteAnswered) -> None:
        connectable = branch.answered(event)
        voices = branch.leg.media.voices
        if connectable and branch.leg.media.relays and not self.leg.can_take(voices[0]):
            branch.reject_answer(f"Callee speaks {voices[0].name}, which its caller does not")
            connectable = False
        if not connectable:
            self._branch_over(branch)
            return
        self.winner = branch
        self.phase = Phase.CONNECTING
        self.deadline = None
        self.leg.prepare_answer(voices)
        self._ringing.stop()
        self._join(branch)
        if self.leg.media_connected:
            self._enter_bridged()
        self.leg.answer(voices)
        for other in self.branches:
            if other is not branch:
                other.cancel(Cause.CANCELED, By.SERVER, reason=ELSEWHERE, text="Another party answered first")

    def _failed(self, branch: Outbound, event: events.InviteFailed) -> None:
        branch.failed(event)
        if self._bridge.holds(branch.leg):  # its early media is over, also when the fallback proxy is tried
            self._bridge.clear()
            if not branch.leg.over:
                self._ringing.refused()
        self._branch_over(branch)

    def _session_ended(self, branch: Outbound, event: events.SessionEnded) -> None:
        """BYE from the callee, or the answer to ours."""
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
        if self._bridge.holds(branch.leg):
            self._bridge.clear()
        if all(other.leg.over for other in self.branches):
            result, self._end_reason = result_of_failure(branch)
            self._conclude(result)

    # --- prompts, time, media -------------------------------------------------------------------------------------

    def prepared(self, event: Prepared) -> None:
        self._ringing.prepared(event)

    def play_ended(self, event: engine.PlayEnded) -> None:
        if event.reason == "failed":
            self._ringing.play_failed(event.detail)

    def caller_connected(self) -> None:
        """The caller's late answer has come with the ACK."""
        if self.phase is Phase.CONNECTING:
            self._enter_bridged()

    def recording_over(self, recording: Recording) -> None:
        if recording is self._recording and self.phase is Phase.SETTLING:
            self._check_settled()

    def next_deadline(self) -> float | None:
        return min((at for at in (self.deadline, self._ringing.deadline) if at is not None), default=None)

    def timeout(self) -> None:
        now = self.outbox.now
        if self._ringing.deadline is not None and now >= self._ringing.deadline:
            self._ringing.timeout()
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        match self.phase:
            case Phase.DIALING if not self._timer_runs:
                self.media_lost("The media worker did not open a stream in time")
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
        if self.verb.record and self.outbox.policy.recordings_dir:
            self._record(self.winner)

    def _record(self, winner: Outbound) -> None:
        if winner.leg.media.relays or self.leg.media.relays:
            text = "The call is not recorded: its parties speak a codec that only passes here (G729)"
            self.outbox.notify(13610, "error", text, line=self.verb.line)
            return
        self._recording = self.stage.record(self.verb.line)
        self._recording.start(self._bridge.name)

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
        pending = self._recording is not None and not self._recording.over
        if self._recording is not None:
            self._recording.stop()
        self._bridge.clear()
        policy = self.outbox.policy
        self.deadline = self.outbox.now + (policy.recording_wait_s if pending else policy.settle_s)
        self._end_reason = reason
        self._check_settled()

    def _check_settled(self) -> None:
        assert self.winner is not None
        bye_pending = self._taken is None and self.winner.leg.bye_pending
        waits = bye_pending or (self._recording is not None and not self._recording.over)
        if self._abandoned or not waits:
            self._conclude_settled()

    def _conclude_settled(self) -> None:
        assert self.winner is not None
        recording_url = self._recording.url if self._recording is not None else None
        if self._taken is not None:
            self._conclude(replace(self._taken, recording_url=recording_url))
            return
        self._conclude(
            result_of(
                self.winner,
                self._status,
                answered=self._status is not Cause.CANCELED,
                failure_reason=self._reason_text,
                code=CODE_OF_UNREACHABLE,
                recording_url=recording_url,
            )
        )

    def _timed_out(self) -> None:
        """The CANCELs wait for `release`: the caller hears of it first (behaviour.md 4.2)."""
        self._bridge.clear()
        self._conclude(result_of(first_that_rang(self.branches), Cause.NO_ANSWER, answered=False, code=CODE_OF_TIMEOUT))

    def _give_up(self, status: Cause, stop: Stop) -> None:
        self._bridge.clear()
        reported = foremost(self.branches)
        for branch in self.branches:
            branch.cancel(Cause.CANCELED, stop.by, reason=stop.reason, text=stop.text)
        self._conclude(result_of(reported, status, answered=False, code=CODE_OF_CANCELED_BRANCHES, own=True))

    def _conclude_uncreated(self) -> None:
        """No leg was created (behaviour.md 4.3): no DialCallSid, durations 0."""
        first = self._uncreated[0]
        code = 500 if self.outbox.policy.no_branch_code_500 else first.code
        self._conclude(DialResult(Cause.FAILED, answered=False, failure_reason=first.reason, caller_code=code))

    def _conclude(self, result: DialResult) -> None:
        if self.result is not None:
            return
        self.phase = Phase.OVER
        self.deadline = None
        self._ringing.stop()
        facts: dict[str, Json] = {"event": "dial", "status": result.status.value, "leg": result.call_sid}
        facts |= {"ring_s": result.ring_duration_s, "duration_s": result.duration_s, "failure_reason": result.failure_reason}
        self.outbox.note(Kind.OUTCOME, facts)
        waited = self.outbox.now - self._began_at >= WAITED_S
        self.result = Finished(answered=result.answered, waited=waited, dial=result, reason=self._end_reason)

    def release(self) -> None:
        """After the result has been acted on: take back what still rings (a timeout's CANCELs)."""
        for branch in self.branches:
            branch.end(Cause.NO_ANSWER, By.TIMER, text="Dial timeout")


def _preference(caller: Leg, verb: Dial) -> CodecPreference:
    """What the callees are offered first. A codec that can only pass is of no use where something is played or recorded.

    A recording (8 kHz) hears no more than the narrowest caller, so it asks for nothing beyond that.
    """
    preference = caller.preference(relay=not verb.record and verb.dial_music is None)
    return replace(preference, far_hz=max(map(sampling_hz, preference.codecs), default=0))
