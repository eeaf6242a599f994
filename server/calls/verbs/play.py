"""Play: play a file, or press keys. A file that cannot be heard ends the script (behaviour.md 9)."""

from __future__ import annotations

from rcml.verbs import Play
from server.calls.effects import Kind, Prepare
from server.calls.keys import GAP_MS, TONE_MS, pressing_s
from server.calls.outbox import sip_reason
from server.calls.verbs.running import Broken, Finished
from server.calls.verbs.speaking import Speaking


class RunningPlay(Speaking[Play]):
    _left = 0  # how often the keys are still pressed; below 0 for ever

    def start(self) -> None:
        verb = self.verb
        if verb.digits:
            self._left = verb.loop
            self.outbox.note(Kind.VERB, {"verb": "Play", "line": verb.line, "keys": len(verb.digits), "loop": verb.loop})
            self._press()
            return
        self.outbox.note(Kind.VERB, {"verb": "Play", "line": verb.line, "url": verb.url, "loop": verb.loop})
        self.outbox.emit(Prepare(self.prompt, self.outbox.call_sid, verb.url))

    def _press(self) -> None:
        self.leg.media.press(self.verb.digits, TONE_MS, GAP_MS)
        self.deadline = self.outbox.now + pressing_s(self.verb.digits)

    def timeout(self) -> None:
        """The keys have been pressed, once more."""
        self._left -= 1
        if self._left == 0:
            self.result = Finished()
        else:
            self._press()

    def failed(self, why: str) -> None:
        self.outbox.notify(13233, "error", f"{self.verb.url} cannot be played, {why}", url=self.verb.url, line=self.verb.line)
        text = "The file of a Play cannot be played"
        self.result = Broken(text, sip_reason(500, text))
