"""What the caller of a Dial hears until somebody answers: ringback or dialMusic (behaviour.md 4.5, 10.2).

```
  SILENT --start--> RINGBACK
     +---start--> FETCHING --prepared--> MUSIC --cannot be played--> RINGBACK
  stop() from anywhere --> SILENT
```
An unanswered caller gets early media only by dialMusic: its own phone makes the ringback.
"""

from __future__ import annotations

import enum

from rcml.verbs.dial import Dial
from server.calls.effects import Prepare, Prepared
from server.calls.legs.leg import Leg


class RingingState(enum.Enum):
    SILENT = "silent"
    RINGBACK = "ringback"
    FETCHING = "fetching"
    MUSIC = "music"


class Ringing:
    """leg: the caller's."""

    def __init__(self, leg: Leg, verb: Dial) -> None:
        self._leg = leg
        self._verb = verb
        self._prompt: int | None = None
        self.state = RingingState.SILENT

    def start(self) -> None:
        verb, leg = self._verb, self._leg
        if verb.dial_music_disabled:
            return
        if verb.dial_music is None:
            self.ringback()
        elif not leg.unanswered or (leg.outbox.policy.early_media and not leg.opening.late_offer):
            self.state = RingingState.FETCHING
            self._prompt = leg.outbox.number()
            leg.outbox.emit(Prepare(self._prompt, leg.outbox.call_sid, verb.dial_music))

    def ringback(self) -> None:
        """For an answered caller, and for one who was given early media before: a phone that heard our 183 rings no more."""
        if self._leg.media_connected:
            self.state = RingingState.RINGBACK
            self._leg.media.play_tone("ringback")

    def prepared(self, event: Prepared) -> None:
        """The dialMusic is there, or not."""
        if self.state is not RingingState.FETCHING or event.prompt != self._prompt:
            return
        self.state = RingingState.SILENT
        if not event.path:
            self._music_fails(event.detail or event.error)
        elif (not self._leg.unanswered or self._leg.early_media()) and self._leg.media.play_files([event.path], 0) is not None:
            self.state = RingingState.MUSIC

    def play_failed(self, detail: str) -> None:
        """The engine cannot play what the caller should hear."""
        if self.state is RingingState.MUSIC:
            self._music_fails(detail)

    def _music_fails(self, detail: str) -> None:
        self.state = RingingState.SILENT
        text = f"dialMusic {self._verb.dial_music} cannot be played: {detail}; the built-in ringback is used"
        self._leg.outbox.notify(13233, "warning", text, url=self._verb.dial_music or "", line=self._verb.line)
        self.ringback()

    def stop(self) -> None:
        self.state = RingingState.SILENT
        self._leg.media.stop_playing()
