"""Menus and messages over a bad wire: keys by event and by INFO, silence, and calls that end in the midst of it.

A seed draws the wire, the keys and their ways, how long the caller speaks, and what ends the call. Whatever happens, nothing lives
afterwards, each verb has ended once, its action was asked at most once, and what that was told is what was pressed and said.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from server.calls.outbox import Action
from server.calls.policy import Application
from sip.core import commands
from tests.simulation.world import VOICE_URL, World

SEEDS = max(100, int(os.environ.get("DIALPLANE_SEEDS", "600")) // 2)
CHUNK = 100
KEYS, SAID, TOLD, ELSEWHERE = "http://app/keys", "http://app/said", "http://app/told", "http://app/elsewhere"
ENDINGS = ("runs", "runs", "caller-hangs-up", "operator", "worker-dies", "shutdown", "redirect")


@dataclass
class Story:
    ending: str
    keys: str
    way: str  # of the keys: event, info, both
    clean: bool  # the wire keeps order, and loses nothing
    beep: bool
    barge_in: bool
    speech_ms: int


def tell(seed: int) -> tuple[World, Story]:
    rng = random.Random(f"keys {seed}")
    clean = rng.random() < 0.4
    keys = "".join(rng.choice("0123456789*#") for _ in range(rng.choice((0, 1, 3, 4, 6))))
    story = Story(
        ENDINGS[seed % len(ENDINGS)],
        keys,
        rng.choice(("event", "info", "both")),
        clean,
        rng.random() < 0.5,
        rng.random() < 0.7,
        rng.choice((0, 2000, 30_000)),
    )
    bad = not clean
    world = World(
        seed,
        loss=rng.choice((0.0, 0.1, 0.3)) if bad else 0.0,
        duplicate=rng.choice((0.0, 0.2)) if bad else 0.0,
        delay=rng.choice((0.005, 0.1)) if bad else 0.01,
        reorder=rng.choice((0.0, 0.2)) if bad else 0.0,
        application=Application("2222", VOICE_URL, status_callback="http://app/status"),
    )
    flags = f"bargeIn='{str(story.barge_in).lower()}'"
    gather = f"<Gather action='{KEYS}' numDigits='4' timeout='3' {flags}><Say>a</Say><Play>/b.wav</Play></Gather>"
    world.web.pages[VOICE_URL] = f"<Response>{gather}<Redirect>{KEYS}</Redirect></Response>"
    callback = f"recordingStatusCallback='{TOLD}' recordingStatusCallbackEvent='in-progress,completed,absent'"
    record = f"<Record action='{SAID}' maxLength='20' playBeep='{str(story.beep).lower()}' {callback}/>"
    world.web.pages[KEYS] = f"<Response>{record}<Pause/></Response>"
    world.web.pages[ELSEWHERE] = "<Response><Pause/></Response>"
    world.engine.speech_ms = lambda stream: story.speech_ms
    _plan(world, rng, story)
    return world, story


def _plan(world: World, rng: random.Random, story: Story) -> None:
    world.at(world.now, lambda: world.caller.call("2222"))
    end_at = rng.uniform(0.0, 12.0)

    def answered() -> None:
        for n, key in enumerate(story.keys):
            world.at(world.now + 0.7 + 0.4 * n, partial(_press, world, key, story.way))
        if story.ending == "caller-hangs-up":
            world.at(world.now + end_at, world.caller.hang_up)

    world.after_answer(0.0, answered)
    at = world.now + end_at
    match story.ending:
        case "operator":
            world.at(at, lambda: _each_call(world, world.registry.operator_end))
        case "worker-dies":
            world.at(at, lambda: world.engine.die(world.now))
        case "shutdown":
            world.at(at, lambda: world.act(world.registry.shutdown(world.now)))
        case "redirect":
            other = Application("2222", ELSEWHERE)
            world.at(at, lambda: _each_call(world, lambda sid, now: world.registry.redirect(sid, other, now)))
        case _:
            pass
    world.at(world.now + 200, lambda: world.checkpoint(with_phones=story.clean))
    world.at(world.now + 201, lambda: _hang_up(world))


def _each_call(world: World, do: Callable[[str, float], list[Action]]) -> None:
    for sid in list(world.registry.calls):
        world.act(do(sid, world.now))


def _hang_up(world: World) -> None:
    for session in list(world.caller.sessions):
        world.caller.bye(session)


def _press(world: World, key: str, way: str) -> None:
    if way in ("event", "both"):
        for stream in list(world.engine.streams):
            world.engine.press(stream, key, world.now)
    if way in ("info", "both"):
        for session in list(world.caller.sessions):
            body = f"Signal={key}\r\nDuration=100\r\n".encode()
            world.caller.do(commands.SendRequest(session, "INFO", body, "application/dtmf-relay"))


def expected_digits(story: Story) -> str:
    """What a Gather of four keys takes of what was pressed, when nothing comes between."""
    return story.keys[:4].partition("#")[0]


def check(seed: int) -> str:
    world, story = tell(seed)
    world.run()
    where = f"seed {seed}: {story}"
    assert world.left_over == [] and world.leaks() == [], where
    asked = [(request.url, dict(request.parameters)) for _, request in world.web.requests if request.purpose == "action"]
    digits = [parameters["Digits"] for url, parameters in asked if url == KEYS]
    said = [parameters for url, parameters in asked if url == SAID]
    verbs = Counter(str(note.data["verb"]) for note in world.notes if "verb" in note.data)
    gathered = [note.data for note in world.notes if note.data.get("event") == "gathered"]
    assert len(digits) <= 1 and len(said) <= 1 and len(gathered) == verbs["Gather"], where
    for text in digits:
        assert 0 < len(text) <= 4 and not Counter(text) - Counter(story.keys) and "#" not in text, where
    if story.clean and story.ending == "runs":
        assert digits == ([expected_digits(story)] if expected_digits(story) else []), where
    for parameters in said:
        (kept,) = world.recordings
        assert kept.sid in parameters["RecordingUrl"], where
        assert abs(int(parameters["RecordingDuration"]) - kept.duration_ms / 1000) <= 1.0, where
        key = parameters.get("Digits")
        assert key is None or key == "hangup" or key in story.keys, where
        assert (key == "hangup") == (parameters["CallStatus"] != "in-progress"), where
    told = Counter(parameters["RecordingStatus"] for parameters in world.web.of("recording-status"))
    assert max(told.values(), default=0) <= 1 and told["completed"] + told["absent"] == verbs["Record"], where
    assert told["completed"] == len(world.recordings), where
    if verbs["Record"] and story.ending != "redirect":
        assert len(said) == len(world.recordings), where
    own = [record for record in world.records if not record.parent_sid]
    assert len(own) == (1 if verbs or world.notes else 0), where
    return f"{story.ending}: {'said' if said else 'silent'}"


@pytest.mark.simulation
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_menus_and_messages_end_once_and_tell_what_is_so__behaviour_9(first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS))
    told = Counter(check(seed) for seed in seeds)
    if len(seeds) == CHUNK:  # the stories must go somewhere, or the checks looked at nothing
        assert {"runs: said", "runs: silent", "caller-hangs-up: said", "operator: said"} <= set(told), told
