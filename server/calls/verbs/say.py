"""Say: speak a text. One that cannot be spoken is left out (behaviour.md 9)."""

from __future__ import annotations

from rcml.verbs import Say
from server.calls.effects import Kind, Synthesize
from server.calls.verbs.running import Finished
from server.calls.verbs.speaking import Speaking


class RunningSay(Speaking[Say]):
    def start(self) -> None:
        verb = self.verb
        self.outbox.note(Kind.VERB, {"verb": "Say", "line": verb.line, "language": verb.language, "loop": verb.loop})
        self.outbox.emit(Synthesize(self.prompt, self.outbox.call_sid, verb.text, verb.voice, verb.language))

    def failed(self, why: str) -> None:
        self.outbox.notify(13511, "error", f"Say cannot be spoken, {why}", line=self.verb.line)
        self.result = Finished()
