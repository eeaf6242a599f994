"""Any order of keys, silences, ends of recordings and departures leaves Gathers and Records that end once and tell what is so.

The monkey of `test_any_order`, with documents of verbs that take keys and messages.
"""

from __future__ import annotations

from collections import Counter

import pytest

from media import engine
from server.calls.effects import Fetched
from sip.core import commands, events
from sip.message import Headers, Request
from tests.unit.server.calls.bench import IN, Bench
from tests.unit.server.calls.monkey import Monkey

KEYS, SAID = "http://app/keys", "http://app/said"
ONE_KEY = "0123456789*#"


class MonkeyWithKeys(Monkey):
    pressed = 0

    def prepare(self, bench: Bench) -> None:
        super().prepare(bench)
        for url in (KEYS, SAID):
            bench.web.pages[url] = lambda request: Fetched(
                request.request, self.rng.choice((200, 200, 200, 500)), request.url, "text/xml", self.document().encode()
            )
        bench.engine.speech_ms = lambda stream: self.rng.choice((0, 0, 1000, 9000))

    def verb(self) -> str:
        rng = self.rng
        match rng.randrange(4):
            case 0 | 1:
                prompts = "".join(
                    rng.choice(("<Say>x</Say>", "<Play>/a.wav</Play>", "<Play>/broken.wav</Play>", "<Pause/>"))
                    for _ in range(rng.choice((0, 0, 1, 2)))
                )
                attributes = [rng.choice(("", "numDigits='2'")), rng.choice(("", "finishOnKey=''")), rng.choice(("", "bargeIn='false'"))]
                attributes += [rng.choice(("", "timeout='1'")), rng.choice(("", "", "actionOnEmptyResult='true'", "input='speech'"))]
                return f"<Gather action='{KEYS}' {' '.join(attributes)}>{prompts}</Gather>"
            case 2:
                attributes = [rng.choice(("", "timeout='1'")), rng.choice(("", "maxLength='2'")), rng.choice(("", "playBeep='false'"))]
                attributes += [rng.choice(("", "finishOnKey='-1'", "finishOnKey='#'"))]
                attributes += [
                    rng.choice(("", "recordingStatusCallback='/told' recordingStatusCallbackEvent='in-progress completed absent'"))
                ]
                return f"<Record action='{SAID}' {' '.join(attributes)}/>"
            case _:
                return super().verb()

    def step(self) -> None:
        if self.rng.random() < 0.4:
            self.press()
        else:
            super().step()

    def end_recordings(self) -> None:
        for name in [str(note.data["recording"]) for note in self.bench.notes if note.data.get("event") == "record"]:
            self.bench.engine.recordings.pop(name, None)
            ended = {"path": "/rec/x.wav", "duration_ms": self.rng.choice((0, 3000)), "size_bytes": 44, "reason": "ended"}
            self.bench.give_engine(engine.RecordingEnded(recording=name, **ended))  # type: ignore[arg-type]  # each has its type

    def press(self) -> None:
        bench, key = self.bench, self.rng.choice(ONE_KEY)
        self.pressed += 1
        match self.rng.randrange(3):
            case 0 if self.caller_open and bench.of(commands.SendAnswer):
                body, kind = self.rng.choice(((f"Signal={key}\r\n", "application/dtmf-relay"), (key, "application/dtmf")))
                request = Request("INFO", "sip:x", Headers([("Content-Type", kind)]), body.encode())
                bench.give(events.RequestReceived(IN, commands.TransactionId("t"), request))
            case _:
                for stream in list(bench.engine.streams)[:1]:
                    bench.engine.press(stream, key, bench.now)
                    bench.run(0.0)


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_any_order_of_keys_ends_each_verb_once_and_tells_what_is_so__behaviour_9(first: int) -> None:
    told: Counter[str] = Counter()
    for seed in range(first, first + 100):
        monkey = MonkeyWithKeys(seed)
        for _ in range(monkey.rng.randint(20, 150)):
            monkey.step()
        bench, deaf = monkey.bench, monkey.bench.engine.deaf
        monkey.finish()
        where = f"seed {seed}: {bench.verbs()}"
        assert bench.engine.complaints == [], where
        if not deaf:
            assert bench.engine.empty and not any(bench.registry.counts().values()), f"{where} {bench.registry.counts()}"
        assert sum(not record.parent_sid for record in bench.records) == 1, where
        asked = [(request.url, dict(request.parameters)) for _, request in bench.web.requests if request.purpose == "action"]
        digits = [parameters["Digits"] for url, parameters in asked if url == KEYS]
        gathered = [note.data for note in bench.notes if note.data.get("event") == "gathered"]
        assert len(gathered) <= bench.verbs().count("Gather"), where
        full = [data["keys"] for data in gathered if data["by"] != "stopped" and data["keys"]]
        assert [len(text) for text in digits if text] == full, where
        assert sum(map(len, digits)) <= monkey.pressed, where
        said = [parameters for url, parameters in asked if url == SAID]
        urls = [parameters["RecordingUrl"] for parameters in said]
        assert len(set(urls)) == len(urls) and len(said) <= bench.verbs().count("Record"), where
        kept = {recording.sid for recording in bench.recordings}
        assert bench.engine.slow_disk or all(url.rpartition("/")[2].removesuffix(".wav") in kept for url in urls), where
        assert all(int(parameters["RecordingDuration"]) >= 1 for parameters in said), where
        ends = [one["RecordingSid"] for one in bench.web.of("recording-status") if one["RecordingStatus"] in ("completed", "absent")]
        assert len(set(ends)) == len(ends), where
        told.update(f"gather {data['by']}" for data in gathered)
        told.update("said and hung up" if parameters.get("Digits") == "hangup" else "said" for parameters in said)
        told["told"] += len(ends)
    assert {"gather key", "gather digits", "gather timeout", "gather stopped", "said", "said and hung up", "told"} <= set(told), told
