"""The offer/answer machine of one leg (RFC 3264), where a golden pair cannot say it."""

from __future__ import annotations

import re

import pytest

from media import engine
from media.errors import UsageError
from media.sdp.description import parse_description
from media.sdp.offer_answer import LocalMedia, SdpRefused, offered_family
from tests.unit.media.sdp.offering import OPUS, PCMA, expect_refusal, formats, machine, sdp, version

# --- our offers ---------------------------------------------------------------------------------------------------


def test_offer_has_all_codecs_in_the_order_of_the_settings() -> None:
    assert formats(machine(codecs=["PCMA", "telephone-event", "pcmu"]).offer()) == [("8", "0", "101")]


def test_offer_puts_the_preferred_codec_first() -> None:
    assert formats(machine().offer([PCMA])) == [("8", "0", "101")]
    assert formats(machine().offer([OPUS, PCMA])) == [("8", "0", "101")]


def test_unchanged_offer_repeats_the_version__rfc3264_8() -> None:
    m = machine()
    first = m.offer()
    assert m.offer() == first


def test_version_rises_by_one_for_each_change__rfc3264_8() -> None:
    m = machine()
    versions = [version(m.offer(prefer)) for prefer in ([], [PCMA], [PCMA], [])]
    assert versions == [1, 2, 2, 3]
    m.local = LocalMedia("192.0.2.10", 20100, 20101)
    assert version(m.offer()) == 4


def test_answer_after_our_offer_counts_on__rfc3264_8() -> None:
    m = machine()
    m.offer()
    m.receive_answer(sdp("m=audio 4000 RTP/AVP 0"))
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "a=sendonly"))
    text, _ = m.answer()
    assert version(text) == 2


def test_rtcp_port_is_said_only_when_it_is_not_the_next__rfc3605_2_1() -> None:
    assert b"a=rtcp:" not in machine().offer()
    assert b"a=rtcp:30000\r\n" in machine(LocalMedia("192.0.2.10", 20000, 30000)).offer()


def test_ipv6_is_written_as_ip6() -> None:
    text = machine(LocalMedia("2001:db8::10", 20000, 20001)).offer()
    assert b"c=IN IP6 2001:db8::10\r\n" in text
    assert re.search(rb"o=- 1000 1 IN IP6 2001:db8::10\r\n", text)


def test_hold_of_our_own_stands_until_it_is_taken_back__rfc3264_8_4() -> None:
    m = machine()
    m.offer()
    m.receive_answer(sdp("m=audio 4000 RTP/AVP 0"))
    assert b"a=sendonly" in m.offer(direction="sendonly")
    assert m.receive_answer(sdp("m=audio 4000 RTP/AVP 0", "a=recvonly")).direction == "sendonly"
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    text, agreed = m.answer()
    assert b"a=sendonly" in text
    assert agreed.direction == "sendonly"
    assert b"a=sendrecv" in m.offer(direction="sendrecv")


# --- answers to our offers ----------------------------------------------------------------------------------------


def test_the_answers_order_decides_what_we_send__rfc3264_6_1() -> None:
    m = machine()
    m.offer()
    agreed = m.receive_answer(sdp("m=audio 4000 RTP/AVP 101 8 0", "a=rtpmap:101 telephone-event/8000"))
    assert [codec.name for codec in agreed.codecs] == ["PCMA", "PCMU", "telephone-event"]
    assert (agreed.remote_address, agreed.remote_port, agreed.remote_rtcp_port) == ("198.51.100.1", 4000, 4001)


def test_answer_may_leave_out_the_rtpmap_of_our_dynamic_number() -> None:
    m = machine()
    m.offer()
    agreed = m.receive_answer(sdp("m=audio 4000 RTP/AVP 0 101"))
    assert [(codec.name, codec.payload_type) for codec in agreed.codecs] == [("PCMU", 0), ("telephone-event", 101)]


def test_a_format_numbered_otherwise_comes_twice_sent_first__rfc3264_6_1() -> None:
    m = machine()
    m.offer()
    agreed = m.receive_answer(sdp("m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"))
    assert [(codec.name, codec.payload_type) for codec in agreed.codecs] == [("PCMU", 0), ("telephone-event", 96), ("telephone-event", 101)]


