"""Requests inside a leg's dialog that are answered here (behaviour.md 2.11, 6)."""

from __future__ import annotations

import pytest

from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, Bench, dial


def bridged() -> Bench:
    bench = Bench(dial(ONE))
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


def ask(
    bench: Bench, method: str, body: bytes = b"", content_type: str = "application/sdp", session: commands.SessionId = IN
) -> commands.AnswerRequest:
    """Give a request inside a dialog; returns what it was answered with."""
    request = Request(method, "sip:x", Headers([("Content-Type", content_type)] if body else []), body)
    kind = events.ReinviteReceived if method == "INVITE" else events.RequestReceived
    bench.give(kind(session, commands.TransactionId("t"), request))
    return bench.of(commands.AnswerRequest)[-1]


def peers(bench: Bench, leg: str) -> list[str]:
    """Where a leg's stream was sent to, each time it was connected."""
    return [str(note.data["peer"]) for note in bench.notes if note.data.get("event") == "connected" and note.leg == leg]


def test_new_address_by_reinvite_moves_that_leg_only__behaviour_2_11() -> None:
    bench = bridged()
    sid = bench.sid
    answer = ask(bench, "INVITE", sdp("192.0.2.70", 5000))
    assert answer.status == 200 and peers(bench, sid) == ["192.0.2.7:4000", "192.0.2.70:5000"]
    assert len(peers(bench, str(bench.leg(0)))) == 1 and len(bench.of(commands.SendInvite)) == 1


def test_reinvite_of_the_callee_is_answered_here_too__behaviour_2_11() -> None:
    bench = bridged()
    assert ask(bench, "INVITE", sdp("192.0.2.80", 5000), session=bench.leg(0)).status == 200
    assert peers(bench, str(bench.leg(0)))[-1] == "192.0.2.80:5000"


def test_empty_reinvite_is_offered_to_and_its_ack_answers__rfc3261_14_2() -> None:
    bench = bridged()
    sid = bench.sid
    answer = ask(bench, "INVITE")
    assert answer.status == 200 and b"m=audio" in answer.body
    bench.give(events.ReinviteAcked(IN, sdp("192.0.2.70", 5000), "application/sdp"))
    assert peers(bench, sid)[-1] == "192.0.2.70:5000"


def test_description_in_the_ack_of_an_answered_reinvite_changes_nothing__rfc3264_4() -> None:
    """Offer and answer have been exchanged by then: what the ACK carries is neither."""
    bench = bridged()
    sid = bench.sid
    ask(bench, "INVITE", sdp("192.0.2.70", 5000))
    bench.give(events.ReinviteAcked(IN, sdp("198.51.100.66", 6666), "application/sdp"))
    assert peers(bench, sid)[-1] == "192.0.2.70:5000"


def test_ack_without_the_answer_leaves_the_session_as_it_was__rfc3264_4() -> None:
    bench = bridged()
    sid = bench.sid
    ask(bench, "INVITE")
    bench.give(events.ReinviteAcked(IN, b"", ""))
    bench.give(events.ReinviteAcked(IN, sdp("198.51.100.66", 6666), "application/sdp"))
    assert peers(bench, sid) == ["192.0.2.7:4000"]


def test_no_common_codec_in_a_reinvite_is_488_and_the_session_stays__rfc3261_14_2() -> None:
    bench = bridged()
    sid = bench.sid
    body = sdp("192.0.2.70", codecs="97").replace(b"a=rtpmap:101 telephone-event/8000", b"a=rtpmap:97 speex/8000")
    answer = ask(bench, "INVITE", body)
    assert answer.status == 488 and answer.headers[0][0] == "Warning"
    assert len(peers(bench, sid)) == 1 and bench.engine.bridges


def test_update_with_an_offer_is_answered__rfc3311_5_2() -> None:
    bench = bridged()
    answer = ask(bench, "UPDATE", sdp("192.0.2.70", 5000))
    assert answer.status == 200 and b"m=audio" in answer.body
    assert ask(bench, "UPDATE").body == b""


@pytest.mark.parametrize(
    ("method", "content_type", "body"),
    [
        ("UPDATE", "text/plain", b"hello"),
        ("UPDATE", "multipart/mixed;boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n"),
        ("INVITE", "multipart/mixed;boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n"),
    ],
)
def test_a_body_without_a_description_is_no_empty_offer__rfc3261_8_2_3(method: str, content_type: str, body: bytes) -> None:
    answer = ask(bridged(), method, body, content_type)
    assert answer.status == 415 and answer.body == b"" and ("Accept", "application/sdp") in answer.headers


def test_refer_is_404_with_its_event__behaviour_6() -> None:
    answer = ask(bridged(), "REFER")
    assert answer.status == 404 and answer.headers == (("Event", "refer"),)


@pytest.mark.parametrize(("method", "status"), [("NOTIFY", 489), ("MESSAGE", 405), ("PUBLISH", 405)])
def test_what_is_not_served_in_a_dialog_is_refused__rfc3261_8_2_1(method: str, status: int) -> None:
    assert ask(bridged(), method).status == status


@pytest.mark.parametrize(
    ("content_type", "body", "status", "digit"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", 200, ("5", 160)),
        ("application/dtmf-relay", b"Signal= * \r\n", 200, ("*", 100)),
        ("application/dtmf-relay", b"Signal=11\r\nDuration=1\r\n", 200, ("#", 40)),
        ("application/dtmf-relay", b"Signal=d\r\nDuration=99999\r\n", 200, ("D", 5000)),
        ("application/dtmf", b"7", 200, ("7", 100)),
        ("application/dtmf", b"77", 400, None),
        ("application/dtmf-relay", b"Signal=\xff\r\n", 400, None),
        ("application/dtmf", "５".encode(), 400, None),
        ("text/html", b"<p/>", 415, None),
        ("", b"", 200, None),
    ],
)
def test_info_keys__behaviour_2_11(content_type: str, body: bytes, status: int, digit: tuple[str, int] | None) -> None:
    bench = bridged()
    assert ask(bench, "INFO", body, content_type).status == status
    assert [(item.digits, item.tone_ms) for item in bench.engine.digits] == ([digit] if digit else [])


def test_info_key_without_a_bridge_goes_nowhere__behaviour_2_11() -> None:
    bench = Bench(dial(ONE, 'answerOnBridge="false"'))
    assert ask(bench, "INFO", b"5", "application/dtmf").status == 200
    assert not bench.engine.digits


def test_hold_during_a_play_does_not_stop_the_script__behaviour_2_11() -> None:
    bench = Bench(f"<Response><Play>/a.wav</Play><Dial>{ONE}</Dial></Response>")
    bench.run(0.1)
    held = sdp("192.0.2.7").replace(b"a=sendrecv", b"a=sendonly")
    assert b"a=recvonly" in ask(bench, "INVITE", held).body
    bench.run(2.0)
    assert bench.order()[-1] == "INVITE"
    bench.answer(0)
    assert bench.engine.bridges and not bench.engine.complaints
