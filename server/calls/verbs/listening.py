"""What somebody listens to who waits in a room, is held, or is told something: music, a file, or a document (behaviour.md 2.10).

```
  SILENT --start--> FETCHING a document, PREPARING a file --> PLAYING, PAUSING --> the next verb ... --> again from the first
```
A document holds Play, Say, Pause and Redirect; when its last verb is over it begins anew, until `stop`. What cannot be had is told once
and left out. A round takes a second at least, and so does the way to the next document: nobody's application is flooded from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from media import engine
from rcml import notices
from rcml.dialect import RCML, Dialect
from rcml.document import parse_document
from rcml.errors import DocumentError
from rcml.parameters import VoiceFacts, voice_parameters
from rcml.verbs import Pause, Play, Redirect, Say, Verb
from server.calls.effects import WAIT_MUSIC, Fetched, Prepare, Prepared, Synthesize
from server.calls.outbox import Outbox

LEAST_S = 1.0  # of a round, and between two requests for documents
CANNOT_BE_PLAYED = 13233


class Output(Protocol):
    """To whom it is played."""

    def play_files(self, files: list[str], loop: int) -> str | None:
        """The play's name; None when nobody can be played to."""

    def stop_playing(self) -> None:
        """Whatever is playing."""


class Listening:
    """what: the attribute that names it, for notifications, with their line. voice: what a request for a document says of the call.

    dialect: of the application. endless: begin anew at the end; otherwise it is `over` then, and `failed` when it could not be heard.
    """

    def __init__(
        self,
        outbox: Outbox,
        output: Output,
        voice: Callable[[], VoiceFacts],
        what: str,
        line: int,
        *,
        dialect: Dialect = RCML,
        endless: bool = True,
    ) -> None:
        self.deadline: float | None = None
        self.over = self.failed = False
        self._outbox = outbox
        self._output = output
        self._voice = voice
        self._what, self._line = what, line
        self._dialect = dialect
        self._endless = endless
        self._verbs: tuple[Verb, ...] | None = None  # of the document; None: a file alone
        self._next = 0
        self._began_at = self._asked_at = float("-inf")
        self._heard = False  # something in this round takes time
        self._asked: int | None = None
        self._prompt: int | None = None
        self._play: str | None = None
        self._loop = 0
        self._url = ""
        self._told: set[str] = set()

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self, url: str | None, method: str) -> None:
        """url: None for the built-in music, "" for silence."""
        self.stop()
        self.over = self.failed = False
        self._verbs = None
        if url is None:
            self._prepare(WAIT_MUSIC, 0)
        elif urlsplit(url).path.lower().endswith(".wav"):
            self._prepare(url, 0 if self._endless else 1)
        elif url:
            self._ask(url, method)

    def stop(self) -> None:
        self._asked = self._prompt = self.deadline = None
        if self._play is not None:
            self._play = None
            self._output.stop_playing()

    # --- events ---------------------------------------------------------------------------------------------------

    def fetched(self, event: Fetched) -> None:
        if event.request != self._asked:
            return
        self._asked = None
        if event.error or event.status != 200:
            self._fails(event.detail or event.error or f"status {event.status}")
            return
        settings = self._outbox.policy.rcml
        try:
            document = parse_document(
                event.body, content_type=event.content_type, url=event.url or self._url, settings=settings, dialect=self._dialect
            )
        except DocumentError as error:
            self._fails(error.message)
            return
        for notice in document.notices:
            self._notify(notice.code, notice.level, notice.message, notice.url, notice.line)
        self._verbs, self._next = document.verbs, 0
        self._began_at, self._heard = self._outbox.now, False
        self._proceed()

    def prepared(self, event: Prepared) -> None:
        if event.prompt != self._prompt:
            return
        self._prompt = None
        if not event.path:
            self._left_out(f"{event.error}: {event.detail}".rstrip(": "))
            return
        self._play = self._output.play_files([event.path], self._loop)
        if self._play is None:
            self._end()

    def play_ended(self, event: engine.PlayEnded) -> None:
        if event.play != self._play:
            return
        self._play = None
        if event.reason == "failed":
            self._left_out(event.detail)
        elif self._verbs is None:
            self._end()
        else:
            self._proceed()

    def timeout(self, now: float) -> None:
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self._proceed()

    # --- one after another ----------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        verbs = self._verbs or ()
        while True:
            if self._next >= len(verbs):
                if not (self._endless and self._heard):
                    self._end()
                    return
                if self._too_soon(self._began_at):
                    return
                self._next, self._began_at, self._heard = 0, self._outbox.now, False
            verb = verbs[self._next]
            if isinstance(verb, Redirect):
                if not self._too_soon(self._asked_at):
                    self._ask(verb.url, verb.method)
                return
            self._next += 1
            match verb:
                case Play(url=url, loop=loop):
                    self._heard = True
                    self._prepare(url, loop)
                    return
                case Say():
                    self._heard, self._loop, self._url = True, verb.loop, "a Say"
                    self._prompt = self._outbox.number()
                    self._outbox.emit(Synthesize(self._prompt, self._outbox.call_sid, verb.text, verb.voice, verb.language))
                    return
                case Pause(length_s=length_s):
                    self._heard = True
                    self.deadline = self._outbox.now + length_s
                    return
                case _:
                    text = f"<{type(verb).__name__}> has no place in the document of {self._what}: only Play, Say, Pause and Redirect have"
                    self._notify(notices.NOT_CARRIED_OUT, "warning", text, self._url, verb.line)

    def _too_soon(self, since: float) -> bool:
        """Wait until a second has gone since then."""
        if self._outbox.now >= since + LEAST_S:  # as the deadline is reckoned: a difference may be a rounding short of it for ever
            return False
        self.deadline = since + LEAST_S
        return True

    def _ask(self, url: str, method: str) -> None:
        self._url, self._asked_at = url, self._outbox.now
        parameters = voice_parameters(self._voice())
        self._asked = self._outbox.ask("wait", url, method, parameters, timeout_s=self._dialect.patience_s).request

    def _prepare(self, url: str, loop: int) -> None:
        self._url, self._loop = url, loop
        self._prompt = self._outbox.number()
        self._outbox.emit(Prepare(self._prompt, self._outbox.call_sid, url))

    # --- what cannot be heard -------------------------------------------------------------------------------------

    def _left_out(self, why: str) -> None:
        """A file or a text cannot be played: the rest of its document can."""
        if self._verbs is None:
            self._fails(why)
            return
        text = f"{self._url} in the document of {self._what} cannot be played, and is left out: {why}"
        self._notify(CANNOT_BE_PLAYED, "warning", text, self._url, self._line)
        self._proceed()

    def _fails(self, why: str) -> None:
        """Nothing of it can be heard."""
        instead = self._endless and self._url != WAIT_MUSIC
        text = f"{self._what} {self._url} cannot be heard: {why}" + ("; the built-in music is heard instead" if instead else "")
        self._notify(CANNOT_BE_PLAYED, "warning", text, self._url, self._line)
        self.failed = True
        if instead:
            self._verbs = None
            self._prepare(WAIT_MUSIC, 0)
        else:
            self._end()

    def _end(self) -> None:
        self.over = True

    def _notify(self, code: int, level: str, message: str, url: str, line: int) -> None:
        """Once: the same comes again with every round."""
        if message not in self._told:
            self._told.add(message)
            self._outbox.notify(code, level, message, url=url, line=line)
