"""What a Say or a Play lets the caller hear, from the verb to the last sample.

```
  start ──Prepare, Synthesize──▶ prepared ──Play──▶ play_ended ──▶ DONE, or FAILED
```
One at a time. A Play that cannot be heard ends the script, a Say is left out (behaviour.md 9); both leave a notification.
"""

from __future__ import annotations

import enum

from media import engine
from rcml.verbs.play import Play
from rcml.verbs.say import Say
from server.calls.effects import Kind, Prepare, Prepared, Synthesize
from server.calls.legs.media import LegMedia
from server.calls.outbox import Outbox


class Heard(enum.Enum):
    """How the verb went: the script goes on, or it ends."""

    DONE = "done"
    FAILED = "failed"


class Speaking:
    """media: of the caller. Inputs answer None as long as the verb is not over, and to what is not of it."""

    def __init__(self, outbox: Outbox, media: LegMedia) -> None:
        self._outbox = outbox
        self._media = media
        self._verb: Say | Play | None = None
        self._prompt: int | None = None
        self._play: str | None = None

    def start(self, verb: Say | Play) -> None:
        """The caller has been answered, and its media is connected."""
        self._verb = verb
        self._prompt = self._outbox.number()
        match verb:
            case Play():
                self._outbox.note(Kind.VERB, {"verb": "Play", "line": verb.line, "url": verb.url, "loop": verb.loop})
                self._outbox.emit(Prepare(self._prompt, self._outbox.call_sid, verb.url))
            case Say():
                self._outbox.note(Kind.VERB, {"verb": "Say", "line": verb.line, "language": verb.language, "loop": verb.loop})
                self._outbox.emit(Synthesize(self._prompt, self._outbox.call_sid, verb.text, verb.voice, verb.language))

    def stop(self) -> None:
        """The verb is given up; the stream, and with it the play, is closed by its owner."""
        self._verb = self._prompt = self._play = None

    def prepared(self, event: Prepared) -> Heard | None:
        verb = self._verb
        if verb is None or event.prompt != self._prompt:
            return None
        self._prompt = None
        if not event.path:
            return self._failed(verb, f"{event.error}: {event.detail}".rstrip(": "))
        self._play = self._media.play_files([event.path], verb.loop)
        return self._over(Heard.DONE) if self._play is None else None  # no stream any more: nothing to wait for

    def play_ended(self, event: engine.PlayEnded) -> Heard | None:
        verb = self._verb
        if verb is None or event.play != self._play:
            return None
        return self._failed(verb, event.detail) if event.reason == "failed" else self._over(Heard.DONE)

    def _failed(self, verb: Say | Play, why: str) -> Heard:
        match verb:
            case Play():
                self._outbox.notify(13233, "error", f"{verb.url} cannot be played, {why}", url=verb.url, line=verb.line)
                return self._over(Heard.FAILED)
            case Say():
                self._outbox.notify(13511, "error", f"Say cannot be spoken, {why}", line=verb.line)
                return self._over(Heard.DONE)

    def _over(self, heard: Heard) -> Heard:
        self.stop()
        return heard
