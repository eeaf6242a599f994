"""Gather: prompts, and keys that end them; then each key starts the wait for the next (behaviour.md 9).

```
  PROMPTS --their end--> WAITING --timeout, finishing key, enough keys--> result
     +----key (barge-in)----^  +--key--> WAITING anew
```
The prompts are the running verbs that they are anywhere else.
"""

from __future__ import annotations

from collections import deque

from media import engine
from rcml.verbs import Gather
from server.calls.effects import Json, Kind, Prepared
from server.calls.records import By
from server.calls.verbs.running import Broken, Finished, RunningVerb, Stage, Stop, VerbOf


class RunningGather(VerbOf[Gather]):
    takes_keys = True

    def __init__(self, stage: Stage, verb: Gather) -> None:
        super().__init__(stage, verb)
        self._ahead = deque(verb.prompts)
        self._prompt: RunningVerb | None = None
        self._keys = ""
        self._enough = ""  # why no more keys are taken; the prompts may have to be heard to their end all the same
        self._began_at = 0.0

    def start(self) -> None:
        self._began_at = self.outbox.now
        facts: dict[str, Json] = {"verb": "Gather", "line": self.verb.line, "prompts": len(self._ahead)}
        self.outbox.note(Kind.VERB, facts | {"timeout_s": self.verb.first_timeout_s})
        while self.verb.keys and not self._enough and (key := self.stage.keys.take()) is not None:
            self._press(key)
        if self.result is None and not (self._keys and self.verb.barge_in):
            self._go_on()

    def stop(self, stop: Stop) -> None:
        """Nobody is there to be asked for more: what was pressed is no answer, and no action is asked."""
        if self._prompt is not None:
            self._prompt.stop(stop)
        self._finish("stopped", asks=False)

    # --- keys -----------------------------------------------------------------------------------------------------

    def digit(self, event: engine.Digit) -> None:
        if self.verb.keys and not self._enough:
            self._press(event.digit)

    def _press(self, key: str) -> None:
        verb = self.verb
        if key == verb.finish_on_key:
            self._enough = "key"
        else:
            self._keys += key
            if len(self._keys) >= verb.max_keys:
                self._enough = "digits"
        if verb.barge_in:
            self._silence()
        if self._prompt is None:
            self._wait()

    def _wait(self) -> None:
        if self._enough:
            self._over(self._enough)
        elif not self.verb.keys:
            self._over("timeout")
        else:
            self.deadline = self.outbox.now + (self.verb.next_timeout_s if self._keys else self.verb.first_timeout_s)

    # --- prompts --------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """With the next prompt, as long as those that begin are over at once; then with waiting."""
        while self.result is None and (self._prompt is None or self._prompt.result is not None):
            if self._prompt is not None and isinstance(self._prompt.result, Broken):
                self.result = self._prompt.result
            elif self._ahead:
                prompt = self._ahead.popleft()
                self._prompt = self.stage.verbs[type(prompt)](self.stage, prompt)
                self._prompt.start()
            else:
                self._prompt = None
                self._wait()
                return

    def _silence(self) -> None:
        self._ahead.clear()
        if self._prompt is not None and self._prompt.result is None:
            self._prompt.stop(Stop(By.CALLER, abandoned=True))
        self._prompt = None

    def prepared(self, event: Prepared) -> None:
        if self._prompt is not None:
            self._prompt.prepared(event)
            self._go_on()

    def play_ended(self, event: engine.PlayEnded) -> None:
        if self._prompt is not None:
            self._prompt.play_ended(event)
            self._go_on()

    def next_deadline(self) -> float | None:
        return self._prompt.next_deadline() if self._prompt is not None else self.deadline

    def timeout(self) -> None:
        if self._prompt is not None:
            self._prompt.timeout()
            self._go_on()
        else:
            self._over("timeout")

    # --- the end --------------------------------------------------------------------------------------------------

    def _over(self, why: str) -> None:
        """By itself. why: timeout, key, digits."""
        if why == "digits" and self.verb.finish_on_key:
            self.stage.keys.swallow(self.verb.finish_on_key, self.outbox.now)
        self._finish(why, asks=bool(self._keys) or self.verb.action_on_empty_result)

    def _finish(self, why: str, *, asks: bool) -> None:
        # not which: they may be a PIN
        self.outbox.note(Kind.MEDIA, {"event": "gathered", "keys": len(self._keys), "by": why}, self.leg.sid)
        waited = self.outbox.now > self._began_at or bool(self._keys)
        self.result = Finished(waited=waited, asks=asks, parameters=(("Digits", self._keys),))
