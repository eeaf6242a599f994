"""build_message: what goes out is one message and no more."""

from __future__ import annotations

import pytest

from sip.message import Headers, NameAddr, Request, Response, UsageError, build_message, parse_message
from tests.unit.sip.message.samples import RESPONSE, invite


def test_built_message_is_its_text__rfc3261_7() -> None:
    request = Request("BYE", "sip:b@h", Headers([("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("CSeq", "2 BYE")]), b"x\ny")
    assert build_message(request) == (
        b"BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 2 BYE\r\nContent-Length: 3\r\n\r\nx\ny"
    )


def test_response_keeps_the_space_before_an_empty_phrase__rfc3261_7_2() -> None:
    assert build_message(Response(100, "", Headers())) == b"SIP/2.0 100 \r\nContent-Length: 0\r\n\r\n"


def test_content_length_is_always_counted__rfc3261_20_14() -> None:
    built = build_message(Request("INFO", "sip:b@h", Headers([("l", "99"), ("Content-Length", "98"), ("X-A", "ü")]), "ü".encode()))
    assert built.count(b"Content-Length: 2\r\n") == 1
    assert b"99" not in built
    assert b"98" not in built


@pytest.mark.parametrize("data", [invite(), RESPONSE])
def test_parse_and_build_are_inverse(data: bytes) -> None:
    assert build_message(parse_message(data)) == data


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\rb", "a\nb", "a\r\n folded", "a\x00b", "\n", "a\ud800"])
def test_value_that_would_end_its_line_is_refused(bad: str) -> None:
    for message in (
        Request("INFO", "sip:b@h", Headers([("Subject", bad)])),
        Response(200, "OK", Headers([("X-Custom", bad)])),
        Response(200, bad, Headers()),
    ):
        with pytest.raises(UsageError):
            build_message(message)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "Subject\n", "ü", "a\x00"])
def test_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        build_message(Request("INFO", "sip:b@h", Headers([(name, "x")])))


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("", "sip:h"),
        ("IN FO", "sip:h"),
        ("INFO\r\n", "sip:h"),
        ("INFO", ""),
        ("INFO", "sip:h x"),
        ("INFO", "sip:h\r\n"),
        ("INFO", "<sip:h>"),
    ],
)
def test_request_line_that_is_none_is_refused(method: str, uri: str) -> None:
    with pytest.raises(UsageError):
        build_message(Request(method, uri, Headers()))


@pytest.mark.parametrize("status", [0, 99, 700, -200])
def test_status_out_of_range_is_refused(status: int) -> None:
    with pytest.raises(UsageError):
        build_message(Response(status, "x", Headers()))


def test_display_name_with_control_characters_can_be_sent_again__rfc4475_3_1_1_2() -> None:
    value = str(NameAddr('BEL:\x07 NUL:\x00 "quoted" back\\slash', "sip:b@h"))
    built = build_message(Request("INFO", "sip:b@h", Headers([("To", value)])))
    assert value.encode() in built


def test_display_name_cannot_smuggle_a_header() -> None:
    value = str(NameAddr("x\r\nX-Evil: 1", "sip:b@h"))
    with pytest.raises(UsageError):
        build_message(Request("INFO", "sip:b@h", Headers([("To", value)])))
