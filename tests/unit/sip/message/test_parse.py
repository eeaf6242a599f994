"""parse_message: datagrams, the checks of every message, and what a 400 can be built from."""

from __future__ import annotations

import pytest

from sip.message import Headers, MessageError, Request, Response, parse_message, parse_name_addr, parse_via
from tests.unit.sip.message.samples import RESPONSE, SDP, invite, with_field


def give(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def expect_error(data: bytes, *, field: str, status: int = 400) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parse_message(data)
    assert (caught.value.field, caught.value.status) == (field, status)
    return caught.value


def test_request_is_read() -> None:
    message = give(invite())
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:bob@biloxi.example.com", SDP)
    assert message.headers.get("Call-ID") == "a84b4c76e66710@pc33.atlanta.example.com"


def test_response_is_read() -> None:
    message = parse_message(RESPONSE)
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.body) == (180, "Ringing", b"")


# --- sip-traps 28: leading CRLFs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"\r\n" * 50, b"\n"])
def test_leading_crlfs_are_ignored__rfc3261_7_5(before: bytes) -> None:
    assert give(before + invite()) == give(invite())


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\r\n"])
def test_datagram_of_crlfs_is_no_message__rfc5626_4_4_1(data: bytes) -> None:
    assert expect_error(data, field="start-line").partial is None


# --- sip-traps 29: Content-Length of a datagram ---------------------------------------------------------------------


def test_body_shorter_than_content_length_is_400__rfc3261_18_3() -> None:
    error = expect_error(invite(content_length="200"), field="Content-Length")
    assert error.partial is not None
    assert error.partial.headers.get("CSeq") == "314159 INVITE"


def test_surplus_octets_are_dropped__rfc3261_18_3() -> None:
    assert give(invite(content_length=str(len(SDP))) + b"surplus").body == SDP
    assert give(invite(content_length="0")).body == b""


def test_body_without_content_length_ends_with_the_datagram__rfc3261_18_3() -> None:
    assert give(invite(content_length=None)).body == SDP


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "1e3", "5 5", "", "٣", "99999999999999999999", "9" * 5000])
def test_content_length_that_is_no_number_is_400__rfc3261_20_14(length: str) -> None:
    assert expect_error(invite(content_length=length), field="Content-Length").partial is not None


def test_two_content_lengths_are_400__rfc3261_20_14() -> None:
    expect_error(invite("Content-Length: 3"), field="Content-Length")
    expect_error(invite(f"l: {len(SDP)}"), field="Content-Length")


def test_stream_message_needs_content_length__rfc3261_18_3() -> None:
    with pytest.raises(MessageError) as caught:
        parse_message(invite(content_length=None), stream=True)
    assert (caught.value.fatal, caught.value.field) == (True, "Content-Length")
    assert parse_message(invite(), stream=True) == give(invite())


# --- sip-traps 31: compact forms, white space, folding --------------------------------------------------------------


def test_compact_forms_are_their_long_names__rfc3261_7_3_3__trap31() -> None:
    data = (
        b"INVITE sip:b@example.com SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\n"
        b"i: 1@h\r\nCSeq: 1 INVITE\r\nm: <sip:a@h>\r\nk: timer\r\ne: gzip\r\ns: hello\r\nx: 90\r\nr: <sip:c@h>\r\nb: <sip:d@h>\r\n"
        b"o: refer\r\nu: refer\r\nc: text/plain\r\nl: 2\r\n\r\nhi"
    )
    names = [name for name, _ in give(data).headers]
    assert names == [
        "Via", "From", "To", "Call-ID", "CSeq", "Contact", "Supported", "Content-Encoding", "Subject", "Session-Expires", "Refer-To",
        "Referred-By", "Event", "Allow-Events", "Content-Type", "Content-Length",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP / 2.0 / UDP \t pc33.atlanta.example.com : 5060 ; branch = z9hG4bK776asdhds ; rport"),
        ("Via", "SIP/2.0/UDP pc33.atlanta.example.com:5060\r\n ;branch=z9hG4bK776asdhds\r\n\t;rport"),
        ("Via", "sip/2.0/udp pc33.atlanta.example.com:5060;BRANCH=z9hG4bK776asdhds;RPort"),
    ],
)
def test_white_space_and_folds_in_via__rfc3261_7_3_1__trap31(name: str, value: str) -> None:
    plain = parse_via(give(invite()).headers.get("Via") or "")
    assert parse_via(give(with_field(name, value)).headers.get("Via") or "") == plain


def test_white_space_before_the_colon__rfc3261_7_3_1__trap31() -> None:
    message = give(invite().replace(b"Call-ID:", b"Call-ID \t:").replace(b"From: ", b"From:"))
    assert message.headers == give(invite()).headers


