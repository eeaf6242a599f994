"""Bytes to text to well-behaved XML, line for line (behaviour 1.7)."""

from __future__ import annotations

import pytest

from rcml.errors import DocumentError
from rcml.source import decode, prepare

GREETING = "<Response>\n<Say>Grüße</Say>\n</Response>"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (GREETING.encode(), None),
        (b"\xef\xbb\xbf" + GREETING.encode(), None),
        (b"\xef\xbb\xbf" + GREETING.encode(), "iso-8859-1"),  # the mark rules
        (GREETING.encode("latin-1"), "ISO-8859-1"),
        (GREETING.encode("utf-16"), None),
        (GREETING.encode("utf-16-le"), None),
        (GREETING.encode("utf-16-be"), "utf-16"),
        (GREETING.encode("utf-32"), None),
        (GREETING.encode(), "us-ascii"),  # ASCII was promised, UTF-8 was sent: nothing else can be meant
        (GREETING.encode(), "utf-16"),  # 8-bit text under a wrong name
        (GREETING.replace("\n", "\r\n").encode(), None),
        (GREETING.replace("\n", "\r").encode(), None),
    ],
)
def test_text_is_read_in_the_encoding_that_its_bytes_or_its_type_tell__rfc7303_3(body: bytes, charset: str | None) -> None:
    assert decode(body, charset) == GREETING


@pytest.mark.parametrize(
    ("declared", "sent"), [("iso-8859-1", "latin-1"), ("Windows-1252", "cp1252"), ("utf-16", "utf-8"), ("UTF-8", "utf-8")]
)
def test_text_is_read_as_its_declaration_says_unless_the_bytes_show_otherwise__xml10_4_3_3(declared: str, sent: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{GREETING}'
    assert decode(text.encode(sent), None) == text


@pytest.mark.parametrize("name", ["unicode_escape", "rot13", "idna", "utf-7", "no-such-thing", "../etc", "zlib", "x" * 200, "a\x00b"])
def test_a_name_that_is_no_character_set_is_passed_over_and_told__behaviour_1_7(name: str) -> None:
    told: list[str] = []
    assert decode(b"<Response/>", name, told) == "<Response/>"
    assert len(told) == 1
    assert repr(name[:40]) in told[0]
    assert "Content-Type" in told[0]
    with pytest.raises(DocumentError):
        decode(b"<Response>\xe4</Response>", name)


@pytest.mark.parametrize("name", ["utf8mb4", "ansi", "utf-8,utf-8", "utf8mb3", "unicode", "none", "binary", "x-user-defined"])
def test_next_source_is_asked_when_a_character_set_is_not_known__rfc7303_3(name: str) -> None:
    declared = f'<?xml version="1.0" encoding="iso-8859-1"?>\n{GREETING}'
    told: list[str] = []
    assert decode(declared.encode("latin-1"), name, told) == declared
    assert decode(GREETING.encode(), name, told) == GREETING
    assert decode(GREETING.encode("utf-16"), name) == GREETING
    assert len(told) == 2
    both = f'<?xml version="1.0" encoding="{name[:7]}x-y"?>\n{GREETING}'.replace(",", "-").replace(";", "-")
    told.clear()
    assert decode(both.encode(), name, told) == both
    assert len(told) == 2
    assert "XML declaration" in told[1]


@pytest.mark.parametrize("name", ["utf-8", "us-ascii", "shift_jis", "utf-16"])
def test_octets_that_are_wrong_in_a_known_character_set_are_an_error__rfc9110_8_3_2(name: str) -> None:
    with pytest.raises(DocumentError):
        decode(b"<Response>\xff\xfe\x80</Response>", name)


def test_bytes_outside_the_encoding_are_refused_with_their_line__behaviour_1_7() -> None:
    with pytest.raises(DocumentError) as caught:
        decode(b"<Response>\r\n<Say>\n\xe4</Say></Response>", None)
    assert caught.value.line == 3
    assert "0xe4" in caught.value.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('<Dial action="/a?x=1&y=2">', '<Dial action="/a?x=1&amp;y=2">'),
        ("<Play>/a?x=1&y=2&amp;z=3</Play>", "<Play>/a?x=1&amp;y=2&amp;z=3</Play>"),
        ("<Say>a & b &lt; &#38; &#x26; &quot;&apos;&gt;</Say>", "<Say>a &amp; b &lt; &#38; &#x26; &quot;&apos;&gt;</Say>"),
        ("<Say>&foo; &nbsp; &amp &#; &#x; &#xg;</Say>", "<Say>&amp;foo; &amp;nbsp; &amp;amp &amp;#; &amp;#x; &amp;#xg;</Say>"),
        ("<Say><![CDATA[a & b <x> ]]>&</Say>", "<Say><![CDATA[a & b <x> ]]>&amp;</Say>"),
        ("<Say><!-- a & b -->&</Say>", "<Say><!-- a & b -->&amp;</Say>"),
        ("<Say><?pi a & b?>&</Say>", "<Say><?pi a & b?>&amp;</Say>"),
        ("<Say>&&</Say>&", "<Say>&amp;&amp;</Say>&amp;"),
    ],
)
def test_a_bare_ampersand_is_escaped_and_nothing_else_changes__behaviour_1_7(written: str, meant: str) -> None:
    assert prepare(written).xml.decode() == meant


def test_the_declaration_goes_and_its_lines_stay__behaviour_1_7() -> None:
    source = prepare("\n \n<?xml version='1.0'\n encoding='latin-1'?>\n<Response/>")
    assert source.xml == b"\n\n\n\n<Response/>"
    assert source.tag_lines == (5,)


def test_the_line_of_a_tag_is_where_it_starts() -> None:
    source = prepare("<A>\n<!-- <B>\n --><C\n x='1'\n y='2'\n><![CDATA[<D>\n]]><?pi <E>\n?><F/></C></A>")
    assert source.tag_lines == (1, 3, 8)


@pytest.mark.parametrize(
    "declaration", ["<!DOCTYPE r SYSTEM 'file:///etc/passwd'>", "<!doctype html>", "<!ENTITY x 'y'>", "<![INCLUDE[", "<!"]
)
def test_document_types_and_entities_never_reach_the_parser__behaviour_1_7(declaration: str) -> None:
    with pytest.raises(DocumentError, match="not accepted") as caught:
        prepare(f"<!-- <!DOCTYPE fine> -->\n{declaration}\n<Response/>")
    assert caught.value.line == 2
