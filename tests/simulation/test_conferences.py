"""Conferences of whole calls in virtual time: who hears whom, and how they end (behaviour.md 2.10)."""

from __future__ import annotations

import pytest

from media import engine
from rcml.settings import RcmlSettings
from server.calls.effects import WAIT_MUSIC
from server.calls.policy import Application
from tests.simulation.hall import ACTION, Hall, conference
from tests.simulation.world import VOICE_URL

pytestmark = pytest.mark.simulation


def test_one_alone_hears_music_until_the_second_comes_and_again_when_alone__behaviour_2_10(hall: Hall) -> None:
    hall.call()
    assert hall.talking() == set() and hall.hearing(0) == [f"/prompts/{hall.prompt(WAIT_MUSIC)}.wav"]
    hall.call(2)
    assert hall.talking() == {0, 1, 2}
    assert [hall.hearing(i) for i in range(3)] == [[], [], []]
    hall.callers[0].hang_up()
    hall.run(1)
    assert hall.talking() == {1, 2}
    hall.callers[1].hang_up()
    hall.run(3)
    assert hall.talking() == set() and hall.hearing(2)[0].endswith(".wav")
    hall.close()
    assert hall.actions() == ["completed"] * 3
    assert hall.registry.conferences.rooms == {}


def test_who_does_not_start_a_conference_waits_for_a_moderator__behaviour_2_10() -> None:
    hall = Hall(2)
    hall.open(*[conference('startConferenceOnEnter="false"')] * 2, conference())
    hall.call(2)
    assert hall.talking() == set() and all(hall.hearing(i) for i in range(2))
    assert hall.registry.conferences.rooms[hall.room].state.value == "RUNNING_MODERATOR_ABSENT"
    hall.call()
    assert hall.talking() == {0, 1, 2}
    assert hall.registry.conferences.rooms[hall.room].state.value == "RUNNING_MODERATOR_PRESENT"
    hall.callers[2].hang_up()
    hall.run(1)
    assert hall.talking() == {0, 1}  # what has begun goes on
    hall.close()


def test_all_leave_when_one_leaves_whose_leaving_ends_it__behaviour_2_10() -> None:
    hall = Hall(3)
    hall.open(conference('endConferenceOnExit="true"'), conference(after="<Pause length='5'/>", dial=""))
    hall.call(3)
    hall.callers[0].hang_up()
    hall.run(1)
    assert hall.registry.conferences.rooms == {} and hall.engine.mixes == {}
    assert [phone.saw("ended") for phone in hall.callers[1:]] == [False, False]  # their documents go on
    hall.run(6)
    assert [phone.saw("ended") for phone in hall.callers[1:]] == [True, True]
    hall.close()
    assert hall.actions() == ["completed"]


def test_a_full_room_takes_nobody_and_the_dial_finishes__behaviour_2_10() -> None:
    hall = Hall(4)
    hall.open(conference('maxParticipants="2"'))
    hall.call(3)
    assert hall.talking() == {0, 1}
    (told,) = hall.web.of("action")
    assert told["DialCallStatus"] == "busy" and told["CallStatus"] == "in-progress"
    assert 11008 in [item.code for item in hall.notifications]
    hall.close()


def test_a_participant_stays_no_longer_than_the_time_limit__behaviour_2_9_2_10() -> None:
    hall = Hall(5)
    hall.open(conference(dial=f'action="{ACTION}" timeLimit="7"'), conference())
    hall.call(2)
    hall.run(3.5)
    assert hall.actions() == ["completed"] and not hall.engine.mixes
    hall.close()


def test_a_conference_lasts_no_longer_than_the_setting__behaviour_2_10() -> None:
    hall = Hall(6, policy_changes={"conference_time_limit_s": 30.0})
    hall.open(conference())
    hall.call(2)
    hall.run(25.9)
    assert hall.actions() == []
    hall.run(1)
    assert hall.actions() == ["completed"] * 2 and hall.registry.conferences.rooms == {}
    hall.close()


