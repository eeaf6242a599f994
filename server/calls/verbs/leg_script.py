"""A script on a leg beside the primary one: documents of its own, one verb at a time, and how it ended.

```
  start ──▶ document ──▶ verb ──▶ verb ─ ... ─▶ over (done, hung up, failed)
                 stop() at any moment: nothing more is heard of it
```
It is to such a leg what `Call` is to the primary one, without the endings of a call: the leg belongs to whoever made the script, who hands
on what happens to it and looks at `over` after each input. What the verbs see is a stage of their own (`Stage.beside`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from media import engine
from rcml.notices import NOT_CARRIED_OUT
from rcml.verbs import Verb
from server.calls.effects import Fetched, Prepared
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.recording import Recording
from server.calls.script import Begin, Next, Over, Script, Wait
from server.calls.verbs.running import Finished, RunningVerb, Stage, Stop


class LegScript:
    """over: how it ended, None as long as it runs, and when it was stopped."""

    def __init__(self, stage: Stage, party: Party, application: Application) -> None:
        """stage: of the leg. party, application: whom its requests tell of, and where the first document is."""
        self._stage = stage
        self._script = Script(stage.outbox, stage.leg, party, application)
        self._verb: RunningVerb | None = None
        self._stopped = False
        self.over: Over | None = None

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self, purpose: str) -> None:
        """Ask for the document. purpose: of that request, see `effects.Fetch`."""
        with self._stage.outbox.about(self._stage.leg.sid):
            self._go(self._script.begin(purpose))

    def stop(self, stop: Stop) -> None:
        """The leg is wanted for something else, or over."""
        if self._stopped or self.over is not None:
            return
        self._stopped = True
        verb, self._verb = self._verb, None
        if verb is not None and verb.result is None:
            verb.stop(stop)
            verb.release()
        self._script.abandon()

    # --- events ---------------------------------------------------------------------------------------------------

    def fetched(self, event: Fetched) -> None:
        if not self._stopped and self.over is None:
            with self._stage.outbox.about(self._stage.leg.sid):
                self._go(self._script.fetched(event, read=True))
                self._verbs_over()

    def prepared(self, event: Prepared) -> None:
        self._tell(lambda verb: verb.prepared(event))

    def play_ended(self, event: engine.PlayEnded) -> None:
        self._tell(lambda verb: verb.play_ended(event))

    def digit(self, event: engine.Digit) -> None:
        """As for the primary leg: without a verb it is kept for the next."""
        keys = self._stage.keys
        if self._stopped or not keys.is_new(event, self._stage.outbox.now):
            return
        if self._verb is None:
            keys.keep(event.digit)
        else:
            self._tell(lambda verb: verb.digit(event))

    def recording_begun(self, recording: Recording) -> None:
        self._tell(lambda verb: verb.recording_begun(recording))

    def recording_over(self, recording: Recording) -> None:
        self._tell(lambda verb: verb.recording_over(recording))

    def next_deadline(self) -> float | None:
        return self._verb.next_deadline() if self._verb is not None else None

    def timeout(self) -> None:
        """`next_deadline` may have come."""
        due = self.next_deadline()
        if due is not None and self._stage.outbox.now >= due:
            self._tell(lambda verb: verb.timeout())

    # --- steps ----------------------------------------------------------------------------------------------------

    def _tell(self, event: Callable[[RunningVerb], None]) -> None:
        if self._verb is not None:
            with self._stage.outbox.about(self._stage.leg.sid):
                event(self._verb)
                self._verbs_over()

    def _go(self, following: Next | None) -> None:
        match following:
            case Begin(verb):
                self._begin(verb)
            case Over():
                self.over = following
            case Wait() | None:
                pass
            case _:
                assert_never(following)

    def _begin(self, verb: Verb) -> None:
        make = self._stage.verbs.get(type(verb)) if verb.beside_a_call else None
        if make is None:
            text = f"<{type(verb).__name__}> cannot run for a party that is not connected yet"
            self._stage.outbox.notify(NOT_CARRIED_OUT, "error", text, line=verb.line)
            self.over = Over(500, text)
            return
        self._verb = make(self._stage, verb)
        self._verb.start()

    def _verbs_over(self) -> None:
        while self._verb is not None and self._verb.result is not None:
            verb, self._verb = self._verb, None
            assert verb.result is not None
            if not verb.takes_keys and isinstance(verb.result, Finished) and verb.result.waited:
                self._stage.keys.drop()
            self._go(self._script.after(verb.result))
            verb.release()
