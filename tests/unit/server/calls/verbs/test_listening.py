"""What is heard by those who wait, one step after another (behaviour.md 2.10)."""

from __future__ import annotations

import itertools
import random

from media import engine
from rcml.parameters import VoiceFacts
from server.calls.effects import WAIT_MUSIC, Fetch, Fetched, Notification, Prepare, Prepared, Synthesize
from server.calls.outbox import Outbox
from server.calls.verbs.listening import Listening
from tests.support.shell import policy

VOICE = VoiceFacts("CA1", "ID1", "AC1", "bob", "2222", "in-progress", "inbound")


class Ear:
    """Listens, and is the output too: `plays` are (files, loop), `log` what was asked of the world."""

    def __init__(self, url: str | None = "http://app/wait", *, endless: bool = True) -> None:
        numbers = itertools.count(1)
        self.outbox = Outbox(policy(random.Random(1), "192.0.2.1"), "CA1", lambda: next(numbers), 100.0)
        self.plays: list[tuple[list[str], int]] = []
        self.stops = 0
        self.there = True
        self.log: list[Fetch | Prepare | Synthesize] = []
        self.told: list[Notification] = []
        self.listening = Listening(self.outbox, self, lambda: VOICE, "waitUrl", 7, endless=endless)
        self.listening.start(url, "POST")
        self.look()

    def play_files(self, files: list[str], loop: int) -> str | None:
        self.plays.append((files, loop))
        return f"play-{len(self.plays)}" if self.there else None

    def stop_playing(self) -> None:
        self.stops += 1

    def look(self) -> None:
        for action in self.outbox.drain():
            if isinstance(action, Notification):
                self.told.append(action)
            elif isinstance(action, Fetch | Prepare | Synthesize):
                self.log.append(action)

    def answer(self, verbs: str) -> None:
        asked = self.log[-1]
        assert isinstance(asked, Fetch)
        body = f"<Response>{verbs}</Response>".encode()
        self.listening.fetched(Fetched(asked.request, 200, url=asked.url, content_type="text/xml", body=body))
        self.look()

    def prepare(self, *, error: str = "") -> None:
        asked = self.log[-1]
        assert isinstance(asked, Prepare | Synthesize)
        self.listening.prepared(Prepared(asked.prompt, "" if error else f"/{asked.prompt}.wav", 1000, error))
        self.look()

    def end_play(self, reason: str = "finished") -> None:
        self.listening.play_ended(engine.PlayEnded(stream="CA1", play=f"play-{len(self.plays)}", reason=reason))
        self.look()

    def run(self, seconds: float) -> None:
        self.outbox.now += seconds
        self.listening.timeout(self.outbox.now)
        self.look()


def urls(ear: Ear) -> list[str]:
    return [asked.url for asked in ear.log if isinstance(asked, Prepare)]


def test_music_and_files_are_looped_and_an_announcement_is_not__behaviour_2_10() -> None:
    for url, endless, loop in ((None, True, 0), ("http://app/A.WAV?x", True, 0), ("http://app/a.wav", False, 1)):
        ear = Ear(url, endless=endless)
        ear.prepare()
        assert [play[1] for play in ear.plays] == [loop] and urls(ear) == [url or WAIT_MUSIC]
    ear.end_play()
    assert ear.listening.over and not ear.listening.failed
    assert Ear("").log == []


def test_verbs_one_after_another_and_again__behaviour_2_10() -> None:
    ear = Ear()
    ear.answer("<Play loop='3'>a.wav</Play><Say voice='woman'>hello</Say><Pause length='4'/>")
    ear.prepare()
    assert ear.plays == [(["/2.wav"], 3)]
    ear.end_play()
    assert isinstance(ear.log[-1], Synthesize) and (ear.log[-1].text, ear.log[-1].voice) == ("hello", "woman")
    ear.prepare()
    ear.end_play()
    assert ear.listening.deadline == 104.0
    ear.run(4.0)
    assert urls(ear) == ["http://app/a.wav"] * 2


def test_stopped_is_stopped_whatever_comes_late__behaviour_2_10() -> None:
    ear = Ear()
    ear.listening.stop()
    ear.answer("<Play>a.wav</Play>")
    assert urls(ear) == []
    ear = Ear()
    ear.answer("<Play>a.wav</Play>")
    ear.listening.stop()
    ear.prepare()
    assert ear.plays == []
    ear = Ear(None)
    ear.prepare()
    ear.listening.stop()
    ear.end_play()
    assert ear.stops == 1 and ear.listening.deadline is None and not ear.listening.over


def test_a_round_takes_a_second_at_least__behaviour_2_10() -> None:
    ear = Ear()
    ear.answer("<Play>a.wav</Play>")
    ear.prepare(error="fetch")
    assert ear.listening.deadline == 101.0 and len(urls(ear)) == 1
    ear.run(1.0)
    ear.prepare(error="fetch")
    assert len(urls(ear)) == 2 and [item.code for item in ear.told] == [13233]  # told once


def test_a_redirect_waits_its_second__behaviour_2_10() -> None:
    ear = Ear()
    ear.answer("<Redirect method='GET'>next</Redirect>")
    assert ear.listening.deadline == 101.0
    ear.run(1.0)
    asked = ear.log[-1]
    assert isinstance(asked, Fetch) and (asked.url, asked.method, asked.purpose) == ("http://app/next", "GET", "wait")


def test_the_music_takes_the_place_of_what_fails_and_silence_that_of_the_music__behaviour_2_10() -> None:
    ear = Ear()
    asked = ear.log[-1]
    assert isinstance(asked, Fetch)
    ear.listening.fetched(Fetched(asked.request, 0, error="timeout"))
    ear.look()
    assert urls(ear) == [WAIT_MUSIC]
    ear.prepare(error="fetch")
    assert ear.listening.over and ear.plays == []
    told = Ear(endless=False)
    told.listening.fetched(Fetched(1, 404))
    assert told.listening.over and told.listening.failed and urls(told) == []


def test_without_anybody_to_play_to_it_is_over() -> None:
    ear = Ear(None)
    ear.there = False
    ear.prepare()
    assert ear.listening.over
