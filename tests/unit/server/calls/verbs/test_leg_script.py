"""A script on a leg beside the primary one: what its verbs see, and that nothing is heard of it once it is stopped."""

from __future__ import annotations

import pytest

from media import engine
from rcml.verbs import Dial, Pause
from server.calls.effects import Fetch, Fetched
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.records import By
from server.calls.script import How
from server.calls.targets import CallerIdentity, Targets
from server.calls.verbs import RUNNING
from server.calls.verbs.leg_script import LegScript
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf
from tests.unit.server.calls.legs.legs import Legs

STOP = Stop(By.SERVER, "enough", abandoned=True)


class Listening(VerbOf[Pause]):
    """Ends by a key, and keeps what it was told."""

    stopped: list[Stop]

    def start(self) -> None:
        self.stopped = []
        self.deadline = self.outbox.now + self.verb.length_s

    def digit(self, event: engine.Digit) -> None:
        self.result = Finished()

    def timeout(self) -> None:
        self.result = Finished()

    def stop(self, stop: Stop) -> None:
        self.stopped.append(stop)
        super().stop(stop)


class Scene:
    def __init__(self) -> None:
        legs = Legs()
        self.outbox = legs.outbox()
        _, self.leg = legs.talking(self.outbox)
        self.made: list[Listening] = []
        whole = Stage(self.outbox, self.leg, Targets(None, "x"), CallerIdentity("bob", None), {**RUNNING, Pause: self._make})
        self.script = LegScript(whole.beside(self.leg), Party("bob", "alice"), Application("", "http://app/screen"))
        self.script.start("screening")

    def _make(self, stage: Stage, verb: Pause) -> Listening:
        self.made.append(Listening(stage, verb))
        return self.made[-1]

    def document(self, text: str, status: int = 200) -> None:
        (request,) = [action for action in self.outbox.drain() if isinstance(action, Fetch)]
        self.script.fetched(Fetched(request.request, status, request.url, "text/xml", text.encode()))

    @property
    def how(self) -> How | None:
        return self.script.over.how if self.script.over is not None else None

    def key(self) -> None:
        self.script.digit(engine.Digit(stream=self.leg.sid, digit="1", duration_ms=100, source="rtp"))


def test_verbs_run_one_after_another_and_the_end_of_the_document_is_its_own() -> None:
    scene = Scene()
    scene.document("<Response><Pause length='5'/><Pause length='7'/></Response>")
    seen = [(scene.script.next_deadline(), scene.how)]
    scene.key()
    seen.append((scene.script.next_deadline(), scene.how))
    for scene.outbox.now in (106.0, 107.0):
        scene.script.timeout()
        seen.append((scene.script.next_deadline(), scene.how))
    assert seen == [(105.0, None), (107.0, None), (107.0, None), (None, How.DONE)]


@pytest.mark.parametrize(
    ("document", "status", "how"),
    [
        ("<Response/>", 200, How.DONE),
        ("<Response><Hangup/></Response>", 200, How.HUNG_UP),
        ("<Response><Reject/></Response>", 200, How.HUNG_UP),
        ("<Response>", 200, How.FAILED),
        ("<Response/>", 404, How.FAILED),
        ("<Response><Play>no url</Play></Response>", 200, How.FAILED),
        ("<Response><Dial>1</Dial></Response>", 200, How.FAILED),
    ],
)
def test_how_it_ends__behaviour_2_5(document: str, status: int, how: How) -> None:
    scene = Scene()
    scene.document(document, status)
    assert scene.how is how


def test_a_verb_that_calls_somebody_cannot_run_there__behaviour_2_5() -> None:
    assert not Dial.beside_a_call and Pause.beside_a_call


def test_a_stopped_script_stops_its_verb_and_says_no_more() -> None:
    scene = Scene()
    scene.document("<Response><Pause length='5'/></Response>")
    scene.script.stop(STOP)
    scene.script.stop(STOP)
    assert scene.made[0].stopped == [STOP]
    scene.key()
    scene.outbox.now = 200.0
    scene.script.timeout()
    assert scene.how is None and scene.script.next_deadline() is None


def test_a_script_that_is_stopped_before_its_document_runs_nothing() -> None:
    scene = Scene()
    scene.script.stop(STOP)
    scene.document("<Response><Pause length='5'/></Response>")
    assert scene.made == [] and scene.how is None
