"""The session description parser and builder (RFC 8866), and finding one in a message's body."""

from __future__ import annotations

import pytest

from media.errors import SdpError, SdpRefused
from media.sdp.codecs import Encoding
from media.sdp.description import (
    MAX_BYTES,
    MAX_LINES,
    MAX_MEDIA,
    Connection,
    build_description,
    connection_to,
    extract_sdp,
    parse_description,
)

HEAD = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n"
PLAIN = HEAD + "c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"


def expect_error(text: str, reason: str, line: int) -> None:
    with pytest.raises(SdpError, match=reason) as raised:
        parse_description(text.encode())
    assert raised.value.line == line
    assert raised.value.status == 400


# --- reading ------------------------------------------------------------------------------------------------------


def test_fields_are_read__rfc8866_5() -> None:
    description = parse_description(PLAIN.encode())
    assert (description.origin.session_id, description.origin.version, description.origin.address) == ("1", "2", "192.0.2.1")
    assert description.connection == Connection("192.0.2.1", 4)
    (media,) = description.media
    assert (media.kind, media.port, media.protocol, media.formats) == ("audio", 4000, "RTP/AVP", ("0", "101"))
    assert media.encoding(101) == Encoding("telephone-event", 8000)
    assert media.fmtp(101) == "0-15"
    assert media.fmtp(0) == ""


def test_static_payload_types_need_no_rtpmap__rfc3551_6() -> None:
    (media,) = parse_description((HEAD + "m=audio 1 RTP/AVP 8 96\n").encode()).media
    assert media.encoding(8) == Encoding("PCMA", 8000)
    assert media.encoding(96) is None


def test_rtpmap_wins_over_the_static_table() -> None:
    (media,) = parse_description((HEAD + "m=audio 1 RTP/AVP 0\na=rtpmap:0 L16/44100/2\n").encode()).media
    assert media.encoding(0) == Encoding("L16", 44100, 2)


def test_unreadable_rtpmap_counts_as_absent() -> None:
    (media,) = parse_description((HEAD + "m=audio 1 RTP/AVP 0 96\na=rtpmap:0 PCMU\na=rtpmap:96 \na=rtpmap:96 x/0/0/0\n").encode()).media
    assert media.encoding(0) == Encoding("PCMU", 8000)
    assert media.encoding(96) is None


@pytest.mark.parametrize(
    ("number", "rtpmap", "meant"),
    [
        (9, "G722/16000", "G722/8000"),
        (9, "g722/16000/1", "G722/8000"),
        (9, "G.722/16000", "G722/8000"),
        (9, "G722/8000/1", "G722/8000"),
        (9, "G722/8000/2", "G722/8000"),
        (99, "G722/16000", "G722/8000"),
        (99, "G722/8000", "G722/8000"),
        (0, "PCMU/16000", "PCMU/8000"),
        (8, "PCMA/8000/1", "PCMA/8000"),
        (18, "G729A/8000", "G729/8000"),
        (18, "G.729/8000", "G729/8000"),
        (97, "G729AB/8000", "G729/8000"),
        (13, "cn/16000", "CN/8000"),
        (3, "gsm/16000", "GSM/8000"),
        (11, "L16/8000", "L16/8000"),
        (11, "L16/16000", "L16/16000"),
        (5, "DVI4/16000", "DVI4/16000"),
        (0, "G722/16000", "G722/8000"),
        (97, "PCMU/16000", "PCMU/16000"),
        (96, "opus/16000/2", "opus/48000/2"),
        (101, "telephone-event/16000", "telephone-event/16000"),
    ],
)
def test_clock_of_a_static_number_is_the_tables_whatever_its_rtpmap_says__rfc3551_4_5_2(number: int, rtpmap: str, meant: str) -> None:
    """As a slip wrote it: the rate of the sound in place of the clock. A codec that has several clocks is taken at its word."""
    (media,) = parse_description((HEAD + f"m=audio 1 RTP/AVP {number}\na=rtpmap:{number} {rtpmap}\n").encode()).media
    encoding = media.encoding(number)
    assert encoding is not None
    assert str(encoding) == meant