def test_fold_is_one_space__rfc3261_7_3_1__trap31() -> None:
    assert give(invite("Subject: one\r\n \t  two\r\n\tthree")).headers.get("Subject") == "one two three"


def test_branch_and_tag_are_left_alone__rfc3261_25_1() -> None:
    branch, tag = "z9hG4bK%41-A.a", "%74ag~AbC=="
    message = give(with_field("Via", f"SIP/2.0/UDP h;branch={branch}").replace(b"tag=1928301774", f"tag={tag}".encode()))
    assert parse_via(message.headers.get("Via") or "").branch == branch
    assert str(parse_via(message.headers.get("Via") or "")) == f"SIP/2.0/UDP h;branch={branch}"
    assert parse_name_addr(message.headers.get("From") or "").tag == tag


def test_lines_that_end_in_lf_alone_are_read_in_a_datagram() -> None:
    loose = invite().partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n") + b"\n\n" + SDP
    assert give(loose) == give(invite())


def test_lines_that_end_in_lf_alone_are_refused_in_a_stream() -> None:
    data = invite().replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n")
    with pytest.raises(MessageError) as caught:
        parse_message(data, stream=True)
    assert caught.value.fatal


# --- what every message must have ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_required_field_missing_is_400__rfc3261_8_1_1(name: str) -> None:
    assert expect_error(invite(drop=name), field=name).partial is not None


@pytest.mark.parametrize("name", ["Max-Forwards", "Contact", "Content-Type", "Content-Length"])
def test_field_that_rfc2543_did_not_require_may_be_missing__rfc3261_17_2_3(name: str) -> None:
    assert give(invite(drop=name)).body == SDP


@pytest.mark.parametrize("line", ["From: <sip:x@h>;tag=9", "To: <sip:x@h>", "Call-ID: other", "CSeq: 1 INVITE", "Max-Forwards: 1"])
def test_single_field_that_comes_twice_is_400__rfc3261_7_3_1(line: str) -> None:
    expect_error(invite(line), field=line.partition(":")[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", ""),
        ("Via", "SIP/2.0/UDP"),
        ("Via", "SIP/UDP h"),
        ("Via", "SIP/2.0/UDP h:99999"),
        ("Via", "SIP/2.0/UDP h:0"),
        ("Via", "SIP/2.0/UDP [::1"),
        ("Via", "SIP/2.0/UDP [::g]"),
        ("Via", "SIP/2.0/UDP h;;branch=z9hG4bK1"),
        ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1;branch=z9hG4bK2"),
        ("From", "Alice"),
        ("From", '"Alice <sip:a@h>'),
        ("From", "<sip:a@h"),
        ("From", "<sip:a@h>x;tag=1"),
        ("From", "sip:a@h;tag=1, sip:b@h;tag=2"),
        ("To", ""),
        ("To", "<>"),
        ("Call-ID", ""),
        ("Call-ID", "a b"),
        ("CSeq", "INVITE"),
        ("CSeq", "1"),
        ("CSeq", "-1 INVITE"),
        ("CSeq", "4294967296 INVITE"),
        ("CSeq", "1 BYE"),
        ("CSeq", "1 invite"),
        ("Max-Forwards", "256"),
        ("Max-Forwards", "-1"),
        ("Max-Forwards", "many"),
        ("Max-Forwards", ""),
    ],
)
def test_malformed_field_is_400__rfc3261_25_1(name: str, value: str) -> None:
    error = expect_error(with_field(name, value), field=name)
    assert error.partial is not None
    assert error.offset == with_field(name, value).index(f"{name}:".encode())


def test_largest_cseq_and_max_forwards_are_read__rfc3261_20_16_and_20_22() -> None:
    give(with_field("CSeq", "4294967295 INVITE"))
    give(with_field("CSeq", "0 INVITE"))
    give(with_field("Max-Forwards", "255"))


def test_malformed_field_that_is_not_needed_is_ignored__rfc3261_8_2() -> None:
    message = give(invite("Contact: ;;;", "Date: yesterday", "Route: <<<>", "Expires: soon", 'Authorization: ===,"'))
    assert message.headers.get("Expires") == "soon"


# --- start lines -----------------------------------------------------------------------------------------------------


def with_start(line: str) -> bytes:
    return line.encode() + b"\r\n" + invite().partition(b"\r\n")[2]