def test_the_action_hears_no_leg_and_no_durations__behaviour_2_10(hall: Hall) -> None:
    hall.call(2)
    hall.callers[0].hang_up()
    hall.run(1)
    (told,) = hall.web.of("action")
    assert (told["DialCallStatus"], told["CallStatus"]) == ("completed", "completed")
    assert not {"DialCallSid", "DialCallDuration", "DialRingDuration", "RecordingUrl", "FailureReason"} & told.keys()
    hall.close()


def test_rooms_of_other_names_do_not_hear_each_other__behaviour_2_10() -> None:
    hall = Hall(7)
    hall.open(conference(), conference(name="red"))
    hall.call(2)
    assert hall.engine.mixes == {} and len(hall.registry.conferences.rooms) == 2
    hall.call()
    assert hall.talking() == {1, 2}
    hall.close()


def test_muted_ones_only_listen__behaviour_2_10() -> None:
    hall = Hall(8)
    hall.open(conference('muted="true"'), conference())
    hall.call(2)
    assert hall.engine.muted == {hall.sids[0]} and hall.talking() == {0, 1}
    hall.act(hall.registry.mute(hall.room, hall.sids[0], False, hall.now))
    hall.act(hall.registry.mute(hall.room, hall.sids[1], True, hall.now))
    assert hall.engine.muted == {hall.sids[1]}
    hall.close()
    assert hall.engine.muted == set()


@pytest.mark.parametrize(
    ("beep", "comes", "goes"), [("true", True, True), ("false", False, False), ("onEnter", True, False), ("onExit", False, True)]
)
def test_a_tone_tells_of_those_who_come_and_go__behaviour_2_10(beep: str, comes: bool, goes: bool) -> None:
    hall = Hall(9)
    hall.open(conference(f'beep="{beep}"'))
    hall.call(3)
    _, second, third = hall.sids
    assert [(way, who) for _, way, who in hall.engine.beeps] == ([("in", second), ("in", third)] if comes else [])
    hall.engine.beeps.clear()
    hall.callers[2].hang_up()
    hall.run(0.5)
    assert [(way, who) for _, way, who in hall.engine.beeps] == ([("out", third)] if goes else [])
    hall.callers[1].hang_up()
    hall.run(0.1)
    assert (hall.hearing(0) == ["beep"]) is goes  # by one alone it is heard before the music
    hall.run(1)
    assert hall.hearing(0)[0].endswith(".wav")
    hall.close()


def test_a_tone_of_ones_own_is_played_to_the_room__behaviour_2_10() -> None:
    hall = Hall(10)
    hall.open(conference('beepUrl="/bell.wav"'))
    hall.call(3)
    bells = [play for play in hall.engine.played if play.mix]
    assert len(bells) == 2 and hall.engine.beeps == []
    assert bells[1].files == [f"/prompts/{hall.prompt('http://app/bell.wav')}.wav"]
    hall.callers[2].hang_up()
    hall.run(0.5)
    assert len([play for play in hall.engine.played if play.mix]) == 3
    hall.close()


def test_without_ones_own_tone_the_built_in_one_goes__behaviour_2_10() -> None:
    hall = Hall(11)
    hall.web.broken_prompts.add("http://app/bell.wav")
    hall.open(conference('beepUrl="/bell.wav"'))
    hall.call(3)
    hall.callers[2].hang_up()
    hall.run(0.5)
    assert [way for _, way, _ in hall.engine.beeps] == ["out"]
    assert 13233 in [item.code for item in hall.notifications]
    hall.close()


# --- recording --------------------------------------------------------------------------------------------------------


def test_a_stay_is_recorded_from_the_first_who_can_be_heard__rcml_md() -> None:
    hall = Hall(50)
    hall.open(conference('record="record-from-start"'), conference())
    hall.call()
    assert hall.engine.recordings == {}
    hall.call()
    ((sid, recording),) = hall.engine.recordings.items()
    assert recording.stream == hall.sids[0]
    hall.run(5)
    hall.callers[0].hang_up()
    hall.run(1)
    (told,) = hall.web.of("action")
    assert sid in told["RecordingUrl"] and [one.sid for one in hall.recordings] == [sid]
    assert hall.recordings[0].call_sid == hall.sids[0]
    hall.close()


