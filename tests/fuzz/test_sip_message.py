"""Any bytes give a Message or a ParseError; a stream gives the same messages however it is cut; what was parsed can be built."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.message import (
    Headers,
    KeepAlive,
    Message,
    MessageError,
    ParseError,
    Request,
    Response,
    StreamParser,
    build_auth,
    build_message,
    parse_auth,
    parse_cseq,
    parse_list,
    parse_message,
    parse_name_addr,
    parse_params,
    parse_uint,
    parse_uri,
    parse_via,
    unescape_user,
    uri_equal,
)

pytestmark = pytest.mark.fuzz

SEEDS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "vectors" / "sip" / "torture").glob("*.dat"))]
LINES = sorted({line for seed in SEEDS for line in seed.split(b"\r\n")})
VALUES = sorted({line.partition(b":")[2].decode("utf-8", "replace") for line in LINES})
ANSWERABLE = {400, 413, 505, 513}

# Pieces that parsers stumble over.
FRAGMENTS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b":", b";", b",", b"<", b">", b'"', b"\\", b"\x00", b"\\\x00", b"=", b"@", b"?", b"%",
    b"%00", b"[::1]", b"[",
    b" ", b"\t", b"\xff", b"\xc3", b"\xe2\x80\xa8", b"\xc2\x85", b"SIP/2.0", b"Content-Length: 5", b"l:", b"-1", b"99999999999999999999",
    b"0", b";branch=",
    b";tag=", b";rport", b"sip:", b"sips:a:b@[::1]:5061;lr?a=b", b"tel:+1", b"CSeq: 1 INVITE", b"Via: SIP/2.0/UDP h", b"a" * 300,
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid or invalid vector with pieces cut out, doubled, overwritten or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if data:
                data[at % len(data)] = draw(st.integers(0, 255))
            case 1:
                data[at:at] = draw(st.sampled_from(FRAGMENTS))
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 80))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def assembled(draw: st.DrawFn) -> bytes:
    """A message made of lines of many vectors: nearly right more often than a mutation is."""
    start = draw(st.sampled_from([b"INVITE sip:a@h SIP/2.0", b"SIP/2.0 200 OK", b"ACK sip:h SIP/2.0", b"INVITE  sip:a@h SIP/2.0"]))
    fields = [b"Via: SIP/2.0/UDP h;branch=z9hG4bK1", b"From: <sip:a@h>;tag=1", b"To: <sip:b@h>", b"Call-ID: 1", b"CSeq: 1 INVITE"]
    fields += draw(st.lists(st.sampled_from(LINES), max_size=6))
    fields = draw(st.permutations(fields))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    return start + end + end.join(fields) + end + end + draw(st.binary(max_size=20))


anything = st.one_of(st.binary(max_size=300), mutated(), assembled())
field_text = st.one_of(
    st.text(max_size=60),
    st.sampled_from(VALUES),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS).map(lambda octets: octets.decode("latin-1")), st.text(max_size=5)), max_size=12).map(
        "".join
    ),
    st.tuples(st.sampled_from(VALUES), st.integers(0, 60), st.sampled_from(FRAGMENTS).map(lambda octets: octets.decode("latin-1"))).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    ),
)


def expect_usable(message: Message) -> None:
    """What the core takes for granted about a parsed message."""
    assert parse_via(message.headers.first_value("Via") or "").host
    assert parse_name_addr(message.headers.get("From") or "").uri
    assert parse_name_addr(message.headers.get("To") or "").uri
    assert parse_cseq(message.headers.get("CSeq") or "").number >= 0
    if isinstance(message, Request):
        assert parse_cseq(message.headers.get("CSeq") or "").method == message.method
    else:
        assert 100 <= message.status <= 699


def expect_error(error: ParseError, *, stream: bool = False) -> None:
    assert error.reason
    assert error.status in ANSWERABLE
    assert str(error)
    # The reason goes into a response: it must never carry the peer's text.
    build_message(Response(error.status, error.reason, Headers()))
    if isinstance(error, MessageError):
        assert stream or not error.fatal
        assert error.partial is None or isinstance(error.partial, Request)


@settings(max_examples=600, deadline=None)
@given(anything)
def test_any_bytes_give_a_message_or_a_parse_error(data: bytes) -> None:
    try:
        message = parse_message(data)
    except MessageError as error:
        expect_error(error)
        assert 0 <= error.offset <= len(data)
        return
    expect_usable(message)


@settings(max_examples=400, deadline=None)
@given(anything)
def test_what_was_parsed_can_be_built_and_is_read_the_same(data: bytes) -> None:
    try:
        message = parse_message(data)
    except MessageError:
        return
    again = parse_message(build_message(message))
    for each in (message, again):
        each.headers.remove("Content-Length")
    assert again == message


def messages(data: bytes, cuts: list[int]) -> list[object]:
    """What a stream gives, with errors as values that compare."""
    parser = StreamParser(max_head_bytes=4000, max_body_bytes=1000)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    given_out: list[object] = []
    for begin, end in itertools.pairwise(edges):
        for parsed in parser.feed(data[begin:end]):
            if isinstance(parsed, MessageError):
                expect_error(parsed, stream=True)
                given_out.append((parsed.reason, parsed.status, parsed.field, parsed.fatal, parsed.partial))
            else:
                if not isinstance(parsed, KeepAlive):
                    expect_usable(parsed)
                given_out.append(parsed)
    assert parser.dead == (bool(given_out) and isinstance(given_out[-1], tuple) and given_out[-1][3])
    return given_out


streams = st.lists(
    st.one_of(mutated(), assembled(), st.sampled_from([b"\r\n\r\n", b"\r\n", b"\r"]), st.binary(max_size=30)), max_size=4
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 10_000), max_size=30))
def test_any_chunking_gives_the_same_messages(data: bytes, cuts: list[int]) -> None:
    assert messages(data, cuts) == messages(data, [])


@settings(max_examples=60, deadline=None)
@given(streams)
def test_octet_by_octet_gives_the_same_messages(data: bytes) -> None:
    assert messages(data, list(range(len(data)))) == messages(data, [])


@settings(max_examples=500, deadline=None)
@given(field_text)
def test_any_text_gives_a_uri_or_a_parse_error(text: str) -> None:
    try:
        uri = parse_uri(text)
    except ParseError as error:
        assert error.status in (400, 416)
        return
    assert uri_equal(uri, uri)
    assert parse_uri(str(uri)) == uri
    unescape_user(uri.user or "")


PARSERS: list[Callable[[str], object]] = [parse_via, parse_name_addr, parse_cseq, parse_params, parse_auth, parse_uint, parse_list]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
@settings(max_examples=300, deadline=None)
@given(text=field_text)
def test_any_text_gives_a_value_or_a_parse_error(parser: Callable[[str], object], text: str) -> None:
    try:
        value = parser(text)
    except ParseError as error:
        assert error.status == 400
        return
    if parser in (parse_via, parse_name_addr, parse_cseq):
        assert parser(str(value)) == value


@settings(max_examples=300, deadline=None)
@given(field_text)
def test_any_credentials_that_parse_survive_building(text: str) -> None:
    try:
        scheme, params = parse_auth(text)
    except ParseError:
        return
    if params and "" not in params:
        quoted = {name: value for name, value in params.items() if name not in ("algorithm", "stale", "nc", "userhash", "qop")}
        assert parse_auth(build_auth(scheme, quoted)) == (scheme, quoted) or not quoted


@pytest.mark.parametrize(
    "text",
    ['"' * 60_000, "<" * 60_000, "," * 60_000, ";a" * 30_000, " " * 60_000, '"\\' * 30_000, "a=" * 30_000, "%" * 60_000, "[" * 60_000,
    "sip:" + "a:" * 30_000,
     "sip:a@" + "h." * 30_000, "sip:h" + ";a" * 30_000, "SIP/2.0/UDP h" + " " * 60_000 + "x", '"a" ' * 15_000, "Digest " + "a=b," * 15_000],
    ids=lambda text: f"{text[:12]}...",
)  # fmt: skip
def test_long_text_takes_linear_time(text: str) -> None:
    """Two seconds stand against milliseconds: a pattern that backtracks would need hours."""
    begin = time.process_time()
    for parser in (*PARSERS, parse_uri):
        try:
            parser(text)
        except ParseError:
            continue
    Headers([("Via", text), ("X", text)]).values("Via")
    assert time.process_time() - begin < 2.0
