"""What a called party goes through between its answer and the bridge: `sendDigits`, then the screening document (behaviour 2.4, 2.5).

```
  PRESSING --all keys pressed--> SCREENING --its document ran out--> ACCEPTED
     |                              +--Hangup, Reject, no document, a Dial, too long--> DECLINED
     +-------------the party hangs up, is gone, is hung up----------------------------> DECLINED
```
A party with neither is accepted by its answer and needs none of this. Meanwhile it is on no bridge: the caller hears what it heard before.
Declined parties have been hung up, as `no-answer`, for they never were connected with the caller; as `failed` when their document could
not be had or run.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from media import engine
from rcml.parameters import is_extension
from rcml.verbs.nouns import CallNoun, Number, Sip
from server.calls.effects import Fetched, Kind, Prepared
from server.calls.keys import GAP_MS, TONE_MS, pressing_s
from server.calls.legs.leg import Leg
from server.calls.legs.outbound import Outbound
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.recording import Recording
from server.calls.records import By, Cause
from server.calls.script import How
from server.calls.verbs.leg_script import LegScript
from server.calls.verbs.running import Stage, Stop
from sip.core import events

SCREENING = "screening"  # the purpose of the request
UNAVAILABLE = "Screening document unavailable"
NOT_CONNECTED = "Hung up before it was connected"


class AcceptanceState(enum.Enum):
    PRESSING = "pressing"
    SCREENING = "screening"
    ACCEPTED = "accepted"
    DECLINED = "declined"


def keys_of(noun: CallNoun) -> str:
    return (noun.send_digits or "") if isinstance(noun, Number) else ""


def is_needed(noun: CallNoun) -> bool:
    return noun.url is not None or bool(keys_of(noun))


class Acceptance:
    """Of one branch of a Dial."""

    def __init__(self, stage: Stage, branch: Outbound, noun: CallNoun, caller_name: str | None) -> None:
        """stage: of the call. caller_name: as the called party is shown it."""
        self.branch = branch
        self.state = AcceptanceState.PRESSING
        self._stage = stage
        self._outbox = stage.outbox
        self._noun = noun
        self._caller_name = caller_name
        self._deadline: float | None = None
        self._script: LegScript | None = None

    @property
    def over(self) -> bool:
        return self.state in (AcceptanceState.ACCEPTED, AcceptanceState.DECLINED)

    @property
    def may_decline(self) -> bool:
        """A document decides: other parties of the same Dial are not given up before it has."""
        return self._noun.url is not None

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        keys = keys_of(self._noun)
        if not keys:
            self._screen()
            return
        leg = self.branch.leg
        leg.media.press(keys, TONE_MS, GAP_MS)
        self._outbox.note(Kind.MEDIA, {"event": "send-digits", "keys": len(keys), "seconds": pressing_s(keys)}, leg.sid)
        self._deadline = self._outbox.now + pressing_s(keys)

    def stop(self, by: By, text: str) -> None:
        """Nobody wants to know any more: another party was accepted, the caller has left, the leg is over. The leg is not touched."""
        if not self.over:
            self.state = AcceptanceState.DECLINED
            self._end_script(by, text)

    # --- events ---------------------------------------------------------------------------------------------------

    def hung_up(self, event: events.SessionEnded) -> None:
        """The party itself."""
        leg = self.branch.leg
        ended = leg.session_ended(event)
        self._declined(ended.by, ended.text or NOT_CONNECTED)
        leg.finish(replace(ended, cause=Cause.NO_ANSWER, text=ended.text or NOT_CONNECTED))

    def vanished(self, text: str) -> None:
        self._decline(Cause.NO_ANSWER, By.SERVER, text)

    def fetched(self, event: Fetched) -> None:
        if self._script is not None:
            self._script.fetched(event)
            self._look()

    def prepared(self, event: Prepared) -> None:
        if self._script is not None:
            self._script.prepared(event)
            self._look()

    def play_ended(self, event: engine.PlayEnded) -> None:
        if self._script is not None:
            self._script.play_ended(event)
            self._look()

    def digit(self, event: engine.Digit) -> None:
        if self._script is not None:
            self._script.digit(event)
            self._look()

    def recording_begun(self, recording: Recording) -> None:
        if self._script is not None:
            self._script.recording_begun(recording)

    def recording_over(self, recording: Recording) -> None:
        if self._script is not None:
            self._script.recording_over(recording)
            self._look()

    def next_deadline(self) -> float | None:
        own = self._script.next_deadline() if self._script is not None else None
        return min((at for at in (self._deadline, own) if at is not None), default=None)

    def timeout(self) -> None:
        """`next_deadline` may have come."""
        if self._script is not None:
            self._script.timeout()
            self._look()
        if self._deadline is None or self._outbox.now < self._deadline:
            return
        self._deadline = None
        if self.state is AcceptanceState.PRESSING:
            self._screen()
        elif self.state is AcceptanceState.SCREENING:
            self._decline(Cause.NO_ANSWER, By.TIMER, f"Screening took longer than {self._noun.screening_timeout_s} s")

    # --- steps ----------------------------------------------------------------------------------------------------

    def _screen(self) -> None:
        noun, leg = self._noun, self.branch.leg
        if noun.url is None:
            self.state = AcceptanceState.ACCEPTED
            return
        self.state = AcceptanceState.SCREENING
        self._deadline = self._outbox.now + noun.screening_timeout_s
        self._outbox.note(Kind.STATE, {"status": "screening", "url": noun.url}, leg.sid)
        response = leg.last_response
        headers = tuple(response.headers) if isinstance(noun, Sip) and response is not None else ()
        party = Party(
            leg.from_user,
            leg.to_user,
            self._caller_name,
            self._stage.identity.forwarded_from,
            tuple((name, value) for name, value in headers if is_extension(name)),
            sip_call_id=leg.sip_call_id if isinstance(noun, Sip) else None,
        )
        self._script = LegScript(self._stage.beside(leg), party, Application("", noun.url, noun.method, dialect=self._stage.dialect))
        self._script.start(SCREENING)

    def _look(self) -> None:
        over = self._script.over if self._script is not None else None
        if over is None or self.state is not AcceptanceState.SCREENING:
            return
        match over.how:
            case How.DONE:
                self.state, self._deadline = AcceptanceState.ACCEPTED, None
                self._outbox.note(Kind.STATE, {"status": "accepted"}, self.branch.leg.sid)
            case How.HUNG_UP:
                self._decline(Cause.NO_ANSWER, By.APPLICATION, f"Declined by its screening document: {over.text}")
            case How.FAILED:
                self.branch.leg.failure_reason = UNAVAILABLE
                self._decline(Cause.FAILED, By.APPLICATION, f"{UNAVAILABLE}: {over.text}")

    def _decline(self, cause: Cause, by: By, text: str) -> None:
        self._declined(by, text)
        self.branch.bye(cause, by, text=text)

    def _declined(self, by: By, text: str) -> None:
        self.state = AcceptanceState.DECLINED
        self.branch.declined = True
        self._end_script(by, text)
        self._outbox.note(Kind.STATE, {"status": "declined", "why": text}, self.branch.leg.sid)

    def _end_script(self, by: By, text: str) -> None:
        self._deadline = None
        if self._script is not None:
            self._script.stop(Stop(by, text, abandoned=True))


class Acceptances:
    """Those of one Dial, by leg: planned for branches that have not answered yet, running for those that have."""

    def __init__(self) -> None:
        self._planned: dict[str, Acceptance] = {}
        self._running: dict[str, Acceptance] = {}

    def __bool__(self) -> bool:
        """Some run."""
        return bool(self._running)

    def plan(self, acceptance: Acceptance) -> None:
        self._planned[acceptance.branch.leg.sid] = acceptance

    def planned(self, branch: Outbound) -> Acceptance | None:
        return self._planned.pop(branch.leg.sid, None)

    def begin(self, acceptance: Acceptance) -> None:
        self._running[acceptance.branch.leg.sid] = acceptance

    def of(self, leg: Leg) -> Acceptance | None:
        """That runs, or is just over."""
        return self._running.get(leg.sid)

    def legs(self) -> list[Leg]:
        return [acceptance.branch.leg for acceptance in self._running.values()]

    def stop(self, leg: Leg, by: By, text: str) -> bool:
        """No more of it, whether it is over or not. False when nothing of this leg runs."""
        acceptance = self._running.pop(leg.sid, None)
        if acceptance is not None:
            acceptance.stop(by, text)
        return acceptance is not None

    def next_deadline(self) -> float | None:
        dues = (acceptance.next_deadline() for acceptance in self._running.values())
        return min((at for at in dues if at is not None), default=None)