@pytest.mark.parametrize(
    "line",
    [
        " INVITE sip:b@h SIP/2.0",
        "INVITE  sip:b@h SIP/2.0",
        "INVITE\tsip:b@h SIP/2.0",
        "INVITE sip:b@h  SIP/2.0",
        "INVITE sip:b@h SIP/2.0 ",
        "INVITE sip:b@h;a b SIP/2.0",
        "INVITE <sip:b@h> SIP/2.0",
        "INVITE sip:b@h?Subject=x SIP/2.0",
        "INVITE sip: SIP/2.0",
        "INVITE sip:b@ SIP/2.0",
        "INVITE sip:b@h:70000 SIP/2.0",
        "INVITE bob SIP/2.0",
        "INVITE sip:b@h SIP/2",
        "INVITE sip:b@h SIP/2.0\r\n folded",
    ],
)
def test_malformed_request_line_is_400__rfc3261_7_1(line: str) -> None:
    assert expect_error(with_start(line), field="start-line").status == 400


def test_malformed_request_line_still_tells_whom_to_answer__rfc4475_3_1_2_9() -> None:
    error = expect_error(with_start("INVITE  sip:b@h  SIP/2.0"), field="start-line")
    assert error.partial == Request("INVITE", "sip:b@h", give(invite()).headers)


def test_other_version_is_505__rfc3261_21_5_6() -> None:
    assert expect_error(with_start("INVITE sip:b@h SIP/3.0"), field="start-line", status=505).partial is not None


def test_version_compares_without_case__rfc3261_7_1() -> None:
    assert give(with_start("INVITE sip:b@h sip/2.0")).uri == "sip:b@h"


def test_method_compares_with_case__rfc3261_7_1() -> None:
    expect_error(with_start("invite sip:b@h SIP/2.0"), field="CSeq")


@pytest.mark.parametrize("line", ["SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "SIP/2.0 abc x", "SIP/2.0", "SIP/3.0 200 OK"])
def test_malformed_status_line_is_dropped__rfc3261_7_2(line: str) -> None:
    data = line.encode() + b"\r\n" + RESPONSE.partition(b"\r\n")[2]
    assert expect_error(data, field="start-line").partial is None


def test_status_line_may_lack_the_space_before_an_empty_phrase() -> None:
    message = parse_message(RESPONSE.replace(b"SIP/2.0 180 Ringing", b"SIP/2.0 180"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "")


def test_malformed_response_has_nobody_to_answer__rfc3261_18_3() -> None:
    assert expect_error(RESPONSE.replace(b"CSeq: 314159 INVITE", b"CSeq: x"), field="CSeq").partial is None


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00\x00\x00\x00", b"hello", b"\xff" * 40]
)
def test_what_is_no_sip_has_nobody_to_answer(data: bytes) -> None:
    assert expect_error(data, field="start-line").partial is None


# --- the head as a whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["no colon here", ": no name", "bad name: x", "bad(name): x", "naïve: x"])
def test_line_that_is_no_header_field_is_400__rfc3261_25_1(line: str) -> None:
    error = expect_error(invite(line), field="head")
    assert error.partial is not None
    assert error.offset == invite(line).index(line.encode())


def test_empty_line_must_end_the_head__rfc3261_7() -> None:
    error = expect_error(invite().partition(b"\r\n\r\n")[0] + b"\r\n", field="head")
    assert error.partial is not None
    assert len(error.partial.headers) == 9


@pytest.mark.parametrize("octet", [b"\x00", b"\x07", b"\x1b", b"\x7f", b"\x0b"])
def test_control_character_is_400__rfc3261_25_1(octet: bytes) -> None:
    assert expect_error(invite("Subject: a#b").replace(b"#", octet), field="head").partial is not None


def test_quoted_control_character_is_read__rfc3261_25_1() -> None:
    message = give(invite('Subject: "a\\#b"').replace(b"#", b"\x07"))
    assert message.headers.get("Subject") == '"a\\\x07b"'


def test_bare_cr_is_400__rfc3261_7() -> None:
    expect_error(invite("Subject: a#b").replace(b"#", b"\r"), field="head")


def test_field_that_is_no_utf8_is_read_as_latin_1() -> None:
    message = give(invite("Subject: M#ller", "Organization: Größe").replace(b"#", b"\xfc"))
    assert message.headers.get("Subject") == "Müller"
    assert message.headers.get("Organization") == "Größe"


def test_too_many_fields_are_400() -> None:
    error = expect_error(invite(*(f"X-{number}: x" for number in range(300))), field="head")
    assert error.partial is not None
    assert error.partial.headers.get("Via") is not None
    give(invite(*(f"X-{number}: x" for number in range(240))))


def test_error_names_the_first_defect_but_reads_on() -> None:
    error = expect_error(invite("broken line", "X-After: 1").replace(b"CSeq: 314159 INVITE", b"CSeq: 314159 BYE"), field="head")
    assert error.partial is not None
    assert error.partial.headers.get("X-After") == "1"


def test_message_is_the_callers_own() -> None:
    one, two = give(invite()), give(invite())
    one.headers.add("X-Mine", "1")
    assert "X-Mine" not in two.headers
    assert isinstance(two.headers, Headers)