def test_media_level_direction_wins__rfc8866_6_7() -> None:
    text = HEAD + "a=sendonly\nm=audio 1 RTP/AVP 0\na=inactive\nm=audio 1 RTP/AVP 0\n"
    description = parse_description(text.encode())
    assert [description.direction_of(media) for media in description.media] == ["inactive", "sendonly"]


def test_direction_defaults_to_sendrecv__rfc8866_6_7() -> None:
    description = parse_description(PLAIN.encode())
    assert description.direction_of(description.media[0]) == "sendrecv"


def test_ipv6_is_canonical() -> None:
    description = parse_description((HEAD + "c=IN IP6 2001:DB8:0::0:1\n").encode())
    assert description.connection == Connection("2001:db8::1", 6)


def test_host_names_and_foreign_networks_have_no_family() -> None:
    assert parse_description((HEAD + "c=IN IP4 pbx.example.com\n").encode()).connection == Connection("pbx.example.com", 0)
    assert parse_description((HEAD + "c=ATM NSAP 47.0091\n").encode()).connection == Connection("47.0091", 0)


@pytest.mark.parametrize(
    ("line", "network", "address_type", "foreign"),
    [
        ("IN IP4 192.0.2.1", "IN", "", False),
        ("in ip6 2001:db8::1", "IN", "", False),
        ("IN IP4 pbx.example.com", "IN", "", False),
        ("XX IP4 192.0.2.1", "XX", "IP4", True),
        ("ATM NSAP 47.0091", "ATM", "NSAP", True),
        ("IN IP7 192.0.2.1", "IN", "IP7", True),
        ("TN RFC2543 +12025550100", "TN", "RFC2543", True),
        ("XX IP4 0.0.0.0", "XX", "IP4", True),
        ("XX IP4 host.invalid", "XX", "IP4", True),
    ],
)
def test_network_and_kind_of_address_are_kept_when_they_are_foreign__rfc8866_5_7(
    line: str, network: str, address_type: str, foreign: bool
) -> None:
    connection = parse_description((HEAD + f"c={line}\n").encode()).connection
    assert connection is not None
    assert (connection.network, connection.address_type, connection.foreign) == (network, address_type, foreign)
    assert not (foreign and connection.unspecified), "no hold: there is no such address on the Internet"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "anything.invalid"])
def test_unspecified_addresses__rfc3264_8_4(address: str) -> None:
    connection = parse_description((HEAD + f"c=IN {'IP6' if ':' in address else 'IP4'} {address}\n").encode()).connection
    assert connection is not None
    assert connection.unspecified


def test_session_id_may_be_no_number() -> None:
    assert parse_description(b"v=0\no=- 0x9f 18446744073709551999 IN IP4 192.0.2.1\n").origin.version == "18446744073709551999"


def test_trailing_nul_of_a_c_string_is_dropped() -> None:
    assert parse_description(PLAIN.encode() + b"\0").media[0].port == 4000


def test_numbers_of_attributes_are_cut_to_integers() -> None:
    (media,) = parse_description((HEAD + "m=audio 1 RTP/AVP 0\na=ptime:20.5\na=maxptime:many\n").encode()).media
    assert media.number("ptime") == 20
    assert media.number("maxptime") is None


# --- refusing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", "empty", 0),
        ("\r\n \r\n", "empty", 0),
        ("hello", "type", 1),
        ("<html>\n", "type", 1),
        ("o=- 1 2 IN IP4 192.0.2.1\n", "v=0", 1),
        ("v=0\ns=-\n", "no o=", 0),
        ("v=0\nv=0\n", "second v=", 2),
        ("v=0\no=- 1 2 IN IP4\n", "six", 2),
        (HEAD + "c=IN IP4\n", "three", 4),
        (HEAD + "c=IN IP4 300.1.1.1\n", "address", 4),
        (HEAD + "c=IN IP6 fe80::1%eth0\n", "zone", 4),
        (HEAD + "m=audio\n", "m=", 4),
        (HEAD + "m=audio 5000 RTP/AVP\n", "m=", 4),
        (HEAD + "m=audio 70000 RTP/AVP 0\n", "port", 4),
        (HEAD + "m=audio -1 RTP/AVP 0\n", "port", 4),
        (HEAD + "m=audio ٤ RTP/AVP 0\n", "port", 4),
        (HEAD + "\nno line\n", "type", 5),
        (HEAD + "a=x\0y\n", "NUL", 0),
        (HEAD + "m=audio 1 RTP/AVP 0\n" * (MAX_MEDIA + 1), "media lines", 4 + MAX_MEDIA),
        (HEAD + "a=x\n" * MAX_LINES, "lines", 0),
        (HEAD + "a=" + "x" * MAX_BYTES, "octets", 0),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_line(text: str, reason: str, line: int) -> None:
    expect_error(text, reason, line)


