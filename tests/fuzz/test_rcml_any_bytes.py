"""Any bytes give a Document or a DocumentError, and any course through any document ends."""

from __future__ import annotations

import random
import time
from xml.parsers import expat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcml.document import Document, parse_document
from rcml.errors import DocumentError
from rcml.interpreter import End, Fetch, Interpreter, Run
from rcml.settings import RcmlSettings
from rcml.source import decode, prepare
from rcml.verbs import PARSERS, Dial, Hangup, Invalid, Redirect, Reject

pytestmark = pytest.mark.fuzz

URL = "https://app.example.com/calls/voice.xml"
SETTINGS = RcmlSettings(max_documents_per_call=40, max_idle_documents=10, max_verbs_per_call=200)
TYPES = st.sampled_from(
    [
        "text/xml",
        "application/xml; charset=utf-16",
        "text/html;charset=latin-1",
        "text/xml; charset=\x00",
        "text/plain",
        "audio/wav",
        "",
        "a/b",
        ";",
    ]
)

# Pieces that documents are made of, and pieces that have broken parsers before.
PIECES = [
    *(f"<{name}>" for name in (*PARSERS, "Response", "Number", "Client", "Sip", "Uri", "Conference", "Zzz")),
    *(f"</{name}>" for name in (*PARSERS, "Response", "Number", "Client", "Sip", "Uri", "Conference", "Zzz")),
    *(f"<{name}/>" for name in PARSERS),
    *(f' {name}="' for name in ("action", "timeout", "timeLimit", "method", "callerId", "dialMusic", "loop", "length", "reason", "url")),
    *"<>&;\"'/?!-= \t\r\n@:#%+",
    *("&amp;", "&lt;", "&#38;", "&#x0;", "&#xD800;", "&#99999999999;", "&foo;", "&amp", "%", "%0d%0a", "[", "[::1", "http://", "://"),
    *(
        "<!--",
        "-->",
        "--",
        "<![CDATA[",
        "]]>",
        "<?xml version='1.0' encoding='utf-16'?>",
        "<?",
        "?>",
        "<!DOCTYPE r [",
        "<!ENTITY a 'b'>",
        "]>",
    ),
    *(
        "sip:",
        "client:",
        "?X-A=",
        "&X-B=",
        "1",
        "0",
        "-1",
        "9999999999",
        "true",
        "disabled",
        "GET",
        "\ufeff",
        "\x00",
        "\ud7ff",
        "\ufffe",
        "é",
        "\u2028",
    ),
]


def read(body: bytes, content_type: str = "text/xml") -> Document | None:
    try:
        document = parse_document(body, content_type=content_type, url=URL, settings=SETTINGS)
    except DocumentError as error:
        assert error.code in (12100, 12300)
        assert 1 <= error.line <= body.count(b"\n") + body.count(b"\r") + 1
        assert 0 < len(error.message) < 500
        return None
    lines = body.count(b"\n") + body.count(b"\r") + 1
    assert all(1 <= verb.line <= lines for verb in document.verbs)
    assert all(1 <= notice.line <= lines and len(notice.message) < 500 for notice in document.notices)
    for verb in document.verbs:
        if isinstance(verb, Dial):
            assert verb.timeout_s > 0
            assert verb.time_limit_s > 0
            for noun in verb.nouns:
                for name, value in getattr(noun, "headers", ()):
                    assert name[:2].lower() == "x-"
                    assert not any(character < " " for character in name + value)
    return document


def run(document: Document, choice: random.Random) -> None:
    call = Interpreter(settings=SETTINGS, answered=choice.random() < 0.3, answer_delay=choice.random() < 0.5)
    step = call.start(document)
    for _ in range(2_000):
        if choice.random() < 0.05:
            choice.choice([call.answered, call.caller_gone])()
        match step:
            case Run(Redirect(url=url)):
                assert url.startswith(("http://", "https://"))
                step = call.start(document) if choice.random() < 0.9 else call.document_failed()
            case Run(Reject() | Hangup() | Invalid()):
                return
            case Run(Dial()):
                step = call.done(answered=choice.random() < 0.5, waited=False)
            case Run():
                step = call.done()
            case Fetch(url):
                assert url.startswith(("http://", "https://"))
                step = call.start(document) if choice.random() < 0.9 else call.document_failed()
            case End():
                return
    raise AssertionError("the call does not end")


