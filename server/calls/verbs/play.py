"""Play: play a file. One that cannot be heard ends the script (behaviour.md 9)."""

from __future__ import annotations

from rcml.verbs import Play
from server.calls.effects import Kind, Prepare
from server.calls.outbox import sip_reason
from server.calls.verbs.running import Broken
from server.calls.verbs.speaking import Speaking


class RunningPlay(Speaking[Play]):
    def start(self) -> None:
        verb = self.verb
        self.outbox.note(Kind.VERB, {"verb": "Play", "line": verb.line, "url": verb.url, "loop": verb.loop})
        self.outbox.emit(Prepare(self.prompt, self.outbox.call_sid, verb.url))

    def failed(self, why: str) -> None:
        self.outbox.notify(13233, "error", f"{self.verb.url} cannot be played, {why}", url=self.verb.url, line=self.verb.line)
        text = "The file of a Play cannot be played"
        self.result = Broken(text, sip_reason(500, text))
