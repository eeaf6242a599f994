"""Which codecs the legs of a call agree on, so that as little as possible is transcoded; and what the timeline says of it."""

from __future__ import annotations

import pytest

from media import engine
from media.settings import MediaSettings
from server.calls.policy import MediaAddress
from server.calls.targets import Outbound
from sip.core import commands, events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, Bench, dial
from tests.unit.server.calls.negotiating import answered, ask, callee, caller, connected, facts, numbers, offered, talking

# --- the pair that needs no transcoding ---------------------------------------------------------------------------


def test_callee_is_offered_the_callers_codecs_first_in_its_order__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("111 8 101"))
    assert offered(bench)[:4] == ["111", "8", "0", "9"]


def test_caller_gets_what_the_callee_took__sdp_md() -> None:
    bench = talking("111 0 8 101", "8 101")
    assert answered(bench) == ["8", "101"]
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["passes PCMA"]


def test_the_callees_second_codec_saves_transcoding_too__sdp_md() -> None:
    assert answered(talking("111 0", "9 0")) == ["0"]


def test_without_a_common_codec_the_callers_order_decides_and_the_bridge_transcodes__sdp_md() -> None:
    bench = talking("111 9", "8 101")
    assert answered(bench) == ["111"]
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["transcodes opus to PCMA"]
    assert facts(bench, "bridge")[0]["keys"] == "in the audio to events"


