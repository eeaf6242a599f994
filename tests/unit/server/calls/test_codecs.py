"""Which codecs the legs of a call agree on, so that as little as possible is transcoded; and what the timeline says of it."""

from __future__ import annotations

import pytest

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.policy import Application, MediaAddress
from server.calls.targets import Outbound
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, Bench, dial

NEXT = "<Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>"
ALL = MediaSettings(codecs=KNOWN_CODECS)


def caller(codecs: str, *attributes: str) -> bytes:
    return sdp("192.0.2.7", 4000, codecs, *attributes)


def callee(codecs: str, *attributes: str) -> bytes:
    return sdp("192.0.2.8", 4000, codecs, *attributes)


def numbers(body: bytes) -> list[str]:
    """Payload types of the audio line."""
    return next(line for line in body.decode().splitlines() if line.startswith("m=audio")).split()[3:]


def offered(bench: Bench, leg: int = 0) -> list[str]:
    return numbers(bench.of(commands.SendInvite)[leg].body)


def answered(bench: Bench) -> list[str]:
    """What the caller's 200 says."""
    return numbers(bench.of(commands.SendAnswer)[0].body)


def ask(bench: Bench, body: bytes, session: commands.SessionId = IN) -> commands.AnswerRequest:
    """A re-INVITE; returns what it was answered with."""
    headers = Headers([("Content-Type", "application/sdp")] if body else [])
    bench.give(events.ReinviteReceived(session, commands.TransactionId("t"), Request("INVITE", "sip:x", headers, body)))
    return bench.of(commands.AnswerRequest)[-1]


def facts(bench: Bench, event: str, leg: str = "") -> list[dict[str, object]]:
    return [dict(note.data) for note in bench.notes if note.data.get("event") == event and (not leg or note.leg == leg)]


def connected(bench: Bench, leg: int | None = None) -> engine.Connect:
    """How the engine knows a leg: the caller, or the n-th callee."""
    return bench.engine.connects[next(iter(bench.registry.calls)) if leg is None else bench.leg(leg)]


def talking(offer: str, answer: str, **policy: object) -> Bench:
    """Caller and callee, bridged."""
    bench = Bench(dial(ONE), offer=caller(offer), **policy)  # type: ignore[arg-type]
    bench.answer(0, callee(answer))
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


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
    (here,), (there,) = facts(bench, "connected", next(iter(bench.registry.calls))), facts(bench, "connected", bench.leg(0))
    assert (here["codec"], here["ptime_ms"], here["keys"]) == ("opus", 20, "in the audio")
    assert (there["codec"], there["ptime_ms"], there["keys"]) == ("PCMU", 20, "events")


def test_dropped_packets_and_the_kind_of_a_key_are_told() -> None:
    bench = talking("0", "0 101")
    sid = next(iter(bench.registry.calls))
    bench.give_engine(engine.Digit(stream=sid, digit="5", duration_ms=80, source="inband"))
    bench.give_engine(engine.Closed(stream=sid, counters=engine.Counters(packets_in=7, unauthentic=2, flooded=3)))
    assert facts(bench, "digit") == [{"event": "digit", "duration_ms": 80, "source": "inband"}]
    (closed,) = facts(bench, "closed", sid)
    assert (closed["unauthentic"], closed["flooded"]) == (2, 3) and "malformed" not in closed


def test_how_a_leg_was_heard_is_told_as_far_as_it_is_known() -> None:
    bench = talking("0", "0 101")
    sid = next(iter(bench.registry.calls))
    bench.give_engine(engine.Closed(stream=sid, quality=engine.Quality(seconds=9, mos_in=4.312, worst_in=3.0, mos_out=-1.0)))
    (closed,) = facts(bench, "closed", sid)
    assert (closed["mos_in"], closed["worst_in"]) == (4.31, 3.0) and "mos_out" not in closed


def test_a_play_that_cannot_be_heard_is_told__call_control_md() -> None:
    """The ringback, say, toward a phone that speaks nothing but G.729 since its last re-INVITE."""
    bench = talking("0", "0 101")
    sid = next(iter(bench.registry.calls))
    why = "the session's codec cannot be played to"
    bench.give_engine(engine.PlayEnded(stream=sid, play=f"{sid}-1", reason="failed", detail=why))
    bench.give_engine(engine.PlayEnded(stream=sid, play=f"{sid}-1", reason="finished"))
    assert facts(bench, "play-failed", sid) == [{"event": "play-failed", "play": f"{sid}-1", "detail": why}]


