"""Offers in the middle of a call, of either side (RFC 3264 8)."""

from __future__ import annotations

import re

import pytest

from media.sdp.description import parse_description
from media.sdp.offer_answer import LocalMedia, SdpRefused
from tests.unit.media.sdp.offering import PCMA, expect_refusal, formats, machine, sdp, version


def test_media_lines_never_vanish_from_our_offers__rfc3264_8() -> None:
    m = machine()
    m.receive_offer(sdp("m=video 5000 RTP/AVP 31", "m=audio 4000 RTP/AVP 8", "m=image 6000 udptl t38"))
    m.answer()
    description = parse_description(m.offer())
    assert [(media.kind, media.port) for media in description.media] == [("video", 0), ("audio", 20000), ("image", 0)]
    assert description.media[1].formats == ("0", "8", "101")


def test_agreed_payload_numbers_are_kept_in_later_offers__rfc3264_8_3_2() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 97 96", "a=rtpmap:96 telephone-event/8000", "a=rtpmap:97 PCMA/8000"))
    m.answer()
    assert formats(m.offer()) == [("0", "97", "96")]


def test_numbers_that_mean_something_else_to_the_peer_are_avoided__rfc3264_8_3_2() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0 101 96", "a=rtpmap:101 opus/48000/2", "a=rtpmap:96 iLBC/8000"))
    m.answer()
    assert formats(m.offer()) == [("0", "8", "97")]


def test_late_offer_is_answered_in_the_ack__rfc3261_13_2_1() -> None:
    m = machine()
    assert m.agreed is None
    m.offer([PCMA])
    assert m.receive_answer(sdp("m=audio 4000 RTP/AVP 8")).codecs[0].name == "PCMA"


def test_refresh_repeats_what_is_in_force__rfc4028_7_4() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "a=sendonly"))
    answer, agreed = m.answer()
    assert m.refresh() == answer
    assert m.receive_answer(sdp("m=audio 4000 RTP/AVP 0", "a=sendonly")) == agreed
    assert machine().refresh() == machine().offer()


def test_withdrawn_offer_leaves_all_as_it_was__rfc3261_14_1() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 8"))
    answer, agreed = m.answer()
    held = m.offer(direction="inactive")
    m.withdraw()
    assert m.local_description == answer
    assert m.agreed == agreed
    assert version(m.offer(direction="inactive")) == version(held), "the same text again is no change"
    m.withdraw()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 8"))
    again, agreed = m.answer()
    assert agreed.direction == "sendrecv", "the wish went with the offer"
    assert version(again) == version(held) + 1


def test_answering_ends_an_open_offer_of_ours() -> None:
    m = machine()
    m.offer([PCMA])
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    answer, _ = m.answer()
    m.withdraw()
    assert m.local_description == answer


def test_answer_may_be_asked_for_again() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0 8"))
    assert m.answer() == m.answer()


def test_audio_turned_off_keeps_an_agreement_with_codecs() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    m.answer()
    m.receive_offer(sdp("m=video 0 RTP/AVP 31", "m=audio 0 RTP/AVP 0"))
    text, agreed = m.answer()
    assert [media.port for media in parse_description(text).media] == [0, 0]
    assert agreed.codecs
    assert agreed.remote_hold
    assert parse_description(m.offer()).media[1].port == 20000


FAX = ("m=image 40002 udptl t38", "a=T38FaxVersion:0")
AUDIO_OFF = "m=audio 0 RTP/AVP 0"


@pytest.mark.parametrize(
    "lines",
    [
        (AUDIO_OFF, *FAX),
        (*FAX, AUDIO_OFF),
        (AUDIO_OFF, "m=video 40002 RTP/AVP 31"),
        (AUDIO_OFF, "m=video 40002 RTP/AVP 31", "m=image 0 udptl t38"),
        (AUDIO_OFF, "m=application 40002 TCP/MSRP *"),
        (AUDIO_OFF, "m=text 40002 RTP/AVP 98", "a=rtpmap:98 t140/1000"),
        (AUDIO_OFF, "m=audio 40002 UDP/TLS/RTP/SAVPF 0"),
        (AUDIO_OFF, "m=audio 40002 RTP/AVP 18"),
        (AUDIO_OFF, "m=audio 40002 udptl t38"),
        ("m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP 0", *FAX),
        FAX,
    ],
)
def test_reoffer_of_something_else_in_place_of_audio_is_refused_and_changes_nothing__rfc3264_6_rfc3261_14_2(lines: tuple[str, ...]) -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    said, before = m.answer()
    with pytest.raises(SdpRefused) as refused:
        m.receive_offer(sdp(*lines))
    assert refused.value.status == 488
    assert m.agreed == before
    assert m.local_description == said
    assert m.answer() == (said, before)


