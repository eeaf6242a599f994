"""Refer: the caller's phone is asked to call somebody else, and tells how that goes (RFC 3515; behaviour.md 9).

```
  ASKED --2xx--> ACCEPTED --NOTIFY with the end, or nothing more to be told--> result
     +--refused, no answer-------------------------------------------------------^
```
"""

from __future__ import annotations

from rcml.verbs import Refer
from server.calls.effects import Kind, Parameters
from server.calls.outcome import status_of_response
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf
from sip.core.referring import ReferAnswered, ReferId, ReferNotified, SendRefer

PATIENCE_S = 180.0  # a phone that tells of progress but never of an end


class RunningRefer(VerbOf[Refer]):
    def __init__(self, stage: Stage, verb: Refer) -> None:
        super().__init__(stage, verb)
        self._name = ReferId("")
        self._answer = 0  # to our REFER
        self._told = 0  # by the last NOTIFY that said something

    def start(self) -> None:
        target = self.stage.targets.refer_to(self.verb.target)
        self.outbox.note(Kind.VERB, {"verb": "Refer", "line": self.verb.line, "target": target or self.verb.target})
        if target is None:
            self.outbox.notify(11100, "error", f"<Refer> has a target that is no SIP URI: {self.verb.target}", line=self.verb.line)
            self._over()
            return
        self._name = ReferId(f"{self.leg.session}>{self.outbox.number()}")
        self.deadline = self.outbox.now + PATIENCE_S
        self.outbox.emit(SendRefer(self._name, self.leg.session, target))

    def told(self, event: object) -> None:
        match event:
            case ReferAnswered(refer=name, response=response) if name == self._name:
                self._answer = 0 if response is None else response.status
                if not 200 <= self._answer < 300 or self._told >= 200:
                    self._over()
            case ReferNotified(refer=name, status=status, over=over) if name == self._name:
                self._told = status or self._told
                if (over or status >= 200) and (self._answer or over):
                    self._over()
            case _:
                pass

    def timeout(self) -> None:
        self._over()

    def stop(self, stop: Stop) -> None:
        self._over()

    def _over(self) -> None:
        if self.result is not None:
            return
        told = self._told if 200 <= self._answer < 300 else 0
        facts: list[tuple[str, str]] = []
        if told:
            facts.append(("ReferCallStatus", _status_of(told)))
        if self._answer:
            facts.append(("ReferSipResponseCode", str(self._answer)))
        if told:
            facts.append(("NotifySipResponseCode", str(told)))
        self.outbox.note(Kind.OUTCOME, {"event": "refer", "answer": self._answer, "notified": told})
        parameters: Parameters = tuple(facts)
        self.result = Finished(parameters=parameters)


def _status_of(code: int) -> str:
    """Of the call that the phone makes, as a CallStatus."""
    if code < 180:
        return "queued"
    if code < 200:
        return "ringing"
    return "in-progress" if code < 300 else status_of_response(code).value