def test_record_of_the_dial_is_carried_out_by_setting__rcml_md() -> None:
    for wanted in (False, True):
        hall = Hall(51, policy_changes={"rcml": RcmlSettings(record_conferences=wanted)})
        hall.open(conference(dial=f'action="{ACTION}" record="true"'))
        hall.call(2)
        hall.run(5)
        hall.close()
        assert [("RecordingUrl" in told) for told in hall.web.of("action")] == [wanted, wanted]
        assert (12200 in [item.code for item in hall.notifications]) is not wanted


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_the_worker_dies_with_a_room_in_it__behaviour_3_1(hall: Hall) -> None:
    hall.call(3)
    hall.engine.die(hall.now)
    hall.run(3)
    assert hall.actions() == ["failed"] * 3
    assert all("FailureReason" not in told for told in hall.web.of("action"))
    assert hall.registry.conferences.rooms == {}
    hall.call(2)
    assert hall.talking() == {3, 4}
    hall.close()


def test_a_mix_that_the_engine_loses_ends_a_dial__behaviour_3_1(hall: Hall) -> None:
    hall.call(2)
    (mix,) = hall.engine.mixes
    for sid in hall.sids:
        hall.engine.send(engine.Leave(mix=mix, stream=sid), hall.now)
    hall.run(2)
    assert hall.actions() == ["failed"] and hall.talking() == set()  # and the other one waits for the next
    hall.call()
    assert hall.talking() in ({0, 2}, {1, 2})
    hall.close()


def test_the_server_goes_down_with_a_room_in_it(hall: Hall) -> None:
    hall.call(3)
    hall.act(hall.registry.shutdown(hall.now))
    hall.run(3)
    assert hall.actions() == ["completed"] * 3
    hall.close()


def test_another_document_takes_a_participant_out__rest(hall: Hall) -> None:
    hall.call(3)
    hall.web.pages["http://app/next"] = "<Response><Pause length='9'/></Response>"
    hall.act(hall.registry.redirect(hall.sids[1], Application("", "http://app/next"), hall.now))
    hall.run(1)
    assert hall.talking() == {0, 2} and hall.actions() == []
    assert hall.leg(1).answered
    hall.close()


def test_who_goes_back_into_the_room_that_they_end_is_in_a_new_one__behaviour_2_10() -> None:
    hall = Hall(60)
    again = conference("endConferenceOnExit='true'", dial="timeLimit='5'")
    hall.open(conference("endConferenceOnExit='true'", dial=f"timeLimit='5' action='{ACTION}'"), conference(dial=""))
    hall.web.pages[ACTION] = again
    hall.call(2)
    old = hall.room
    hall.run(3)
    assert hall.room != old and len(hall.registry.conferences.rooms[hall.room].members) == 1
    hall.close()


def test_the_star_leads_out_of_the_room__rcml_md() -> None:
    hall = Hall(52)
    hall.open(conference(dial=f'action="{ACTION}" hangupOnStar="true"'), conference())
    hall.web.pages[ACTION] = "<Response><Pause length='60'/></Response>"
    hall.call(3)
    for sid in hall.sids[:2]:
        for key in "1*":
            hall.engine.press(sid, key, hall.now)
        hall.run(1)
    assert hall.talking() == {1, 2} and hall.actions() == ["completed"]
    hall.close()


def test_a_participant_cannot_transfer_anybody_and_stays__behaviour_6(hall: Hall) -> None:
    hall.application = Application("2222", VOICE_URL, refer_url="http://app/refer")
    hall.call(2)
    hall.callers[0].refer("sip:carol@10.0.9.9")
    hall.run(1)
    assert [(what, status) for _, what, status in hall.callers[0].told] == [("answer", 404)]
    assert hall.talking() == {0, 1} and hall.web.of("refer") == []
    hall.close()