# --- G.729, which can only pass -----------------------------------------------------------------------------------


def test_g729_passes_when_both_have_it_and_prompts_have_a_codec_of_their_own__sdp_md() -> None:
    bench = talking("18 8 101", "18 101", media=ALL)
    assert "18" in offered(bench) and answered(bench) == ["18", "8", "101"]
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["passes G729"]
    assert [codec.name for codec in connected(bench).codecs] == ["PCMA", "G729", "telephone-event"]
    assert not bench.engine.complaints


def test_g729_takes_no_part_in_a_conference__sdp_md() -> None:
    """A called party that speaks nothing else is sent into a room."""
    bench = talking("18 8 101", "18 101", media=ALL)
    (callee_leg,) = (leg.sid for call in bench.registry.calls.values() for leg in call.legs)
    bench.web.pages["http://app/room"] = dial("<Conference>room</Conference>")
    bench.act(bench.registry.redirect(callee_leg, Application("", "http://app/room"), bench.now))
    bench.run(1)
    assert "failed" in [told["DialCallStatus"] for told in bench.web.of("action")] and 11008 in [item.code for item in bench.notifications]
    assert bench.engine.mixes == {} and bench.registry.counts()["rooms"] == 0


def test_callee_that_takes_another_codec_than_g729_decides__sdp_md() -> None:
    bench = talking("18 8 101", "8 18 101", media=ALL)
    assert answered(bench) == ["8", "101"]


def test_g729_behind_another_codec_binds_nobody_to_it__sdp_md() -> None:
    """The callee speaks PCMU; in G.729 the caller would be heard, but bound to this callee."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("0 18"))
    assert [codec.name for codec in connected(bench).codecs] == ["PCMA"]
    bench.answer(0, callee("0"))
    assert answered(bench) == ["8"] and not bench.engine.complaints


@pytest.mark.parametrize(
    ("document", "offer"),
    [
        (dial(ONE), caller("0 8")),
        (dial(ONE), b""),
        (dial(ONE, 'record="true"'), caller("18 8")),
        (dial(ONE, 'dialMusic="http://app/m.wav"'), caller("18 8")),
        (dial(ONE, 'answerOnBridge="false"'), caller("18 8")),
    ],
    ids=["unknown to the caller", "late offer", "recorded", "music", "answered before"],
)
def test_g729_is_not_offered_where_it_could_not_pass__sdp_md(document: str, offer: bytes) -> None:
    bench = Bench(document, offer=offer, media=ALL)
    assert "18" not in offered(bench)


def test_g729_is_off_unless_the_setting_names_it() -> None:
    assert "18" not in offered(Bench(dial(ONE), offer=caller("18 8")))


def test_caller_with_nothing_but_g729_is_refused__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("18 101"), media=ALL)
    assert bench.order() == ["488"]


def test_early_media_in_g729_is_not_passed_on__sdp_md() -> None:
    """It would bind the caller to this callee before it has answered."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("18"))
    assert bench.order() == ["180", "INVITE"]
    bench.fail(0, 486)
    bench.run(1.0)


def test_next_callee_of_a_g729_caller_is_offered_that_alone__sdp_md() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=f"<Response>{NEXT}</Response>")
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert offered(bench, 1) == ["18", "13", "101"]


def test_reinvite_away_from_a_passing_g729_is_488_and_it_goes_on__sdp_md() -> None:
    bench = talking("18 8", "18", media=ALL)
    refused = ask(bench, caller("8"))
    assert refused.status == 488 and 'speaks G729, which cannot be transcoded here"' in dict(refused.headers)["Warning"]
    assert numbers(ask(bench, caller("8 18")).body) == ["18", "8"]
    assert not facts(bench, "codecs-changed")


def test_empty_reinvite_in_a_g729_call_is_offered_that_alone__sdp_md() -> None:
    bench = talking("18 8", "18", media=ALL)
    assert numbers(ask(bench, b"", bench.leg(0)).body) == ["18", "13", "101"]


def test_hold_in_a_g729_call_may_name_nothing_else__sdp_md() -> None:
    """Phones mostly offer again what was agreed on, and that alone."""
    bench = talking("18 8", "18", media=ALL)
    for session in (IN, bench.leg(0)):
        answer = ask(bench, caller("18"), session)
        assert answer.status == 200 and numbers(answer.body) == ["18"]
    assert not bench.engine.complaints and not facts(bench, "codecs-changed")