def test_last_answer_to_one_offer_counts() -> None:
    m = machine()
    m.offer()
    m.receive_answer(sdp("m=audio 4000 RTP/AVP 0"))
    assert m.receive_answer(sdp("m=audio 6000 RTP/AVP 8")).remote_port == 6000
    assert m.agreed is not None
    assert m.agreed.codecs[0].name == "PCMA"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"", 400, 399),
        (b"<html>", 400, 399),
        (sdp(), 488, 304),
        (sdp("m=audio 0 RTP/AVP 0"), 488, 304),
        (sdp("m=video 4000 RTP/AVP 31"), 488, 304),
        (sdp("m=audio 4000 RTP/AVP 18"), 488, 305),
        (sdp("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), 488, 305),
        (sdp("m=audio 4000 RTP/SAVP 0"), 488, 302),
        (sdp("m=audio 4000 RTP/AVP 0", head="v=0\no=- 1 1 IN IP6 ::1\ns=-\nc=IN IP6 ::1\n"), 488, 300),
    ],
)
def test_useless_answer_is_refused_and_changes_nothing(answer: bytes, status: int, code: int) -> None:
    m = machine()
    m.offer()
    before = m.receive_answer(sdp("m=audio 4000 RTP/AVP 0"))
    with pytest.raises(SdpRefused) as refused:
        m.receive_answer(answer)
    expect_refusal(refused, status, code)
    assert m.agreed == before


def test_rtcp_mux_counts_only_when_we_offered_it__rfc5761_5_1_1() -> None:
    for offered in (False, True):
        m = machine(offer_rtcp_mux=offered)
        m.offer()
        agreed = m.receive_answer(sdp("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
        assert agreed.rtcp_mux is offered
        assert agreed.remote_rtcp_port == (4000 if offered else 4001)


def test_line_in_use_is_the_one_that_is_turned_on_again__rfc3264_8_2() -> None:
    """The first line is for audio too, but of a kind that we refused: we must not offer that."""
    m = machine()
    for port in (4002, 0):
        m.receive_offer(sdp("m=audio 4000 UDP/TLS/RTP/SAVPF 0" if port else "m=audio 0 UDP/TLS/RTP/SAVPF 0", f"m=audio {port} RTP/AVP 0"))
        m.answer()
    refused, audio = parse_description(m.offer()).media
    assert (refused.port, refused.protocol) == (0, "UDP/TLS/RTP/SAVPF")
    assert (audio.port, audio.protocol) == (20000, "RTP/AVP")


def test_session_whose_audio_line_is_gone_is_offered_what_we_can_do__rfc3264_8() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    m.answer()
    m.receive_offer(sdp("m=audio 0 UDP/TLS/RTP/SAVPF 0"))
    m.answer()
    assert parse_description(m.offer()).media[0].protocol == "RTP/AVP"


def test_hold_in_an_answer() -> None:
    m = machine()
    m.offer()
    agreed = m.receive_answer(sdp("m=audio 4000 RTP/AVP 0", "a=inactive"))
    assert agreed.remote_hold
    assert agreed.direction == "inactive"


def test_answer_without_offer_is_our_bug() -> None:
    with pytest.raises(UsageError):
        machine().receive_answer(sdp("m=audio 4000 RTP/AVP 0"))
    with pytest.raises(UsageError):
        machine().answer()


# --- the agreement ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [((), 20), (("ptime:30",), 30), (("ptime:5",), 10), (("ptime:0",), 20), (("ptime:200",), 60), (("maxptime:10",), 10)],
)
def test_packet_length_is_what_the_peer_asks_for_within_reason(asked: tuple[str, ...], expected: int) -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", *(f"a={attribute}" for attribute in asked)))
    assert m.answer()[1].ptime_ms == expected


def test_connect_command_carries_the_agreement() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 8", "a=rtcp-mux", "a=recvonly", "a=ptime:30"))
    assert m.answer()[1].connect_command("CA1", latch=False, media_timeout_ms=7) == engine.Connect(
        stream="CA1",
        remote_address="198.51.100.1",
        remote_port=4000,
        remote_rtcp_port=4000,
        codecs=[engine.Codec(payload_type=8, name="PCMA")],
        direction="sendonly",
        rtcp_mux=True,
        latch=False,
        ptime_ms=30,
        media_timeout_ms=7,
    )


def test_offered_family_tells_which_stream_to_open() -> None:
    assert offered_family(sdp("m=audio 4000 RTP/AVP 0")) == 4
    assert offered_family(sdp("m=video 4000 RTP/AVP 0", "m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1")) == 6
    assert offered_family(sdp("m=audio 0 RTP/AVP 0")) == 0
    assert offered_family(b"?") == 0
