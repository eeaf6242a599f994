"""What is heard and recorded in the call flows of behaviour.md: music, early media, late offers, recordings, on the bench."""

from __future__ import annotations

from server.calls.policy import Application
from sip.core import commands, events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, TWO, VOICE, Bench, dial


def test_recording_is_of_the_bridge_and_its_url_is_in_the_action__behaviour_7() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" record="true"'))
    bench.answer(0)
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    bench.run(1.0)
    (recording,) = bench.recordings
    assert recording.duration_ms == 3000 and recording.call_sid == bench.action["CallSid"]
    url = f"http://server/restcomm/2012-04-24/Accounts/AC1/Recordings/{recording.sid}.wav"
    assert bench.action["RecordingUrl"] == bench.action["PublicRecordingUrl"] == url


def test_nothing_bridged_nothing_recorded__behaviour_7() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" record="true"'))
    bench.fail(0, 486)
    bench.run(1.0)
    assert not bench.recordings and "RecordingUrl" not in bench.action


def test_answer_on_bridge_false_answers_first_and_rings_in_the_media__behaviour_0_2() -> None:
    bench = Bench(dial(ONE, 'answerOnBridge="false"'))
    assert bench.order() == ["180", "200", "INVITE"]
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    bench.answer(0)
    assert bench.engine.bridges and bench.order() == ["180", "200", "INVITE"]
    bench.bye_from(bench.leg(0))
    assert bench.order()[-1] == "BYE"


def test_answer_delay_off_for_a_number__behaviour_4_1() -> None:
    bench = Bench(dial(ONE), application=Application("2222", VOICE, answer_delay=False))
    assert bench.order() == ["180", "200", "INVITE"]


def test_dial_music_is_early_media_for_an_unanswered_caller__behaviour_10_2() -> None:
    bench = Bench(dial(ONE, 'dialMusic="/music.wav"'))
    assert bench.order() == ["180", "INVITE", "183"]
    (play,) = bench.engine.played
    assert play.loop == 0 and play.files
    early = bench.of(commands.SendProvisional)[-1].body
    bench.answer(0)
    assert bench.of(commands.SendAnswer)[0].body == early  # trap 38


def test_dial_music_that_cannot_be_fetched_gives_13233_and_the_ringback__behaviour_10_2() -> None:
    bench = Bench(dial(ONE, 'dialMusic="/music.wav" answerOnBridge="false"'), broken_prompts=("http://app/music.wav",))
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    assert [item.code for item in bench.notifications] == [13233]
    bench.answer(0)
    assert bench.engine.bridges


def test_dial_music_disabled_is_silence__behaviour_10_2() -> None:
    bench = Bench(dial(ONE, 'dialMusic="Disabled" answerOnBridge="false"'))
    assert not bench.engine.played
    bench = Bench(dial(ONE, 'dialMusic="disabled"'))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert bench.order() == ["180", "INVITE"] and not bench.engine.bridges


def test_early_media_of_a_single_destination_is_relayed__behaviour_0_1() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert bench.order() == ["180", "INVITE", "183"] and bench.engine.bridges
    early = bench.of(commands.SendProvisional)[-1].body
    bench.answer(0)
    assert bench.of(commands.SendAnswer)[0].body == early and len(bench.engine.bridged_pairs) == 1


def test_early_media_of_a_fork_is_not_relayed__behaviour_0_1() -> None:
    bench = Bench(dial(TWO))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert bench.order() == ["180", "INVITE", "INVITE"] and not bench.engine.bridges


def test_late_offer__our_offer_in_the_200_bridge_after_the_ack__behaviour_0_5() -> None:
    bench = Bench(dial(ONE), offer=b"")
    bench.answer(0)
    assert bench.order()[-1] == "200" and not bench.engine.bridges
    assert b"m=audio" in bench.of(commands.SendAnswer)[0].body
    bench.give(events.AnswerAcked(IN, sdp("192.0.2.7"), "application/sdp"))
    assert bench.engine.bridges


def test_late_offer_without_an_answer_in_the_ack_is_ended__behaviour_0_5() -> None:
    bench = Bench(dial(ONE), offer=b"")
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    assert sorted(str(bye.session) for bye in bench.of(commands.SendBye)) == sorted([str(IN), str(bench.leg(0))])


def test_no_common_codec_is_488_with_warning__behaviour_0_5() -> None:
    bench = Bench(dial(ONE), offer=sdp("192.0.2.7", codecs="97").replace(b"a=rtpmap:101 telephone-event/8000", b"a=rtpmap:97 speex/8000"))
    (reject,) = bench.of(commands.SendReject)
    assert reject.status == 488 and reject.headers[0][0] == "Warning"
    assert not bench.web.requests


def test_broken_sdp_is_400__behaviour_0_5() -> None:
    bench = Bench(dial(ONE), offer=b"this is no sdp")
    assert [reject.status for reject in bench.of(commands.SendReject)] == [400]
