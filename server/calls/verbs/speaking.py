"""What Say and Play have in common: a file that is made or fetched, and then heard by the primary leg's peer.

```
  start ──Prepare, Synthesize──▶ prepared ──Play──▶ play_ended ──▶ result
```
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from media import engine
from rcml.verbs import Play, Say
from server.calls.effects import Prepared
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf

V = TypeVar("V", bound=Say | Play)


class Speaking(VerbOf[V], ABC):
    def __init__(self, stage: Stage, verb: V) -> None:
        super().__init__(stage, verb)
        self.prompt = self.outbox.number()
        self._play: str | None = None

    @abstractmethod
    def failed(self, why: str) -> None:
        """It cannot be heard: leave a notification, and a result."""

    def stop(self, stop: Stop) -> None:
        if self._play is not None and stop.abandoned:
            self.leg.media.stop_playing()  # else the stream, and with it the play, is closed by its owner
        super().stop(stop)

    def prepared(self, event: Prepared) -> None:
        if self.result is not None or event.prompt != self.prompt:
            return
        if not event.path:
            self.failed(f"{event.error}: {event.detail}".rstrip(": "))
            return
        self._play = self.leg.media.play_files([event.path], self.verb.loop)
        if self._play is None:
            self.result = Finished()  # no stream any more: nothing to wait for

    def play_ended(self, event: engine.PlayEnded) -> None:
        if self.result is not None or event.play != self._play:
            return
        if event.reason == "failed":
            self.failed(event.detail)
        else:
            self.result = Finished()