def test_callee_is_offered_first_what_the_answered_caller_speaks__sdp_md() -> None:
    bench = Bench(dial(ONE, 'answerOnBridge="false"'), offer=caller("9 0 101"))
    assert answered(bench) == ["9", "101"] and offered(bench)[:3] == ["9", "0", "8"]
    bench.answer(0, callee("0 101"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["transcodes G722 to PCMU"]


def test_late_offer_begins_with_what_the_callee_took__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=b"")
    assert offered(bench)[:4] == ["0", "8", "9", "111"]
    bench.answer(0, callee("111 101"))
    assert answered(bench)[:2] == ["111", "0"]


def test_opus_wishes_of_each_side_are_told_to_the_other__rfc7587_7_1() -> None:
    bench = Bench(dial(ONE), offer=caller("111", "fmtp:111 maxplaybackrate=16000;useinbandfec=1"))
    assert b"a=fmtp:111 useinbandfec=1;maxplaybackrate=16000\r\n" in bench.of(commands.SendInvite)[0].body
    bench.answer(0, callee("111", "fmtp:111 stereo=1"))
    assert b"a=fmtp:111 useinbandfec=1;stereo=1\r\n" in bench.of(commands.SendAnswer)[0].body


@pytest.mark.parametrize(
    ("codecs", "attribute", "asked"),
    [
        ("0 8", "", b"useinbandfec=1;maxplaybackrate=8000"),
        ("9 0", "", b"useinbandfec=1;maxplaybackrate=16000"),
        ("0 111", "", b"useinbandfec=1"),  # the caller may be moved to Opus yet
        ("0", ' record="true"', b"useinbandfec=1;maxplaybackrate=8000"),  # a recording has 8 kHz
    ],
)
def test_callee_is_not_asked_for_more_than_the_caller_can_hear__rfc7587_6_1(codecs: str, attribute: str, asked: bytes) -> None:
    bench = Bench(dial(ONE, attribute), offer=caller(codecs))
    assert b"a=fmtp:111 " + asked + b"\r\n" in bench.of(commands.SendInvite)[0].body
    bench.answer(0, callee("111"))
    # in a later offer and answer of that leg too
    assert b"a=fmtp:111 " + asked + b"\r\n" in ask(bench, b"", bench.leg(0)).body


@pytest.mark.parametrize(("bound", "answer"), [("2001:db8::1", b"c=IN IP6 2001:db8::1"), ("::1", b"")])
def test_caller_is_met_in_the_ip_version_of_its_offer_where_that_can_be__rfc6157_4_2(bound: str, answer: bytes) -> None:
    """Signalling by IPv4, media by IPv6; without an IPv6 address that others can reach it is 488."""
    offer = caller("0").replace(b"IN IP4 192.0.2.7", b"IN IP6 2001:db8::7")
    bench = Bench(dial(ONE), offer=offer, media_v6=MediaAddress(bound, bound))
    if not answer:
        assert bench.order() == ["488"]
        return
    bench.answer(0)
    assert answer in bench.of(commands.SendAnswer)[0].body and b"c=IN IP4 192.0.2.1" in bench.of(commands.SendInvite)[0].body
    assert connected(bench).remote_address == "2001:db8::7"


# --- in the middle of a call --------------------------------------------------------------------------------------


def test_reinvite_is_answered_with_the_codec_of_the_other_side__sdp_md() -> None:
    bench = talking("0 101", "0 101")
    assert numbers(ask(bench, caller("111 0 101")).body) == ["0", "101"]
    assert not facts(bench, "codecs-changed")


def test_new_codec_by_reinvite_is_transcoded_and_noted__sdp_md() -> None:
    bench = talking("0 101", "0 101")
    assert numbers(ask(bench, caller("111 101")).body) == ["111", "101"]
    assert [fact["audio"] for fact in facts(bench, "codecs-changed")] == ["transcodes opus to PCMU"]
    assert connected(bench).codecs[0].name == "opus"


def test_empty_reinvite_is_offered_the_other_sides_codec_first__rfc3261_14_2() -> None:
    bench = talking("111 8", "9")
    assert numbers(ask(bench, b"").body)[:2] == ["9", "0"]
    bench.give(events.ReinviteAcked(IN, caller("9"), "application/sdp"))
    assert [fact["audio"] for fact in facts(bench, "codecs-changed")] == ["passes G722"]


@pytest.mark.parametrize("hold", [b"a=sendonly", b"a=inactive", b"c=IN IP4 0.0.0.0"])
def test_a_peer_that_holds_may_be_silent__sdp_md(hold: bytes) -> None:
    bench = talking("0", "0")
    kind = b"c=IN IP4 192.0.2.7" if hold.startswith(b"c=") else b"a=sendrecv"
    ask(bench, caller("0").replace(kind, hold))
    assert connected(bench).media_timeout_ms == 0
    ask(bench, caller("0"))
    assert connected(bench).media_timeout_ms == 60_000


def test_reinvite_during_early_media_follows_the_callee__behaviour_0_1() -> None:
    """An answered caller that hears the callee already is bridged with it."""
    bench = Bench(dial(ONE, 'answerOnBridge="false"'), offer=caller("8 101"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.progress(0, 183, callee("9 101"))
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["transcodes PCMA to G722"]
    assert numbers(ask(bench, caller("8 9 101")).body) == ["9", "101"]
    assert [fact["audio"] for fact in facts(bench, "codecs-changed")] == ["passes G722"]


# --- keys in the audio --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codecs", "setting", "inband"), [("0 101", "auto", False), ("0", "auto", True), ("111", "auto", True), ("0", "off", False)]
)
def test_keys_are_looked_for_in_the_audio_when_there_are_no_events__sdp_md(codecs: str, setting: str, inband: bool) -> None:
    bench = talking(codecs, "0 101", media=MediaSettings.model_validate({"inband_digits": setting}))
    assert connected(bench).inband_digits is inband
    assert not connected(bench, 0).inband_digits


def test_timeline_tells_codec_packet_length_and_where_keys_travel() -> None:
    bench = talking("111", "0 101")
    (here,), (there,) = facts(bench, "connected", bench.sid), facts(bench, "connected", bench.leg(0))
    assert (here["codec"], here["ptime_ms"], here["keys"]) == ("opus", 20, "in the audio")
    assert (there["codec"], there["ptime_ms"], there["keys"]) == ("PCMU", 20, "events")


def test_dropped_packets_and_the_kind_of_a_key_are_told() -> None:
    bench = talking("0", "0 101")
    sid = bench.sid
    bench.give_engine(engine.Digit(stream=sid, digit="5", duration_ms=80, source="inband"))
    bench.give_engine(engine.Closed(stream=sid, counters=engine.Counters(packets_in=7, unauthentic=2, flooded=3)))
    assert facts(bench, "digit") == [{"event": "digit", "duration_ms": 80, "source": "inband"}]
    (closed,) = facts(bench, "closed", sid)
    assert (closed["unauthentic"], closed["flooded"]) == (2, 3) and "malformed" not in closed


def test_how_a_leg_was_heard_is_told_as_far_as_it_is_known() -> None:
    bench = talking("0", "0 101")
    sid = bench.sid
    bench.give_engine(engine.Closed(stream=sid, quality=engine.Quality(seconds=9, mos_in=4.312, worst_in=3.0, mos_out=-1.0)))
    (closed,) = facts(bench, "closed", sid)
    assert (closed["mos_in"], closed["worst_in"]) == (4.31, 3.0) and "mos_out" not in closed


def test_a_play_that_cannot_be_heard_is_told__call_control_md() -> None:
    """The ringback, say, toward a phone that speaks nothing but G.729 since its last re-INVITE."""
    bench = talking("0", "0 101")
    sid = bench.sid
    why = "the session's codec cannot be played to"
    bench.give_engine(engine.PlayEnded(stream=sid, play=f"{sid}-1", reason="failed", detail=why))
    bench.give_engine(engine.PlayEnded(stream=sid, play=f"{sid}-1", reason="finished"))
    assert facts(bench, "play-failed", sid) == [{"event": "play-failed", "play": f"{sid}-1", "detail": why}]


# --- several early dialogs of one callee --------------------------------------------------------------------------


def test_ways_that_differ_by_direction_are_both_told__sdp_md() -> None:
    bench = talking("0", "111 0")
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["passes PCMU, transcodes opus to PCMU"]


def test_another_codec_in_the_200_than_in_the_183_is_told__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("0 8"))
    bench.progress(0, 183, callee("8"))
    bench.answer(0, callee("0"))
    assert answered(bench) == ["8"]  # as its 183 said, trap 38
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["passes PCMA"]
    assert [fact["audio"] for fact in facts(bench, "codecs-changed")] == ["transcodes PCMA to PCMU"]


def test_answer_without_sdp_stands_for_the_183_of_its_own_dialog__rfc3261_13_2_2_4() -> None:
    def ringing(tag: str, body: bytes) -> None:
        bench.give(events.InviteProgressed(bench.leg(0), bench.response(0, 183, body), tag))

    def takes(tag: str) -> None:
        bench.give(events.InviteAnswered(bench.leg(0), bench.response(0, 200), tag))

    bench = Bench(dial(ONE), offer=caller("0 8"))
    ringing("a", sdp("192.0.2.50", 5000, "0"))
    ringing("b", sdp("192.0.2.51", 5100, "8"))
    takes("a")
    assert (connected(bench, 0).remote_address, connected(bench, 0).codecs[0].name) == ("192.0.2.50", "PCMU")

    bench = Bench(dial(ONE), offer=caller("0 8"))
    ringing("a", sdp("192.0.2.50", 5000, "0"))
    takes("c")
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)] and not bench.of(commands.SendAnswer)


def test_fallback_proxy_is_offered_what_the_first_was__sdp_md() -> None:
    """Early media of the first agreed on plain G.711; that binds nobody behind the second."""
    proxies = Outbound("carrier", ("sip:gw1.example.com", "sip:gw2.example.com"), srtp="optional")
    bench = Bench(dial("<Number>1234</Number>"), outbound=proxies)
    bench.progress(0, 183, callee("8"))
    bench.fail(0, 503)
    first, second = (invite.body for invite in bench.of(commands.SendInvite))
    assert first.count(b"a=crypto") == second.count(b"a=crypto") == 6
