"""Conferences of whole calls in virtual time: what is done to a room from outside, and what its application is told."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.conferences.room import Hold
from server.calls.effects import WAIT_MUSIC
from tests.simulation.hall import STATUS, Hall, conference

pytestmark = pytest.mark.simulation


def test_one_is_sent_out_and_the_others_stay__rest(hall: Hall) -> None:
    hall.call(3)
    hall.act(hall.registry.kick(hall.room, hall.sids[1], hall.now))
    assert hall.talking() == {0, 2}
    hall.run(1)
    assert hall.actions() == ["completed"]
    hall.close()


def test_a_room_is_ended_and_can_be_entered_anew__rest() -> None:
    hall = Hall(31)
    hall.open(conference())
    hall.call(2)
    old = hall.room
    hall.act(hall.registry.end_room(old, hall.now))
    hall.run(1)
    assert hall.actions() == ["completed"] * 2 and hall.registry.conferences.rooms == {}
    hall.call()
    assert hall.room != old
    hall.close()


def test_one_on_hold_is_apart_and_hears_the_music_of_the_hold__rest(hall: Hall) -> None:
    hall.call(3)
    hall.act(hall.registry.hold(hall.room, hall.sids[0], Hold("http://app/held.wav"), hall.now))
    hall.run(1)
    assert hall.talking() == {1, 2}
    assert hall.hearing(0) == [f"/prompts/{hall.prompt('http://app/held.wav')}.wav"]
    hall.act(hall.registry.hold(hall.room, hall.sids[0], Hold(""), hall.now))
    assert hall.hearing(0) == []
    hall.act(hall.registry.hold(hall.room, hall.sids[0], None, hall.now))
    hall.run(1)
    assert hall.talking() == {0, 1, 2} and hall.hearing(0) == []
    hall.close()


def test_an_announcement_to_all_is_played_to_the_mix_and_to_one_to_that_one__rest(hall: Hall) -> None:
    hall.web.pages["http://app/news"] = "<Response><Play>/news.wav</Play></Response>"
    hall.call(3)
    hall.act(hall.registry.announce(hall.room, "http://app/news", "POST", hall.now))
    hall.run(0.5)
    (play,) = hall.engine.mix_plays.values()
    assert play.files == [f"/prompts/{hall.prompt('http://app/news.wav')}.wav"] and hall.talking() == {0, 1, 2}
    hall.run(2)
    assert hall.engine.mix_plays == {}
    hall.act(hall.registry.announce(hall.room, "http://app/news", "POST", hall.now, hall.sids[1]))
    hall.run(0.5)
    assert [bool(hall.hearing(i)) for i in range(3)] == [False, True, False]
    hall.run(2)
    assert hall.hearing(1) == []
    hall.close()


def test_an_announcement_that_the_engine_cannot_play_has_failed__rest() -> None:
    hall = Hall(33)
    hall.open(conference(f'statusCallback="{STATUS}" statusCallbackEvent="announcement"'))
    hall.call(2)
    hall.act(hall.registry.announce(hall.room, "http://app/news.wav", "POST", hall.now))
    hall.run(0.5)
    (play,) = hall.engine.mix_plays.values()
    hall.act(hall.registry.media_event(engine.Failed(op="play", subject=play.play, code="unknown_mix"), hall.now))
    hall.run(0.5)
    assert [told["StatusCallbackEvent"] for told in hall.web.of("conference-status")] == ["announcement-fail"]
    hall.close()


def test_an_announcement_to_one_who_waits_gives_way_to_the_music__rest(hall: Hall) -> None:
    hall.call()
    hall.act(hall.registry.announce(hall.room, "http://app/news.wav", "POST", hall.now, hall.sids[0]))
    hall.run(0.5)
    assert hall.hearing(0) == [f"/prompts/{hall.prompt('http://app/news.wav')}.wav"]
    hall.run(2)
    assert hall.hearing(0) == [f"/prompts/{hall.prompt(WAIT_MUSIC)}.wav"]
    hall.close()


def test_whoever_is_unknown_is_ignored__rest(hall: Hall) -> None:
    hall.call(2)
    registry, now = hall.registry, hall.now
    for room, call in (("CF0", hall.sids[0]), (hall.room, "CA0")):
        assert registry.kick(room, call, now) == registry.mute(room, call, True, now) == []
        assert registry.hold(room, call, Hold(None), now) == registry.ends_on_exit(room, call, True, now) == []
        assert registry.announce(room, "http://app/x", "POST", now, call) == []
    assert registry.end_room("CF0", now) == registry.announce("CF0", "http://app/x", "POST", now) == []
    hall.close()


# --- what the room's application is told -------------------------------------------------------------------------------


def test_the_room_tells_what_happens_in_it_once_and_in_order__rcml_md() -> None:
    hall = Hall(40)
    hall.open(conference(f'statusCallback="{STATUS}" participantLabel="first" endConferenceOnExit="true"'), conference())
    hall.call(2)
    hall.act(hall.registry.mute(hall.room, hall.sids[1], True, hall.now))
    hall.act(hall.registry.hold(hall.room, hall.sids[1], Hold(None), hall.now))
    hall.act(hall.registry.hold(hall.room, hall.sids[1], None, hall.now))
    hall.act(hall.registry.ends_on_exit(hall.room, hall.sids[1], True, hall.now))
    hall.act(hall.registry.announce(hall.room, "http://app/news.wav", "POST", hall.now))
    hall.run(3)
    room = hall.room
    hall.callers[0].hang_up()
    hall.run(2)
    told = hall.web.of("conference-status")
    assert [(one["StatusCallbackEvent"], one.get("CallSid", "")) for one in told] == [
        ("participant-join", hall.sids[0]),
        ("participant-join", hall.sids[1]),
        ("conference-start", ""),
        ("participant-mute", hall.sids[1]),
        ("participant-hold", hall.sids[1]),
        ("participant-unhold", hall.sids[1]),
        ("participant-modify", hall.sids[1]),
        ("announcement-end", hall.sids[0]),
        ("participant-leave", hall.sids[0]),
        ("participant-leave", hall.sids[1]),
        ("conference-end", ""),
    ]
    assert [one["SequenceNumber"] for one in told] == [str(n) for n in range(11)]
    assert {(one["ConferenceSid"], one["FriendlyName"]) for one in told} == {(room, "blue")}
    assert (told[0]["ParticipantLabel"], "ParticipantLabel" in told[1]) == ("first", False)
    assert (told[4]["Muted"], told[4]["Hold"], told[6]["EndConferenceOnExit"]) == ("true", "true", "true")
    assert told[-1]["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    assert told[-1]["CallSidEndingConference"] == hall.sids[0]
    hall.close()


def test_the_first_status_callback_rules_and_says_which_events__rcml_md() -> None:
    hall = Hall(41)
    own = f'statusCallback="{STATUS}" statusCallbackEvent="leave end" statusCallbackMethod="GET"'
    hall.open(conference(own), conference('statusCallback="http://app/second"'))
    hall.call(2)
    hall.close()
    asked = [request for _, request in hall.web.requests if request.purpose == "conference-status"]
    assert {(request.url, request.method) for request in asked} == {(STATUS, "GET")}
    told = hall.web.of("conference-status")
    assert [one["StatusCallbackEvent"] for one in told] == ["participant-leave", "participant-leave", "conference-end"]
    assert told[-1]["ReasonConferenceEnded"] == "last-participant-left"