@given(body=st.binary(max_size=400), content_type=TYPES)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_document_or_an_error(body: bytes, content_type: str) -> None:
    read(body, content_type)


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40), seed=st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_any_pieces_of_documents_give_a_document_that_ends_or_an_error(pieces: list[str], seed: int) -> None:
    document = read("".join(pieces).encode("utf-8", "surrogatepass"))
    if document is not None:
        run(document, random.Random(seed))


@st.composite
def well_formed(draw: st.DrawFn) -> str:
    """Documents that parse, so that the verbs' own reading is what is tried."""
    text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<&]\x00"), max_size=20).map(
        lambda value: "".join(character for character in value if character.isprintable() or character in "\n\t")
    )
    names = st.sampled_from(
        ["action", "method", "timeout", "timeLimit", "callerId", "record", "dialMusic", "url", "loop", "length", "language"]
    )
    values = text.map(lambda value: value.replace('"', "'"))
    likely = st.sampled_from(
        ["/x?a=1&b=2", "http://[", "0", "5", "true", "disabled", "GET", "alice@example.com", "client:bob", "1?X-A=1&b=%0a"]
    )

    def element(depth: int) -> str:
        name = draw(st.sampled_from([*PARSERS, "Number", "Client", "Sip", "Conference", "x"]))
        attributes = draw(st.dictionaries(names, likely | values, max_size=3))
        inner = "".join(element(depth - 1) for _ in range(draw(st.integers(0, 2)))) if depth else ""
        written = "".join(f' {key}="{value}"' for key, value in attributes.items())
        return f"<{name}{written}>{draw(likely | text)}{inner}</{name}>\n"

    return "<Response>\n" + "".join(element(draw(st.integers(0, 2))) for _ in range(draw(st.integers(0, 6)))) + "</Response>"


@given(body=well_formed(), seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_well_formed_document_is_read_and_ends(body: str, seed: int) -> None:
    document = read(body.encode())
    assert document is not None
    run(document, random.Random(seed))


@given(body=well_formed())
@settings(max_examples=80, deadline=None)
def test_the_line_of_every_tag_is_the_one_that_another_parser_finds(body: str) -> None:
    lines: list[int] = []
    other = expat.ParserCreate()
    other.StartElementHandler = lambda name, attributes: lines.append(other.CurrentLineNumber)
    source = prepare(body)
    other.Parse(source.xml, True)
    assert list(source.tag_lines) == lines


@pytest.mark.parametrize(
    "piece",
    [
        *PIECES,
        "<a ",
        "<a x='",
        "<a>",
        "encoding ",
        "<!---",
        "]]",
        " \n",
        "<Dial>1</Dial>",
        "<Sip>a b</Sip>",
        "<Dial action=':'/>",
        "&a",
        "<X/>",
    ],
)
def test_a_full_size_document_of_one_piece_is_read_in_time(piece: str) -> None:
    """Nothing here is worse than linear: a quadratic step over 64 KiB takes tens of seconds, a linear one milliseconds."""
    filler = (piece * 65_536).encode("utf-8", "surrogatepass")[:65_000]
    begun = time.process_time()
    for before, after in (
        (b"", b""),
        (b"<Response>", b"</Response>"),
        (b"<Dial><Sip>a", b"b</Sip></Dial>"),
        (b'<Dial callerId="1', b'2"/>'),
    ):
        read(before + filler + after)
        read(filler, "text/plain")
    assert time.process_time() - begun < 8.0


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
@settings(max_examples=300, deadline=None)
def test_repairing_changes_no_line_and_is_done_once(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        source = prepare(text)
    except DocumentError:
        return
    assert source.xml.count(b"\n") == text.count("\n")
    again = prepare(source.xml.decode())
    assert again.tag_lines == source.tag_lines
    if not again.xml.lstrip().startswith(b"<?xml"):
        assert again.xml == source.xml or source.xml.lstrip().startswith(b"<?xml")


@given(body=st.binary(max_size=200), charset=st.none() | st.sampled_from(["utf-8", "utf-16", "latin-1", "shift_jis", "gb18030", "x"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_text_or_an_error(body: bytes, charset: str | None) -> None:
    try:
        text = decode(body, charset)
    except DocumentError:
        return
    assert "\r" not in text
    text.encode("utf-8")  # no lone surrogates: this must not raise
