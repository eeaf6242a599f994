"""Hold and Resume: a re-INVITE by which the caller's phone sends nothing, and one that brings it back (RFC 3264 8.4; behaviour.md 9).

Held is the leg, not the verb: what follows Hold in the document runs on a leg that is held, until Resume.
"""

from __future__ import annotations

from typing import ClassVar

from rcml.verbs import Hold, Resume
from server.calls.effects import Json, Kind, Prepare, Prepared
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf
from sip.core.commands import SendReinvite
from sip.core.events import ReinviteAnswered

NO_ANSWER = 408  # what the action is told when there was none


class _Reoffering(VerbOf[Hold | Resume]):
    """name: of the verb, in its parameters. done: the status when the phone has agreed."""

    name: ClassVar[str]
    done: ClassVar[str]
    direction: ClassVar[str]
    _asked = False
    _status = ""
    _code = 0  # of the answer

    def _ask(self) -> None:
        self._asked = True
        self.outbox.emit(SendReinvite(self.leg.session, self.leg.media.offer_direction(self.direction)))

    def told(self, event: object) -> None:
        if not self._asked or not isinstance(event, ReinviteAnswered):
            return
        self._asked = False
        status = NO_ANSWER if event.response is None else event.response.status
        self._status = self.done if status < 300 else "no-answer" if event.response is None else "failed"
        if status < 300:
            self.leg.media.held = self.direction != "sendrecv"
        self._code = status
        self._answered()

    def _answered(self) -> None:
        self._over()

    def stop(self, stop: Stop) -> None:
        self._over()

    def _over(self) -> None:
        if self.result is None:
            self.outbox.note(Kind.OUTCOME, {"event": self.name.lower(), "status": self._status})
            told = ((f"{self.name}Status", self._status), (f"{self.name}SipResponseCode", str(self._code))) if self._status else ()
            self.result = Finished(parameters=told)

    def _note(self, fact: str, value: Json) -> None:
        self.outbox.note(Kind.VERB, {"verb": self.name, "line": self.verb.line, fact: value})


class RunningHold(_Reoffering):
    """Over when the phone has answered and the music, if any, is there: it goes on until something else is played, or Resume."""

    name = "Hold"
    done = "held"
    direction = "sendonly"

    def __init__(self, stage: Stage, verb: Hold) -> None:
        super().__init__(stage, verb)
        self._music = verb.music
        self._prompt: int | None = None
        self._path = ""

    def start(self) -> None:
        self._note("music", self._music or "")
        if self._music is not None:
            self._prompt = self.outbox.number()
            self.outbox.emit(Prepare(self._prompt, self.outbox.call_sid, self._music))
        self._ask()

    def prepared(self, event: Prepared) -> None:
        if event.prompt != self._prompt:
            return
        self._prompt = None
        self._path = event.path
        if not event.path:
            text = f"holdMusic {self._music} cannot be played: {event.detail or event.error}; there is silence"
            self.outbox.notify(13233, "error", text, line=self.verb.line)
        if self._status:
            self._answered()

    def _answered(self) -> None:
        if self._prompt is not None and self._status == self.done:
            return  # the music is still to come
        if self._path and self._status == self.done:
            self.leg.media.play_files([self._path], 0)
        self._over()


class RunningResume(_Reoffering):
    """Nothing at all without a Hold before it."""

    name = "Resume"
    done = "resumed"
    direction = "sendrecv"

    def start(self) -> None:
        self._note("held", self.leg.media.held)
        if not self.leg.media.held:
            self.result = Finished(asks=False, waited=False)
            return
        self._ask()

    def _answered(self) -> None:
        if self._status == self.done:
            self.leg.media.stop_playing()
        self._over()
