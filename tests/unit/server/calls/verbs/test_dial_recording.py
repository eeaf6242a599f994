"""What is recorded of a Dial (behaviour 4.6, 7)."""

from __future__ import annotations

from media import engine
from tests.unit.server.calls.bench import ACTION, Bench, dial

SCREENED = '<Sip url="/screen">sip:alice@192.0.2.8</Sip>'
RECORD = f'record="true" action="{ACTION}"'


def test_what_a_screened_party_heard_is_not_in_the_recording__behaviour_2_5() -> None:
    bench = Bench(
        dial(SCREENED, RECORD), before=lambda bench: bench.web.pages.update({"http://app/screen": "<Response><Say>x</Say></Response>"})
    )
    bench.answer(0)
    bench.run(0.9)
    assert bench.engine.recordings == {}
    bench.run(0.5)
    (recording,) = bench.engine.recordings.values()
    assert recording.bridge in bench.engine.bridges
    bench.run(2.0)
    bench.bye_from(bench.leg(0))
    assert bench.action["RecordingUrl"].endswith(f"{bench.recordings[0].sid}.wav")


def test_a_declined_party_is_not_recorded__behaviour_7() -> None:
    bench = Bench(
        dial(SCREENED, RECORD), before=lambda bench: bench.web.pages.update({"http://app/screen": "<Response><Hangup/></Response>"})
    )
    bench.answer(0)
    bench.run(0.5)
    assert "RecordingUrl" not in bench.action and bench.recordings == []


def test_a_recording_that_never_ends_holds_the_action_for_a_moment_only__behaviour_7() -> None:
    bench = Bench(dial("<Sip>sip:alice@192.0.2.8</Sip>", RECORD), recording_wait_s=2.0)
    bench.engine.slow_disk = True
    bench.answer(0)
    bench.run(1.0)
    bench.bye_from(bench.leg(0))
    assert bench.web.of("action") == []
    bench.run(2.1)
    assert len(bench.web.of("action")) == 1
    (sid,) = [note.data["recording"] for note in bench.notes if note.data.get("event") == "record"]
    bench.give_engine(engine.RecordingEnded(recording=str(sid), path="/x", duration_ms=1000, size_bytes=44, reason="ended"))
    assert len(bench.web.of("action")) == 1
