"""StreamParser: messages out of TCP, whatever the cuts."""

from __future__ import annotations

import pytest

from sip.message import KeepAlive, Message, MessageError, Request, Response, StreamParser, parse_message
from tests.unit.sip.message.samples import RESPONSE, SDP, TORTURE, invite


def feed(data: bytes, size: int | None = None, parser: StreamParser | None = None) -> list[Message | MessageError | KeepAlive]:
    parser = parser or StreamParser()
    size = size or len(data) or 1
    return [parsed for at in range(0, len(data), size) for parsed in parser.feed(data[at : at + size])]


def expect_fatal(data: bytes, *, field: str, status: int = 400, parser: StreamParser | None = None) -> MessageError:
    *before, error = feed(data, parser=parser)
    assert before == []
    assert isinstance(error, MessageError)
    assert (error.field, error.status, error.fatal) == (field, status, True)
    return error


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100_000])
def test_cuts_do_not_matter__rfc3261_18_3(size: int) -> None:
    data = invite() + RESPONSE + b"\r\n\r\n" + invite(body=b"") + b"\r\n" + RESPONSE
    kinds = [type(parsed) for parsed in feed(data, size)]
    assert kinds == [Request, Response, KeepAlive, Request, Response]
    assert feed(data, size)[0] == parse_message(invite())


# --- sip-traps 27: framing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["-1", "+5", "abc", "", "1 2", "0x1", "18446744073709551617"])
def test_invalid_content_length_is_400_and_close__rfc3261_20_14(length: str) -> None:
    error = expect_fatal(invite(content_length=length), field="Content-Length")
    assert error.partial is not None


def test_missing_content_length_is_400_and_close__rfc3261_18_3() -> None:
    assert expect_fatal(invite(content_length=None), field="Content-Length").partial is not None


@pytest.mark.parametrize("second", ["5", str(len(SDP))])
def test_two_content_lengths_are_400_and_close__rfc3261_20_14(second: str) -> None:
    expect_fatal(invite(f"Content-Length: {second}"), field="Content-Length")


def test_nothing_comes_after_a_fatal_error() -> None:
    parser = StreamParser()
    expect_fatal(invite(content_length="x") + invite(), field="Content-Length", parser=parser)
    assert parser.dead
    assert parser.feed(invite()) == []
    assert parser.pending == 0


def test_body_is_never_executed_as_a_message__rfc3261_18_3() -> None:
    smuggled = RESPONSE + b"\r\n\r\n" + invite()
    [message] = feed(invite(body=smuggled))
    assert isinstance(message, Request)
    assert message.body == smuggled


def test_content_length_hidden_by_a_fold_is_no_second_one() -> None:
    [message] = feed(invite("X-Fold: a\r\n Content-Length: 3"))
    assert isinstance(message, Request)
    assert message.body == SDP


def test_bare_lf_is_400_and_close() -> None:
    expect_fatal(invite().replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n"), field="head")


def test_line_that_is_no_header_field_is_400_and_close() -> None:
    expect_fatal(invite("Content-Length 3"), field="head")


def test_defect_inside_a_frame_leaves_the_connection_usable() -> None:
    broken = invite().replace(b"CSeq: 314159 INVITE", b"CSeq: 314159 BYE")
    error, message = feed(broken + invite())
    assert isinstance(error, MessageError)
    assert (error.field, error.fatal) == ("CSeq", False)
    assert message == parse_message(invite())


def test_what_is_no_sip_is_told_at_once() -> None:
    expect_fatal(b"\x16\x03\x01", field="start-line")
    expect_fatal(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", field="start-line")


# --- sip-traps 28: keep-alive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_double_crlf_is_a_keep_alive__rfc5626_4_4_1(size: int) -> None:
    assert feed(b"\r\n\r\n", size) == [KeepAlive()]
    assert feed(b"\r\n\r\n\r\n\r\n", size) == [KeepAlive(), KeepAlive()]


def test_single_crlf_before_a_message_is_ignored__rfc3261_7_5() -> None:
    assert feed(b"\r\n" + invite()) == [parse_message(invite())]


def test_keep_alive_before_a_message__rfc5626_4_4_1() -> None:
    assert feed(b"\r\n\r\n" + invite()) == [KeepAlive(), parse_message(invite())]


# --- limits --------------------------------------------------------------------------------------------------------------


def test_endless_head_is_513_and_close() -> None:
    endless = invite().partition(b"\r\n\r\n")[0] + b"\r\nX-Long: " + b"a" * 70_000
    error = expect_fatal(endless, field="head", status=513)
    assert error.partial is not None
    assert error.partial.headers.get("Call-ID") is not None


@pytest.mark.parametrize("size", [1000, 65536, 200_000])
def test_limit_of_the_head_does_not_depend_on_the_cuts(size: int) -> None:
    long = invite("X-Long: " + "a" * 70_000)
    parser = StreamParser()
    [error] = feed(long, size, parser)
    assert isinstance(error, MessageError)
    assert error.status == 513


@pytest.mark.parametrize(("surplus", "passes"), [(0, True), (1, False)])
def test_limit_of_the_head_is_exact(surplus: int, passes: bool) -> None:
    head = invite(body=b"").index(b"\r\n\r\n")
    for size in (1, 3, None):
        [parsed] = feed(invite(body=b""), size, StreamParser(max_head_bytes=head - surplus))
        assert isinstance(parsed, Request) is passes


def test_body_over_the_limit_is_413_and_close() -> None:
    error = expect_fatal(invite(content_length="70000"), field="Content-Length", status=413)
    assert error.partial is not None


def test_limits_can_be_set() -> None:
    parser = StreamParser(max_head_bytes=2000, max_body_bytes=len(SDP))
    assert feed(invite(), parser=parser) == [parse_message(invite())]
    expect_fatal(invite(body=SDP + b"x"), field="Content-Length", status=413, parser=parser)


def test_parser_keeps_nothing_of_what_it_gave() -> None:
    parser = StreamParser()
    feed(invite() * 100, parser=parser)
    assert parser.pending == 0


@pytest.mark.parametrize("name", ["wsinv", "intmeth", "mpart01", "longreq", "esc01"])
def test_torture_messages_come_through_a_stream__rfc4475(name: str) -> None:
    data = (TORTURE / f"{name}.dat").read_bytes()
    assert feed(data * 3, 11) == [parse_message(data)] * 3