@pytest.mark.parametrize("lines", [(AUDIO_OFF,), (AUDIO_OFF, "m=image 0 udptl t38"), ("m=video 0 RTP/AVP 31", AUDIO_OFF)])
def test_reoffer_that_asks_for_nothing_is_a_hold__rfc3264_8_2(lines: tuple[str, ...]) -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    m.answer()
    m.receive_offer(sdp(*lines))
    text, agreed = m.answer()
    assert agreed.remote_hold
    assert {media.port for media in parse_description(text).media} == {0}


def test_fax_or_video_beside_audio_is_answered_with_audio_alone__rfc3264_6() -> None:
    for line in ("m=image 40002 udptl t38", "m=video 40002 RTP/AVP 31"):
        m = machine()
        m.receive_offer(sdp(line, "m=audio 4000 RTP/AVP 0"))
        assert [media.port for media in parse_description(m.answer()[0]).media] == [0, 20000]


def test_reoffer_with_fewer_lines_than_agreed_is_refused__rfc3264_8() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31"))
    _, before = m.answer()
    for lines in (("m=audio 4000 RTP/AVP 0",), (AUDIO_OFF,), ()):
        with pytest.raises(SdpRefused) as refused:
            m.receive_offer(sdp(*lines))
        expect_refusal(refused, 488, 304)
        assert m.agreed == before
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31", "m=image 0 udptl t38"))
    m.answer()
    with pytest.raises(SdpRefused):
        m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"))


def test_reoffer_with_fewer_lines_than_our_own_offer_had_is_refused__rfc3264_8() -> None:
    m = machine()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31"))
    m.answer()
    m.offer()
    m.receive_answer(sdp("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"))
    with pytest.raises(SdpRefused):
        m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))


@pytest.mark.parametrize(
    ("connection", "code", "text"),
    [
        ("XX IP4 192.0.2.1", 300, "Network XX is not available, IN is"),
        ("ATM NSAP 47.0091", 300, "Network ATM is not available, IN is"),
        ("TN RFC2543 +12025550100", 300, "Network TN is not available, IN is"),
        ("IN IP7 192.0.2.1", 301, "Address type IP7 is not available, IP4 and IP6 are"),
        ("IN E164 +12025550100", 301, "Address type E164 is not available, IP4 and IP6 are"),
        ("IN IP4 pbx.example.com", 301, "Address pbx.example.com is no IP address"),
        ("IN IP6 2001:db8::1", 300, "Media is available over IPv4 here"),
    ],
)
def test_warning_says_what_is_wrong_with_an_address__rfc3261_20_43(connection: str, code: int, text: str) -> None:
    for answered in (False, True):
        m = machine()
        m.offer()
        with pytest.raises(SdpRefused) as refused:
            (m.receive_answer if answered else m.receive_offer)(sdp("m=audio 4000 RTP/AVP 0", f"c={connection}"))
        expect_refusal(refused, 488, code)
        assert refused.value.warning_text == text


@pytest.mark.parametrize(("number", "rate"), [(9, 16000), (9, 8000), (97, 16000), (97, 8000)])
def test_g722_with_the_rate_of_its_sound_is_answered_with_its_clock__rfc3551_4_5_2(number: int, rate: int) -> None:
    m = machine(codecs=("G722",))
    m.receive_offer(sdp(f"m=audio 4000 RTP/AVP {number}", f"a=rtpmap:{number} G722/{rate}"))
    text, agreed = m.answer()
    assert f"a=rtpmap:{number} G722/8000\r\n".encode() in text
    assert (agreed.codecs[0].name, agreed.codecs[0].payload_type, agreed.codecs[0].clock_rate_hz) == ("G722", number, 8000)
    again = machine(codecs=("G722",))
    again.offer()
    assert again.receive_answer(sdp("m=audio 4000 RTP/AVP 9", f"a=rtpmap:9 G722/{rate}")).codecs[0].clock_rate_hz == 8000


def test_the_stream_may_be_opened_after_the_offer_came() -> None:
    m = machine(LocalMedia("192.0.2.10", 9, 10))
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 0"))
    m.local = LocalMedia("192.0.2.10", 20400, 20401)
    text, _ = m.answer()
    assert parse_description(text).media[0].port == 20400


def test_offered_codecs_are_the_common_voices_in_the_callers_order() -> None:
    m = machine()
    assert m.offered_codecs() == ()
    m.receive_offer(sdp("m=audio 4000 RTP/AVP 18 101 8 0", "a=rtpmap:101 telephone-event/8000"))
    assert [codec.name for codec in m.offered_codecs()] == ["PCMA", "PCMU"]


def test_warning_text_is_fit_for_a_quoted_string__rfc3261_20_43() -> None:
    with pytest.raises(SdpRefused) as refused:
        machine().receive_offer(sdp('m=audio 4000 RTP/AVP é"\\ 99 98', "a=rtpmap:99 a`b'c/8000"))
    assert re.fullmatch(r"[ -~]*", refused.value.warning_text)
    assert not set('"\\') & set(refused.value.warning_text)
