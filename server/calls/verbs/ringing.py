"""What the caller of a Dial hears until somebody answers: ringback, dialMusic, or the callee's early media (behaviour.md 4.5, 10.2, 0.1).

```
  SILENT --start--> RINGBACK
     +---start--> FETCHING --prepared--> MUSIC --cannot be played--> RINGBACK
  SILENT, RINGBACK --listen, and packets come--> EARLY_MEDIA --listen, and none come any more--> RINGBACK
  stop() from anywhere --> SILENT
```
An unanswered caller gets early media only by dialMusic or by the callee: its own phone makes the ringback.

That early media was agreed does not say that any will come: many networks send 183 with a description and then nothing until the answer.
Only packets tell (RFC 3960 3.2), so the ringback lasts until there are some, and comes back when the callee is told to ring once more
(a plain 180, another fork) and the packets have ceased. They are counted while there is something to find out, and only then.
"""

from __future__ import annotations

import enum

from rcml.verbs.dial import Dial
from server.calls.effects import Kind, Prepare, Prepared
from server.calls.legs.leg import Leg
from server.calls.policy import Policy

COUNT_S = 0.1  # between two looks, as long as early media is likely
SELDOM_S = 0.25  # and later
LIKELY_S = 2.0
GRACE_S = 0.2  # a caller who hears nothing of ours yet gets the ringback when no early media has come until then
STRAGGLERS_S = 0.3  # packets of what was heard before may still be on their way


def passes_early_media(verb: Dial, policy: Policy) -> bool:
    """Behaviour 0.1: one destination, no dialMusic of any kind, no screening."""
    single = len(verb.nouns) == 1 and getattr(verb.nouns[0], "url", None) is None
    return single and verb.dial_music is None and not verb.dial_music_disabled and policy.early_media


class RingingState(enum.Enum):
    SILENT = "silent"
    RINGBACK = "ringback"
    FETCHING = "fetching"
    MUSIC = "music"
    EARLY_MEDIA = "early media"


class Ringing:
    """leg: the caller's. deadline: when `timeout` is due."""

    def __init__(self, leg: Leg, verb: Dial) -> None:
        self._leg = leg
        self._verb = verb
        self._prompt: int | None = None
        self.state = RingingState.SILENT
        self.deadline: float | None = None
        self._callee: Leg | None = None  # whose packets are waited for, or heard
        self._since = 0.0  # they are waited for
        self._heard: int | None = 0  # packets of the callee that count for nothing; None: the next count tells

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
        if self._leg.media_connected and self.state is not RingingState.RINGBACK:
            self.state = RingingState.RINGBACK
            self._leg.media.play_tone("ringback", self._verb.ring_tone)

    # --- early media ----------------------------------------------------------------------------------------------

    def listen(self, callee: Leg) -> None:
        """The callee may be heard from now on, or has told anew what becomes of the call. Both are in a bridge, under the ringback."""
        now = self._leg.outbox.now
        if self.state is RingingState.EARLY_MEDIA:
            self._look_again(now)
        elif self._callee is not callee:
            self._callee, self._since = callee, now
            self.deadline = now + COUNT_S

    def refused(self) -> None:
        """The callee's early media is over, and the caller rings on."""
        if self._callee is not None and self.state is RingingState.EARLY_MEDIA:
            self.state = RingingState.SILENT
        self._callee = self.deadline = None
        self._heard = None  # of the next one that uses the same stream
        self.ringback()

    def _look_again(self, now: float) -> None:
        self._since, self._heard = now, None
        self.deadline = now + STRAGGLERS_S

    def timeout(self) -> None:
        """Have the callee's packets counted."""
        self.deadline = None
        if self._callee is not None:
            self._callee.media.ask_counters()

    def counted(self, callee: Leg, packets_in: int) -> None:
        if callee is not self._callee or self.deadline is not None:
            return  # nobody asked, or a look is due anyway
        now = self._leg.outbox.now
        waited = now - self._since
        if self._heard is not None and packets_in > self._heard:
            if self.state is not RingingState.EARLY_MEDIA:
                self._leg.media.stop_playing()
                self._leg.outbox.note(Kind.MEDIA, {"event": "early-media", "after_ms": round(waited * 1000)}, callee.sid)
            self.state = RingingState.EARLY_MEDIA
            return
        known, self._heard = self._heard is not None, packets_in
        if known and waited >= GRACE_S:
            self.ringback()
        self.deadline = now + (COUNT_S if waited < LIKELY_S else SELDOM_S)

    # --- dialMusic ------------------------------------------------------------------------------------------------

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
        self._callee = self.deadline = None
        self._leg.media.stop_playing()
