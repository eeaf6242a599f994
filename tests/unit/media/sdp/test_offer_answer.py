"""The offer/answer machine of one leg (RFC 3264), where a golden pair cannot say it."""

from __future__ import annotations

import re

import pytest

from media import engine
from media.errors import UsageError
from media.sdp.description import parse_description
from media.sdp.offer_answer import LocalMedia, OfferAnswer, SdpRefused, offered_family
from media.settings import MediaSettings

HEAD = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"


NARROW = ["PCMU", "PCMA", "telephone-event"]
PCMA = engine.Codec(payload_type=8, name="pcma")
OPUS = engine.Codec(payload_type=96, name="opus", clock_rate_hz=48_000, channels=2)
G729 = engine.Codec(payload_type=18, name="G729")


def machine(local: LocalMedia | None = None, **settings: object) -> OfferAnswer:
    settings = {"codecs": NARROW, **settings}
    return OfferAnswer(MediaSettings.model_validate(settings), local or LocalMedia("192.0.2.10", 20000, 20001), 1000)


def sdp(*media: str, head: str = HEAD) -> bytes:
    return (head + "".join(f"{line}\r\n" for line in media)).encode()


def version(text: bytes) -> int:
    return int(parse_description(text).origin.version)


def formats(text: bytes) -> list[tuple[str, ...]]:
    return [media.formats for media in parse_description(text).media]


def expect_refusal(refused: pytest.ExceptionInfo[SdpRefused], status: int, code: int) -> None:
    assert (refused.value.status, refused.value.warning_code) == (status, code)


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


# --- later offers -------------------------------------------------------------------------------------------------


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
