"""A new verb costs a file in `rcml/verbs`, a file in `server/calls/verbs`, and a line in each of two tables.

The two classes here are what CONTRIBUTING.md shows, and the call that runs them is the one of every other test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from media import engine
from rcml.reader import Element, Reader
from rcml.verbs import PARSERS
from rcml.verbs.verb import Verb
from server.calls.effects import Kind
from server.calls.verbs import RUNNING
from server.calls.verbs.running import Finished, Stop, VerbOf
from tests.unit.server.calls.bench import ACTION, IN, Bench

PAGE = Path(__file__).parents[5] / "CONTRIBUTING.md"


# --- the file in rcml/verbs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ring(Verb):
    """Let the caller hear ringback for a while, then ask `action`, if there is one."""

    line: int
    seconds: int = 5
    action: str | None = None

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Ring:
    read.names(element, "seconds", "action")
    return Ring(element.line, read.whole(element, "seconds", 5, 12200), read.url_of(element, "action", "error"))


# --- the file in server/calls/verbs -----------------------------------------------------------------------------------


class RunningRing(VerbOf[Ring]):
    def start(self) -> None:
        self.outbox.note(Kind.VERB, {"verb": "Ring", "line": self.verb.line})
        self.leg.media.play_tone("ringback")
        self.deadline = self.outbox.now + self.verb.seconds

    def timeout(self) -> None:
        self.leg.media.stop_playing()
        self.result = Finished()

    def digit(self, event: engine.Digit) -> None:
        self.timeout()

    def stop(self, stop: Stop) -> None:
        self.timeout()


# --- the lines in the tables ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARSERS, "Ring", parse)
    monkeypatch.setitem(RUNNING, Ring, RunningRing)


def test_a_new_verb_runs_in_its_turn() -> None:
    bench = Bench("<Response><Pause/><Ring seconds='2'/><Hangup/></Response>")
    bench.run(1.5)
    assert (bench.verbs(), bench.order()) == (["Pause", "Ring"], ["180", "200"])
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    bench.run(2.0)
    assert bench.order() == ["180", "200", "BYE"]


def test_a_new_verb_gets_the_keys_of_the_caller() -> None:
    bench = Bench("<Response><Ring seconds='60'/><Hangup/></Response>")
    sid = bench.sid
    bench.give_engine(engine.Digit(stream=sid, digit="5", duration_ms=100, source="event"))
    assert bench.order() == ["180", "200", "BYE"]


def test_a_new_verb_is_stopped_when_the_caller_leaves_and_its_action_is_asked() -> None:
    bench = Bench(f"<Response><Ring seconds='60' action='{ACTION}'/></Response>")
    bench.bye_from(IN)
    bench.run(1.0)
    assert [parameters["CallStatus"] for parameters in bench.web.of("action")] == ["completed"]
    assert not any(bench.registry.counts().values()) and bench.engine.empty


def test_the_page_for_newcomers_shows_this_verb() -> None:
    """Each line of code in its section on verbs stands in this file, or is one of the two lines in the tables."""
    section = PAGE.read_text("utf-8").split("## A new verb")[1].split("\n## ")[0]
    code = [line for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL) for line in block.splitlines() if line.strip()]
    here = Path(__file__).read_text("utf-8").splitlines()
    tables = ('    "Ring": ring.parse,', "    Ring: RunningRing,")
    assert len(code) > 20
    assert [line for line in code if line not in here and line not in tables and not line.startswith("#")] == []