def test_g729_alone_is_refused_when_its_counterpart_is_gone__sdp_md() -> None:
    bench = Bench(dial(ONE, "", "<Pause length='9'/>"), offer=caller("18 8"), media=ALL)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert ask(bench, caller("18")).status == 488


def test_audio_may_be_turned_off_in_a_g729_call__rfc3264_8_2() -> None:
    bench = talking("18 8", "18", media=ALL)
    answer = ask(bench, sdp("192.0.2.7", 0, "18 8"))
    assert answer.status == 200 and b"m=audio 0 " in answer.body


def test_a_callee_whose_forks_differ_is_not_bridged_when_its_g729_has_no_counterpart__sdp_md() -> None:
    """The 183 of one fork bound the caller to PCMA, then another fork answers with what only it understands."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("8"))
    bench.answer(0, callee("18"))
    bench.run(1.0)
    bench.bye_answered(0)
    assert bench.of(commands.SendBye)[0].session == bench.leg(0) and not bench.of(commands.SendAnswer)
    assert bench.action["DialCallStatus"] == "failed" and "G729" in bench.action["FailureReason"]
    assert bench.order()[-1] == "502"


def test_early_media_ends_when_another_fork_goes_on_in_g729__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("8"))
    bench.give(events.InviteProgressed(bench.leg(0), bench.response(0, 183, callee("18")), "another"))
    assert not bench.engine.bridges and [play.tone for play in bench.engine.played] == ["ringback"]
    bench.answer(0, callee("8"))
    assert len(bench.engine.bridges) == 1 and [fact["audio"] for fact in facts(bench, "bridge")] == ["passes PCMA"] * 2


def test_a_g729_callee_is_not_bridged_with_a_caller_that_left_g729_meanwhile__sdp_md() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=f"<Response>{NEXT}</Response>")
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert numbers(ask(bench, caller("8")).body) == ["8"]
    bench.answer(1, callee("18"))
    bench.run(1.0)
    assert not bench.engine.complaints and len(facts(bench, "bridge")) == 1
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(1), IN]


def test_a_g729_call_is_not_recorded_and_the_author_is_told__sdp_md() -> None:
    """Its caller is bound to G.729 by the Dial before; the recording would hold silence."""
    record = '<Response><Dial record="true"><Sip>sip:dave@192.0.2.11</Sip></Dial></Response>'
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=record)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    bench.answer(1, callee("18"))
    assert len(facts(bench, "bridge")) == 2 and not bench.engine.recordings
    (told,) = [one for one in bench.notifications if one.code == 13610]
    assert told.level == "error" and "G729" in told.message


def test_reinvite_during_early_media_follows_the_callee__behaviour_0_1() -> None:
    """An answered caller that hears the callee already is bridged with it."""
    bench = Bench(dial(ONE, 'answerOnBridge="false"'), offer=caller("8 101"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.progress(0, 183, callee("9 101"))
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["transcodes PCMA to G722"]
    assert numbers(ask(bench, caller("8 9 101")).body) == ["9", "101"]
    assert [fact["audio"] for fact in facts(bench, "codecs-changed")] == ["passes G722"]


# --- several early dialogs of one callee --------------------------------------------------------------------------


def test_answer_in_a_g729_call_that_takes_what_was_not_offered_changes_nothing__rfc3264_6_1() -> None:
    bench = talking("18 8", "18", media=ALL)
    ask(bench, b"", bench.leg(0))
    bench.give(events.ReinviteAcked(bench.leg(0), callee("8"), "application/sdp"))
    assert connected(bench, 0).codecs[0].name == "G729" and not bench.engine.complaints
    assert len(facts(bench, "answer-refused")) == 1 and not facts(bench, "codecs-changed")


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


def test_a_bridge_that_is_over_binds_its_caller_no_more__sdp_md() -> None:
    """The timeLimit has parted them; the callee's answer to our BYE is still waited for."""
    bench = Bench(dial(ONE, "timeLimit='5'", "<Pause length='9'/>"), offer=caller("18 8"), media=ALL)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.run(5.1)
    assert bench.verbs() == ["Dial"]
    assert numbers(ask(bench, caller("8")).body) == ["8"]
