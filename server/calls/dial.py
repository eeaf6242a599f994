"""One `<Dial>`: its branches, what the caller hears meanwhile, the bridge, and its one result.

```
  DIALING --first 200--> CONNECTING --caller's media there--> BRIDGED --end--> SETTLING --> OVER
     |                       |                                                  (waits a moment for the end of the
     +-- all failed, timeout, caller gone, operator ----------------------> OVER  recording and the answer to our BYE)
```
`result` is set exactly once, on entering OVER. The order on the wire is part of the contract (behaviour.md 4.2): the
caller's 200 goes before the CANCELs to the losers; on a timeout the caller's final goes before the CANCELs too, so those
wait for `release`; when the caller gives up the CANCELs go first.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from media import engine
from media.sdp.codecs import sampling_hz
from rcml.verbs.dial import Dial as DialVerb
from rcml.verbs.nouns import CallNoun, Number
from server.calls.branch import ELSEWHERE, Branch, BranchState
from server.calls.caller import Caller
from server.calls.effects import Json, Kind, Prepare, Prepared
from server.calls.legs.media import CodecPreference
from server.calls.outbox import Outbox, reason_of
from server.calls.outcome import (
    CODE_OF_CANCELED_BRANCHES,
    CODE_OF_SILENCE,
    CODE_OF_TIMEOUT,
    CODE_OF_UNREACHABLE,
    DialResult,
    relayed_code,
)
from server.calls.passage import passage
from server.calls.records import By, Cause, Recording
from server.calls.targets import CallerIdentity, Targets, Unreachable
from sip.core import events

# The engine's own timeLimit, for when we are gone, comes so much later than ours.
LIMIT_MARGIN_S = 5.0


class Phase(enum.Enum):
    DIALING = "dialing"
    CONNECTING = "connecting"
    BRIDGED = "bridged"
    SETTLING = "settling"
    OVER = "over"


class Dial:
    """Sans-I/O. Events of its branches and of the caller come in through the methods; `Call` owns it and reads `result`."""

    def __init__(self, outbox: Outbox, verb: DialVerb, caller: Caller, targets: Targets, identity: CallerIdentity) -> None:
        self._outbox = outbox
        self.verb = verb
        self._caller = caller
        self._targets = targets
        self._identity = identity
        self.phase = Phase.DIALING
        self.began_at = outbox.now
        self.result: DialResult | None = None
        self.branches: list[Branch] = []
        self.winner: Branch | None = None
        self.party_answered = False
        self._uncreated: list[Unreachable] = []
        self._deadline: float | None = None
        self._timer_runs = False  # the Dial's timeout counts from the first INVITE
        self._music: int | None = None  # the dialMusic that is being fetched
        self._music_plays = False
        self._bridge = ""
        self._bridged_with: Branch | None = None
        self._recording = ""
        self._recording_url: str | None = None
        self._recorded_from: float | None = None  # when its first sample came
        self.recording_pending = False  # begun or asked for, and not reported ended; may outlast the Dial
        self._status = Cause.COMPLETED
        self._reason_text: str | None = None
        self.end_reason: str | None = None  # the Reason of the callee's BYE or refusal, passed on to the caller (decision 4)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the branches: all INVITEs leave before any reply is awaited (behaviour.md 2.7)."""
        for noun in self.verb.nouns:
            placed = self._targets.place(noun, self.verb.caller_id, self._identity)
            if isinstance(placed, Unreachable):
                self._uncreated.append(placed)
                text = f"{placed.reason}; {placed.remedy}" if placed.remedy else placed.reason
                self._outbox.notify(11008, "error", text, line=noun.line)
                continue
            assert isinstance(noun, CallNoun)
            self._warn_of_ignored(noun)
            self.branches.append(Branch(self._outbox, noun, placed, self._preference, self._caller.hops_left))
        if not self.branches:
            self._conclude_uncreated()
            return
        self._deadline = self._outbox.now + self._outbox.policy.media_open_s
        for branch in self.branches:
            branch.start()
        self._start_ringback()

    def _preference(self) -> CodecPreference:
        """What the callees are offered first. A codec that can only pass is of no use where something is played or recorded.

        A recording (8 kHz) hears no more than the narrowest caller, so it asks for nothing beyond that.
        """
        preference = self._caller.preference(relay=not self.verb.record and self.verb.dial_music is None)
        return replace(preference, far_hz=max(map(sampling_hz, preference.codecs), default=0))

    def _warn_of_ignored(self, noun: CallNoun) -> None:
        """Attributes of later releases: the author must not believe that they worked."""
        if noun.url is not None:
            self._outbox.notify(
                12200, "error", "Screening (url on a noun) is not supported in this release: bridged without it", line=noun.line
            )
        if isinstance(noun, Number) and noun.send_digits is not None:
            self._outbox.notify(12200, "warning", "sendDigits is not supported in this release: no digits are sent", line=noun.line)

    @property
    def bridged(self) -> bool:
        return self.phase is Phase.BRIDGED

    @property
    def partner(self) -> Branch | None:
        """Whom the caller talks with: the one that answered, or before that, the one whose early media it hears."""
        return None if self.phase in (Phase.SETTLING, Phase.OVER) else self.winner or self._bridged_with

    @property
    def deadline(self) -> float | None:
        return self._deadline if self.phase is not Phase.OVER else None

    def timeout(self) -> None:
        if self._deadline is None or self._outbox.now < self._deadline or self.phase is Phase.OVER:
            return
        self._deadline = None
        match self.phase:
            case Phase.DIALING if not self._timer_runs:
                self.media_lost("The media worker did not open a stream in time")
            case Phase.DIALING:
                self._timed_out()
            case Phase.CONNECTING:
                pass  # the caller's ACK has a timer of its own, in the SIP core
            case Phase.BRIDGED:
                self._outbox.note(Kind.STATE, {"status": "time-limit", "seconds": self.verb.time_limit_s})
                self._hang_up_winner(By.TIMER, None, "timeLimit reached")
            case Phase.SETTLING:
                self._conclude_settled()

    def branch_progressed(self, branch: Branch, event: events.InviteProgressed) -> None:
        before = self._passage(branch)
        early = branch.progressed(event)
        if self.phase is not Phase.DIALING or not early or not self._may_pass_early_media():
            return
        if branch.media.relays and not self._caller.media.relays:
            if self._bridged_with is branch:  # another fork, or another mind
                self._part()
                self._ringback()
            return  # before the answer nothing is agreed that only this callee understands
        if self._caller.unanswered and not self._caller.early_media(branch.media.voices):
            return
        if self._caller.media_connected:
            self._caller.media.stop_playing()
            self._join(branch, before)

    def branch_answered(self, branch: Branch, event: events.InviteAnswered) -> None:
        before = self._passage(branch)
        connectable = branch.answered(event)
        if connectable and branch.media.relays and not self._caller.can_take(branch.media.voices[0]):
            branch.reject_answer(f"Callee speaks {branch.media.voices[0].name}, which its caller does not")
            connectable = False
        if not connectable:
            self.branch_over(branch)
            return
        self.winner = branch
        self.party_answered = True
        self.phase = Phase.CONNECTING
        self._deadline = None
        prefer = branch.media.voices
        self._caller.prepare_answer(prefer)
        self._caller.media.stop_playing()
        if self._caller.media_connected:
            self._enter_bridged(before)
        self._caller.answer(prefer)
        for other in self.branches:
            if other is not branch:
                other.cancel(Cause.CANCELED, By.SERVER, reason=ELSEWHERE, text="Another party answered first")

    def branch_failed(self, branch: Branch, event: events.InviteFailed) -> None:
        branch.failed(event)
        if self._bridged_with is branch:  # its early media is over, also when the fallback proxy is tried
            self._part()
            if branch.state is not BranchState.OVER:
                self._ringback()
        self.branch_over(branch)

    def branch_ended(self, branch: Branch, event: events.SessionEnded) -> None:
        """BYE from the callee, or the answer to ours."""
        reason = reason_of(event.request.headers) if event.request is not None else None
        branch.session_ended(event)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._settle(Cause.COMPLETED, By.CALLEE, reason)
        elif self.phase is Phase.SETTLING:
            self._check_settled()
        else:
            self.branch_over(branch)

    def branch_over(self, branch: Branch) -> None:
        """Look whether any branch is left to hope for."""
        if branch.state is not BranchState.OVER or self.phase is not Phase.DIALING:
            return
        if self._bridged_with is branch:
            self._part()
        if all(other.state is BranchState.OVER for other in self.branches):
            self._conclude_failed(branch)

    def media_opened(self, branch: Branch, event: engine.Opened) -> None:
        branch.media_opened(event)
        if branch.invited_at is not None and not self._timer_runs and self.phase is Phase.DIALING:
            self._timer_runs = True
            self._deadline = branch.invited_at + self.verb.timeout_s

    def media_failed(self, branch: Branch, text: str) -> None:
        """The engine could not open the branch's stream."""
        branch.media_failed(text)
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._reason_text = "Media failure"
            self._settle(Cause.FAILED, By.SERVER, None)
        else:
            self.branch_over(branch)

    def engine_lost(self) -> None:
        """All media is gone. What was recorded is on the disk: the worker writes as it goes."""
        if self.recording_pending and self._recorded_from is not None:
            length_ms = int((self._outbox.now - self._recorded_from) * 1000)
            self._recording_over(length_ms, self._recording_path, "the media worker ended")
        self.recording_pending = False
        self._bridge = ""
        self._bridged_with = None
        self.media_lost("The media worker ended")

    def prepared(self, event: Prepared) -> None:
        """The dialMusic is there, or not (behaviour.md 10.2)."""
        if event.prompt != self._music:
            return
        self._music = None
        if self.phase is not Phase.DIALING or self._bridged_with is not None:
            return
        if not event.path:
            self._music_fails(event.detail or event.error)
            return
        if self._caller.unanswered and not self._caller.early_media():
            return
        self._music_plays = self._caller.media.play_files([event.path], 0) is not None

    def play_failed(self, detail: str) -> None:
        """The engine cannot play what the caller should hear meanwhile."""
        if self._music_plays and self.phase is Phase.DIALING:
            self._music_fails(detail)

    def _music_fails(self, detail: str) -> None:
        self._music_plays = False
        text = f"dialMusic {self.verb.dial_music} cannot be played: {detail}; the built-in ringback is used"
        self._outbox.notify(13233, "warning", text, url=self.verb.dial_music or "", line=self.verb.line)
        self._ringback()

    def caller_connected(self) -> None:
        """The caller's late answer has come with the ACK."""
        if self.phase is Phase.CONNECTING:
            self._enter_bridged({})

    def give_up(self, by: By, *, reason: str | None, text: str) -> None:
        """The call is over for its caller, by whatever way. reason: for the other side's Reason header."""
        match self.phase:
            case Phase.DIALING:
                ancestral = by is By.OPERATOR and self._outbox.policy.operator_completed_is_completed
                self._give_up(Cause.COMPLETED if ancestral else Cause.CANCELED, by, reason, text)
            case Phase.CONNECTING | Phase.BRIDGED:
                self._hang_up_winner(by, reason, text)
            case Phase.SETTLING | Phase.OVER:
                pass

    def operator_cancel_branch(self, branch: Branch) -> None:
        """REST on one dialled leg: an unanswered one is cancelled, the others ring on; the winner is hung up."""
        if branch is self.winner and self.phase in (Phase.CONNECTING, Phase.BRIDGED):
            self._hang_up_winner(By.OPERATOR, None, "")
            return
        branch.cancel(Cause.CANCELED, By.OPERATOR, text="Canceled by the operator")
        self.branch_over(branch)

    def recording_started(self, event: engine.RecordingStarted) -> None:
        if event.recording == self._recording and self._recorded_from is None:
            self._recorded_from = self._outbox.now

    def recording_ended(self, event: engine.RecordingEnded) -> None:
        if event.recording != self._recording or not self.recording_pending:
            return
        if event.lost_ms:
            text = f"Recording {event.recording} lacks {event.lost_ms} ms, which are silence: the disk could not keep up"
            self._outbox.notify(13610, "warning", text, line=self.verb.line)
        self._recording_over(event.duration_ms, event.path, event.detail if event.reason == "disk" else "")
        if self.phase is Phase.SETTLING:
            self._check_settled()

    def _recording_over(self, duration_ms: int, path: str, trouble: str) -> None:
        self.recording_pending = False
        sid, account = self._recording, self._outbox.policy.account_sid
        if trouble:
            self._outbox.notify(13610, "error", f"Recording {sid} stopped early: {trouble}", line=self.verb.line)
        if duration_ms > 0:
            self._recording_url = self._url_of_recording
            self._outbox.emit(Recording(sid, self._outbox.call_sid, account, path, duration_ms, self._outbox.now))

    def release(self) -> None:
        """After the result has been acted on: take back what still rings (a timeout's CANCELs)."""
        for branch in self.branches:
            branch.end(Cause.NO_ANSWER, By.TIMER, text="Dial timeout")

    # --- what the caller hears ------------------------------------------------------------------------------------

    def _start_ringback(self) -> None:
        """Ringback or music until the bridge; an unanswered caller gets early media only by dialMusic (4.5, 10.2)."""
        if self.verb.dial_music_disabled or self._music is not None:
            return
        if self.verb.dial_music is not None:
            if self._caller.unanswered and (self._caller.late_offer or not self._outbox.policy.early_media):
                return
            self._music = self._outbox.number()
            self._outbox.emit(Prepare(self._music, self._outbox.call_sid, self.verb.dial_music))
            return
        self._ringback()

    def _ringback(self) -> None:
        """For an answered caller, and for one who was given early media before: a phone that heard our 183 rings no more."""
        if self._caller.media_connected:
            self._caller.media.play_tone("ringback")

    def _may_pass_early_media(self) -> bool:
        """Decision 1: one destination, no dialMusic of any kind, no screening."""
        verb = self.verb
        single = len(verb.nouns) == 1 and getattr(verb.nouns[0], "url", None) is None
        return single and verb.dial_music is None and not verb.dial_music_disabled and self._outbox.policy.early_media

    # --- the bridge -----------------------------------------------------------------------------------------------

    def _passage(self, branch: Branch) -> dict[str, Json]:
        return passage(self._caller.media.offer_answer.agreed, branch.media.offer_answer.agreed)

    def _join(self, branch: Branch, before: dict[str, Json]) -> None:
        """before: how the sound went until now, if it is bridged already by early media."""
        way = self._passage(branch)
        if self._bridged_with is branch:
            if way != before:
                self._outbox.note(Kind.MEDIA, {"event": "codecs-changed", **way}, branch.sid)
            return
        self._bridge = f"{branch.sid}-bridge"
        self._bridged_with = branch
        self._outbox.emit(engine.Bridge(bridge=self._bridge, first=self._caller.media.stream, second=branch.media.stream))
        caller, callee = self._caller.media, branch.media
        facts: dict[str, Json] = {"event": "bridge", "first": caller.stream, "second": callee.stream}
        self._outbox.note(Kind.MEDIA, facts | way)

    def _part(self) -> None:
        if self._bridge:
            self._outbox.emit(engine.Unbridge(bridge=self._bridge))
            self._outbox.note(Kind.MEDIA, {"event": "unbridge"})
        self._bridge = ""
        self._bridged_with = None

    def _enter_bridged(self, before: dict[str, Json]) -> None:
        assert self.winner is not None
        self.phase = Phase.BRIDGED
        self._join(self.winner, before)
        self._deadline = self._outbox.now + self.verb.time_limit_s
        for media in (self._caller.media, self.winner.media):
            media.limit(self.verb.time_limit_s + LIMIT_MARGIN_S)
        if self.verb.record and self._outbox.policy.recordings_dir:
            self._record(self.winner)

    def _record(self, winner: Branch) -> None:
        if winner.media.relays or self._caller.media.relays:
            text = "The call is not recorded: its parties speak a codec that only passes here (G729)"
            self._outbox.notify(13610, "error", text, line=self.verb.line)
            return
        self._recording = self._outbox.sid("RE")
        self.recording_pending = True
        channels = self._outbox.policy.recording_channels
        self._outbox.emit(engine.Record(recording=self._recording, path=self._recording_path, bridge=self._bridge, channels=channels))
        self._outbox.note(Kind.MEDIA, {"event": "record", "recording": self._recording})

    @property
    def _recording_path(self) -> str:
        return f"{self._outbox.policy.recordings_dir}/{self._recording}.wav"

    @property
    def _url_of_recording(self) -> str:
        policy = self._outbox.policy
        query = policy.recording_query(self._recording, self._outbox.now)
        return f"{policy.public_url}/restcomm/2012-04-24/Accounts/{policy.account_sid}/Recordings/{self._recording}.wav{query}"

    # --- endings --------------------------------------------------------------------------------------------------

    def _hang_up_winner(self, by: By, reason: str | None, text: str) -> None:
        assert self.winner is not None
        connected = self.phase is Phase.BRIDGED
        cause = Cause.COMPLETED if connected else Cause.CANCELED
        self.winner.bye(cause, by, reason=reason, text=text)
        self._settle(cause, by, None)

    def _settle(self, status: Cause, by: By, reason: str | None) -> None:
        """The bridged part is over; hold the result until the recording's end and the BYE's answer, for a moment."""
        if self.phase is Phase.BRIDGED:
            self._caller.media.limit(None)  # the caller goes on, or is closed anyway
        self.phase = Phase.SETTLING
        self._status = status
        if self.recording_pending:
            self._outbox.emit(engine.StopRecord(recording=self._recording))
        self._part()
        wait = self._outbox.policy.recording_wait_s if self.recording_pending else self._outbox.policy.settle_s
        self._deadline = self._outbox.now + wait
        self.end_reason = reason
        self._check_settled()

    def _check_settled(self) -> None:
        if self.phase is Phase.SETTLING and not self.recording_pending and not (self.winner is not None and self.winner.bye_pending):
            self._conclude_settled()

    def _conclude_settled(self) -> None:
        winner = self.winner
        assert winner is not None
        connected = self._status is not Cause.CANCELED
        if self.recording_pending and self._recorded_from is not None:
            self._recording_url = self._url_of_recording  # not accessible yet, which the page allows
        self._conclude(
            self._of_branch(winner, self._status, answered=connected, failure_reason=self._reason_text, code=CODE_OF_UNREACHABLE)
        )

    def _timed_out(self) -> None:
        """The CANCELs wait for `release`: the caller hears of it first (behaviour.md 4.2)."""
        reported = next((branch for branch in self.branches if branch.rang), self.branches[0])
        self._part()
        result = self._of_branch(reported, Cause.NO_ANSWER, answered=False, code=CODE_OF_TIMEOUT)
        self._conclude(result)

    def _give_up(self, status: Cause, by: By, reason: str | None, text: str) -> None:
        self._part()
        reported = self._foremost()
        for branch in self.branches:
            branch.cancel(Cause.CANCELED, by, reason=reason, text=text)
        self._conclude(self._of_branch(reported, status, answered=False, code=CODE_OF_CANCELED_BRANCHES, own=True))

    def _foremost(self) -> Branch:
        """The leg to report when all are given up: one that still rings, else one that is still tried, else the first."""
        alive = [branch for branch in self.branches if branch.ringing_or_calling] or self.branches
        return next((branch for branch in alive if branch.rang), alive[0])

    def media_lost(self, text: str) -> None:
        """Nothing can be heard any more, on any leg (behaviour.md 3.1, media failure)."""
        if self.phase in (Phase.SETTLING, Phase.OVER):
            if self.phase is Phase.SETTLING:
                self._check_settled()
            return
        reported = self._foremost()
        for branch in self.branches:
            branch.media_failed(text)
        self._reason_text = "Media failure"
        if self.winner is not None:
            self._settle(Cause.FAILED, By.SERVER, None)
        elif self.result is None:
            self._conclude(
                self._of_branch(reported, Cause.FAILED, answered=False, failure_reason="Media failure", code=CODE_OF_UNREACHABLE)
            )

    def _conclude_failed(self, branch: Branch) -> None:
        """All branches are over: the last to finish is reported (behaviour.md 3.3)."""
        assert branch.ended is not None
        cause, status = branch.ended.cause, branch.ended.sip_status
        response = branch.last_response
        text = ""
        if cause is Cause.CANCELED and branch.canceled_by_us:
            code = CODE_OF_CANCELED_BRANCHES
        elif status >= 300:
            code = relayed_code(status)
            if response is not None:
                self.end_reason = reason_of(response.headers)
                text = response.reason if code == status else ""
        elif branch.ended.by is By.TIMER:
            code = CODE_OF_SILENCE
        elif status == 200:
            code = 502  # answered, but with nothing that could be connected
        else:
            code = CODE_OF_UNREACHABLE
        self._conclude(self._of_branch(branch, cause, answered=False, failure_reason=branch.failure_reason, code=code, text=text))

    def _conclude_uncreated(self) -> None:
        """No leg was created (behaviour.md 4.3): no DialCallSid, durations 0."""
        first = self._uncreated[0]
        code = 500 if self._outbox.policy.no_branch_code_500 else first.code
        self._conclude(DialResult(Cause.FAILED, answered=False, failure_reason=first.reason, caller_code=code))

    def _of_branch(
        self,
        branch: Branch,
        status: Cause,
        *,
        answered: bool,
        code: int,
        failure_reason: str | None = None,
        text: str = "",
        own: bool = False,
    ) -> DialResult:
        """The facts of the reported leg. DialSip* only for what the far end said, never for our own CANCEL (3.1)."""
        response = branch.last_response
        ours = own or branch.canceled_by_us or (status is Cause.NO_ANSWER and branch.ended is None)
        refused = response is not None and response.status >= 400 and not ours
        headers: tuple[tuple[str, str], ...] = ()
        if response is not None and not ours:
            headers = tuple((name, value) for name, value in response.headers if name[:2].upper() == "X-")
        return DialResult(
            status=status,
            answered=answered,
            call_sid=branch.sid,
            duration_s=branch.duration_s if answered else 0,
            ring_duration_s=branch.ring_duration_s,
            recording_url=self._recording_url,
            failure_reason=(failure_reason or "Failed") if status is Cause.FAILED else None,
            sip_call_id=branch.sip_call_id if refused else None,
            sip_response_code=response.status if refused and response is not None else None,
            sip_headers=headers,
            caller_code=code,
            caller_text=text,
        )

    def _conclude(self, result: DialResult) -> None:
        if self.result is not None:
            return
        self.phase = Phase.OVER
        self._deadline = None
        self._music, self._music_plays = None, False
        self._caller.media.stop_playing()
        self.result = result
        facts = {"event": "dial", "status": result.status.value, "leg": result.call_sid, "ring_s": result.ring_duration_s}
        self._outbox.note(Kind.OUTCOME, facts | {"duration_s": result.duration_s, "failure_reason": result.failure_reason})