# --- writing ------------------------------------------------------------------------------------------------------


def test_what_is_built_reads_back() -> None:
    description = parse_description(PLAIN.encode())
    assert parse_description(build_description(description)) == description


def test_lines_are_in_order_and_end_with_crlf__rfc8866_5() -> None:
    text = build_description(parse_description(PLAIN.replace("\r\n", "\n").encode()))
    assert text == PLAIN.encode()


def test_connection_to_refuses_what_is_no_address() -> None:
    with pytest.raises(ValueError, match="pbx"):
        connection_to("pbx")


# --- bodies -------------------------------------------------------------------------------------------------------

SDP = PLAIN.encode()
MIXED = (
    b"preamble\r\n--frontier\r\nContent-Type: text/plain\r\n\r\nhello\r\n--frontier\r\nContent-type:\r\n application/SDP\r\n\r\n"
    + SDP
    + b"\r\n--frontier--\r\nepilogue"
)


def test_sdp_body_is_itself() -> None:
    assert extract_sdp(SDP, "application/sdp") == SDP
    assert extract_sdp(SDP, " Application/SDP ; charset=utf-8") == SDP


def test_no_body_and_other_bodies_announce_nothing() -> None:
    assert extract_sdp(b"", "") is None
    assert extract_sdp(b"Signal=3", "application/dtmf-relay") is None


@pytest.mark.parametrize(
    "content_type", ["application/sdp", "Application/SDP;charset=utf-8", "multipart/mixed; boundary=b", "multipart/mixed"]
)
def test_a_body_of_no_octets_is_none_whatever_is_announced__rfc3261_20_15(content_type: str) -> None:
    assert extract_sdp(b"", content_type) is None


@pytest.mark.parametrize("boundary", ["boundary=frontier", 'Boundary="frontier"', 'charset=x; boundary = "fron\\tier"'])
def test_multipart_gives_its_first_sdp_part__rfc5621_3_1(boundary: str) -> None:
    assert extract_sdp(MIXED, f"multipart/mixed; {boundary}") == SDP


def test_multipart_with_lf_line_ends() -> None:
    assert extract_sdp(MIXED.replace(b"\r\n", b"\n"), "multipart/mixed; boundary=frontier") == SDP.replace(b"\r\n", b"\n")


def test_multipart_in_multipart() -> None:
    outer = b"--o\r\nContent-Type: multipart/alternative; boundary=frontier\r\n\r\n" + MIXED + b"\r\n--o--"
    assert extract_sdp(outer, "multipart/mixed; boundary=o") == SDP


def test_multipart_without_sdp_announces_none() -> None:
    assert extract_sdp(b"--b\r\n\r\ntext without headers\r\n--b--", "multipart/mixed; boundary=b") is None


def test_a_boundary_within_a_line_is_text() -> None:
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\na=x --b\r\n--bc\r\n--b--"
    assert extract_sdp(body, "multipart/mixed; boundary=b") == b"a=x --b\r\n--bc"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\r\n", "application/sdp"),
        (b"--b\r\nContent-Type: application/sdp\r\n\r\n\r\n--b--", "multipart/mixed; boundary=b"),
        (MIXED, "multipart/mixed"),
        (MIXED, "multipart/mixed; boundary=other"),
        (b"--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n" * 5, "multipart/mixed; boundary=b"),
    ],
)
def test_an_announced_body_that_is_empty_or_broken_is_400__behaviour_0_5(body: bytes, content_type: str) -> None:
    with pytest.raises(SdpRefused) as raised:
        extract_sdp(body, content_type)
    assert raised.value.status == 400
