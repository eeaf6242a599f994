"""What those hear who wait in a conference, in whole calls and virtual time (behaviour.md 2.10)."""

from __future__ import annotations

import pytest

from server.calls.effects import WAIT_MUSIC, Fetched
from tests.simulation.hall import Hall, conference

pytestmark = pytest.mark.simulation


def test_a_wav_to_wait_with_is_looped__behaviour_2_10() -> None:
    hall = Hall(20)
    hall.open(conference('waitUrl="/hold.wav?x=1"'))
    hall.call()
    (play,) = hall.engine.played
    assert (play.loop, play.files) == (0, [f"/prompts/{hall.prompt('http://app/hold.wav?x=1')}.wav"])
    assert hall.web.of("wait") == []
    hall.close()


def test_an_empty_wait_url_is_silence__behaviour_2_10() -> None:
    hall = Hall(21)
    hall.open(conference('waitUrl=""'))
    hall.call()
    assert hall.engine.played == [] and hall.web.of("wait") == []
    hall.close()


def test_a_document_to_wait_with_runs_again_and_again__behaviour_2_10() -> None:
    hall = Hall(22)
    hall.open(conference('waitUrl="/wait" waitMethod="GET"'))
    hall.web.pages["http://app/wait"] = "<Response><Play loop='2'>/a.wav</Play><Say>one moment</Say><Pause length='2'/></Response>"
    hall.call()
    hall.run(11)
    (asked,) = hall.web.of("wait")
    assert (asked["CallStatus"], asked["CallSid"]) == ("in-progress", hall.sids[0])
    assert [request.method for _, request in hall.web.requests if request.purpose == "wait"] == ["GET"]
    assert [play.loop for play in hall.engine.played] == [2, 1] * 2 + [2, 1][: len(hall.engine.played) - 4]
    hall.call()
    assert hall.talking() == {0, 1}
    before = len(hall.engine.played)
    hall.run(20)
    assert len(hall.engine.played) == before  # nothing of it goes on
    hall.close()


def test_a_redirect_leads_to_the_next_document_and_not_too_often__behaviour_2_10() -> None:
    hall = Hall(23)
    hall.open(conference('waitUrl="/wait"'))
    hall.web.pages["http://app/wait"] = "<Response><Redirect>/wait</Redirect></Response>"
    hall.call()
    hall.run(10)
    assert 8 <= len(hall.web.of("wait")) <= 13
    hall.close()


@pytest.mark.parametrize("page", ["<Response><Dial>1</Dial><Hangup/></Response>", "<Response/>", ""])
def test_a_document_in_which_nothing_is_heard_is_silence_and_no_loop__behaviour_2_10(page: str) -> None:
    hall = Hall(24)
    hall.open(conference('waitUrl="/wait"'))
    hall.web.pages["http://app/wait"] = page
    hall.call()
    hall.run(10)
    assert len(hall.web.of("wait")) == 1 and hall.engine.played == []
    assert ([item.code for item in hall.notifications] == [12200, 12200]) == ("Dial" in page)
    hall.close()


@pytest.mark.parametrize("what", ["broken", "missing", "wav"])
def test_what_cannot_be_had_to_wait_with_is_replaced_by_the_music__behaviour_2_10(what: str) -> None:
    hall = Hall(25)
    hall.open(conference('waitUrl="/wait.wav"' if what == "wav" else 'waitUrl="/wait"'))
    hall.web.broken_prompts.add("http://app/wait.wav")
    hall.web.pages["http://app/wait"] = (
        "<Response><Play>" if what == "broken" else lambda request: Fetched(request.request, 500, url=request.url)
    )
    hall.call()
    hall.run(2)
    assert hall.hearing(0) == [f"/prompts/{hall.prompt(WAIT_MUSIC)}.wav"]
    assert [item.code for item in hall.notifications] == [13233]
    hall.close()


def test_a_file_in_the_document_that_fails_is_left_out_and_told_once__behaviour_2_10() -> None:
    hall = Hall(26)
    hall.open(conference('waitUrl="/wait"'))
    hall.web.broken_prompts.add("http://app/b.wav")
    hall.web.pages["http://app/wait"] = "<Response><Play>/b.wav</Play></Response>"
    hall.call()
    hall.run(10)
    assert [item.code for item in hall.notifications] == [13233]
    assert 8 <= len([one for one in hall.web.prepared if getattr(one, "url", "") == "http://app/b.wav"]) <= 13
    hall.close()
