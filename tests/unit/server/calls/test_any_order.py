"""Any events in any order leave a call that ends once, asks each Dial's action once, and is then forgotten.

The simulation drives calls over a whole SIP stack, which lets only sensible orders through. Here a monkey (`monkey.py`) gives the events
itself, as far as the contract of `sip.core.events` and `media.engine` allows: crossing ones too, which were under way
when call control changed its mind.
"""

from __future__ import annotations

from collections import Counter

import pytest

from server.calls.effects import Kind
from sip.core import commands
from tests.unit.server.calls.bench import IN
from tests.unit.server.calls.monkey import Monkey

SEEDS = 400


class MonkeyWithG729(Monkey):
    """All phones know G.729, and most prefer it; calls under answer delay to one or two of them."""

    phones = ("18 0 101", "18 0 101", "18 8", "18 111", "18 0", "0 18 101")

    def document(self) -> str:
        music = self.rng.choice((*[""] * 6, 'record="true"', 'dialMusic="/music.wav"'))
        one = "<Sip>sip:a@192.0.2.8</Sip>"
        dials = [f"<Dial timeout='100' {music}>{self.rng.choice((one, one + one))}</Dial>" for _ in range(self.rng.choice((1, 2)))]
        return f"<Response>{self.rng.choice(('', '', '', '', '<Say>hi</Say>'))}{'<Say>hi</Say>'.join(dials)}</Response>"


def test_what_can_only_pass_always_has_its_counterpart__sdp_md() -> None:
    ways: Counter[str] = Counter()
    for seed in range(300):
        monkey = MonkeyWithG729(seed)
        for _ in range(100):
            monkey.step()
        monkey.finish()
        ways.update(str(note.data["audio"]) for note in monkey.bench.notes if "audio" in note.data)
        assert monkey.bench.engine.complaints == [], seed
        assert "none" not in ways, seed
    assert ways["passes G729"] > 10 and ways["passes PCMU"] > 10, ways


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_any_order_of_events_ends_once_and_leaves_nothing__behaviour_2_7(first: int) -> None:
    for seed in range(first, first + 50):
        monkey = Monkey(seed)
        for _ in range(monkey.rng.randint(5, 120)):
            monkey.step()
        deaf = monkey.bench.engine.deaf
        monkey.finish()
        bench = monkey.bench
        where = f"seed {seed}: {bench.order()}"
        assert bench.engine.complaints == [], where
        if not deaf:
            assert bench.engine.empty, where
            assert not any(bench.registry.counts().values()), f"{where} {bench.registry.counts()}"
        assert sum(not record.parent_sid for record in bench.records) == 1, where
        told = Counter(record.sid for record in bench.records)
        assert max(told.values()) == 1, where
        assert not [note for note in bench.notes if note.data.get("audio") == "none"], where
        over = [note for note in bench.notes if note.kind is Kind.OUTCOME and note.data.get("event") == "dial"]
        dials = [note for note in bench.notes if note.data.get("verb") == "Dial"]
        assert len(over) == len(dials), where
        assert len(bench.web.of("action")) == sum(bool(note.data["action"]) for note in dials), where
        finals = [name for name in bench.order() if name.isdigit() and int(name) >= 200]
        assert len(finals) == 1, where
        assert len([bye for bye in bench.of(commands.SendBye) if bye.session == IN]) <= 1, where
        for action in bench.web.of("action"):
            status = action["DialCallStatus"]
            assert ("FailureReason" in action) == (status == "failed"), where
            assert status != "completed" or "200" in bench.order(), where
            assert "DialSipResponseCode" not in action or (int(action["DialSipResponseCode"]) >= 400 and status != "completed"), where
            assert action["DialCallDuration"] == "0" or status in ("completed", "failed"), where
            assert "DialCallSid" not in action or action["DialCallSid"] in told, where
