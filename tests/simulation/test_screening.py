"""Parties who are not connected by their answer alone: keys are pressed for them, documents decide (behaviour 2.4, 2.5).

As in `test_races`, a seed draws the wire, the phones, and what goes wrong and when; here the nouns have `sendDigits` and `url`, and the
application accepts, declines, is slow, is broken or hangs. The end state is judged by what the page says of the phone that was connected.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from server.calls.effects import Fetched
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core import events
from tests.simulation.test_races import (
    ACTION,
    CHUNK,
    ENDINGS,
    LIMIT_S,
    SEEDS,
    STATUS,
    TIMEOUT_S,
    Story,
    dialled_at,
    expect_one_result,
    plan,
)
from tests.simulation.world import VOICE_URL, Script, World

PROXY = "10.0.0.9"
KEYS = "w1W23"
KEYS_S = 0.5 + 0.2 + 1.0 + 0.4
SCREENING_S = 4
# The document of each kind of party, and how long it lasts at least when it accepts; None: it never does.
DOCUMENTS: dict[str, tuple[str, float | None]] = {
    "plain": ("", 0.0),
    "accepts": ("<Response><Play>/whisper.wav</Play></Response>", 1.0),
    "thinks": ("<Response><Pause length='2'/><Say>Well.</Say></Response>", 3.0),
    "empty": ("<Response/>", 0.0),
    "declines": ("<Response><Pause/><Hangup/></Response>", None),
    "rejects": ("<Response><Reject/></Response>", None),
    "endless": ("<Response><Play loop='0'>/whisper.wav</Play></Response>", None),
    "broken": ("<Response><Say>", None),
    "dials": ("<Response><Dial>5551234</Dial></Response>", None),
    "hangs": ("", None),
    "down": ("", None),
}


@dataclass
class Party:
    kind: str
    keys: bool
    host: str

    def noun(self, n: int) -> str:
        url = "" if self.kind == "plain" else f' url="/{self.kind}" timeout="{SCREENING_S}"'
        if self.keys:
            return f'<Number{url} sendDigits="{KEYS}">555000{n}</Number>'
        return f"<Sip{url}>sip:leg{n}@{self.host}</Sip>"

    @property
    def least_s(self) -> float | None:
        """From its answer to the bridge."""
        length = DOCUMENTS[self.kind][1]
        return None if length is None else length + (KEYS_S if self.keys else 0.0)


def tell(seed: int) -> tuple[World, Story, list[Party]]:
    rng = random.Random(f"screening {seed}")
    story = Story(ENDINGS[seed % len(ENDINGS)], rng.choice((1, 1, 2, 3)), rng.random() < 0.7, rng.random() < 0.3, rng.random() < 0.2)
    bad = rng.random() < 0.7
    world = World(
        seed,
        loss=rng.choice((0.0, 0.05, 0.2)) if bad else 0.0,
        duplicate=rng.choice((0.0, 0.1)) if bad else 0.0,
        delay=rng.choice((0.005, 0.05, 0.4)),
        reorder=rng.choice((0.0, 0.2)) if bad else 0.0,
        application=Application("2222", VOICE_URL, status_callback=STATUS, answer_delay=story.delay_answer),
    )
    parties: list[Party] = []
    for n in range(story.legs):
        kind = rng.choice(tuple(DOCUMENTS)) if n or rng.random() < 0.9 else "plain"
        keys = rng.random() < 0.3 and not any(party.keys for party in parties)  # one phone behind the proxy
        parties.append(Party(kind, keys, PROXY if keys else f"10.0.1.{n + 1}"))
        hangs_up = rng.choice((None, 0.3, 1.5, 6.0)) if story.ending == "callee-hangs-up" or rng.random() < 0.2 else None
        status = rng.choice((200, 200, 200, 200, 486, 404)) if n or story.ending == "busy" else 200
        world.phone(parties[-1].host, Script(rng.choice((None, 0.1)), rng.uniform(0.2, 5.5), status, hangs_up))
    music = ' dialMusic="/music.wav"' if story.music else ""
    one_by_one = ' sequential="true"' if rng.random() < 0.25 else ""
    attributes = f'action="{ACTION}" timeout="{TIMEOUT_S}" timeLimit="{LIMIT_S}" record="{str(story.record).lower()}"{music}{one_by_one}'
    nouns = "".join(party.noun(n) for n, party in enumerate(parties))
    world.web.pages = {f"http://app/{kind}": page for kind, (page, _) in DOCUMENTS.items()}
    world.web.pages["http://app/down"] = lambda request: Fetched(request.request, 0, request.url, error="connect")
    world.web.pages["http://app/hangs"] = lambda request: Fetched(request.request, 0, request.url, error="timeout")
    world.web.slow = {"http://app/hangs": 10.0}
    world.web.pages[VOICE_URL] = f"<Response><Dial {attributes}>{nouns}</Dial></Response>"
    world.web.pages[ACTION] = rng.choice(("", "<Response><Hangup/></Response>", "<Response><Pause length='2'/></Response>"))
    plan(world, rng, story)
    return world, story, parties


def answered_at(world: World, session: str) -> float:
    return next(at for at, event in world.server_events if isinstance(event, events.InviteAnswered) and event.session == session)


def check(seed: int) -> str:
    world, story, parties = tell(seed)
    world.run()
    where = f"seed {seed}: {story} {parties}"
    actions, legs = expect_one_result(world, where)
    if not actions:
        return f"{story.ending}: no dial"
    over = next(note.at for note in world.notes if note.data.get("event") == "dial")
    assert all(record.ended_at <= over for record in legs), f"{where}: a leg outlived its Dial"
    status = actions[0]["DialCallStatus"]
    assert ("FailureReason" in actions[0]) == (status == "failed"), where
    joined = [(note.at, str(note.data["second"])) for note in world.notes if note.data.get("event") == "bridge"]
    assert len(joined) <= 1, f"{where}: {joined}"
    lost = any(note.data.get("event") == "worker-lost" and note.at <= over for note in world.notes)
    assert (status == "completed") == bool(joined) or (joined and lost), f"{where}: {status} {joined}"
    own = next(record for record in world.records if not record.parent_sid)
    for at, sid in joined:
        party = _party(world, parties, sid)
        assert party.least_s is not None, f"{where}: {party} was connected"
        assert at >= answered_at(world, sid) + party.least_s - 0.01, f"{where}: {party} was connected too early"
        assert all(record.ended_at <= at + 1e-6 for record in legs if record.sid != sid), f"{where}: a loser was kept"
        assert own.answered_at is not None and (own.answered_at >= at - 1e-6 or not story.delay_answer), where
    if not joined:
        assert actions[0].get("DialCallDuration") == "0" or lost, where
        assert own.answered_at is None or not story.delay_answer, where
        _check_refusal(world, story, status, where)
    reported = next((record for record in legs if record.sid == actions[0].get("DialCallSid")), None)
    if reported is not None:
        rang_out = status == "no-answer" and over - dialled_at(world) >= TIMEOUT_S - 0.01
        assert reported.ended.cause.value == status or rang_out, f"{where}: {status} {reported.ended}"
    return f"{story.ending}: {status}"


def _check_refusal(world: World, story: Story, status: str, where: str) -> None:
    """Nobody was connected: why, as far as the page tells it without the order of events."""
    legs = [record for record in world.records if record.parent_sid]
    causes = {record.ended.cause.value for record in legs}
    departed = story.ending in ("cancel", "caller-hangs-up", "both-hang-up", "operator", "shutdown", "operator-branch")
    allowed = causes | {"no-answer"} | ({"canceled"} if departed else set())
    assert status in allowed, f"{where}: {status}, legs {causes}"
    for record in legs:
        if record.ended.cause is Cause.NO_ANSWER and record.answered_at is not None:
            assert record.ended.by in (By.APPLICATION, By.TIMER, By.CALLEE, By.SERVER), where


def _party(world: World, parties: list[Party], sid: str) -> Party:
    invite = next(str(note.data["to"]) for note in world.notes if note.leg == sid and note.data.get("status") == "initiated")
    return next(party for party in parties if party.host in invite)


@pytest.mark.simulation
@pytest.mark.parametrize("first", range(0, SEEDS // 2, CHUNK))
def test_only_an_accepted_party_is_connected_and_every_dial_ends_once__behaviour_2_5_2_4(first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS // 2))
    told = Counter(check(seed) for seed in seeds)
    if len(seeds) == CHUNK:  # the stories must go somewhere
        assert {"completed", "failed", "canceled", "no-answer"} <= {line.partition(": ")[2] for line in told}, told
