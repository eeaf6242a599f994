"""From the bytes of an answer to well-behaved XML text, line for line the same.

Applications write documents by hand and with string templates, so what is clear is understood (behaviour 1.7): a byte
order mark, a wrong or missing encoding declaration, white space before the XML declaration, a bare `&` in a URL.
What could make the XML parser do anything but parse (a document type, entities) is refused here, before it sees it.

The text is walked once, by a lexer that knows the only five places of XML where `<` and `&` mean something else. In
well-formed XML `<` never stands in an attribute value, so each `<` outside those places starts a tag; that is also how
the line of every start tag is found (the parser itself reports the line on which a tag *ends*).
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from lxml import etree

from rcml.errors import DocumentError

# [1] document, [20] CDEnd, [15] Comment, [16] PI, [28] doctypedecl, [40] STag, [66] CharRef of XML 1.0.
# An unclosed comment, CDATA section or instruction runs to the end here; the parser then says what is wrong with it.
_TOKEN = re.compile(
    r"""
      (?P<comment> <!-- .*? (?: --> | \Z ) )
    | (?P<cdata>   <!\[CDATA\[ .*? (?: \]\]> | \Z ) )
    | (?P<pi>      <\? .*? (?: \?> | \Z ) )
    | (?P<decl>    <! (?P<declname> [A-Za-z]* ) )
    | (?P<tag>     < (?= [^\s/!?<>=&"'] ) )
    | (?P<amp>     & (?! (?: amp | lt | gt | quot | apos | \#[0-9]+ | \#x[0-9A-Fa-f]+ ) ; ) )
    """,
    re.DOTALL | re.VERBOSE,
)
_DECLARATION = re.compile(r"\s*<\?xml(?=[\s?])(.*?)\?>", re.DOTALL)
_DECLARED = re.compile(rb"\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]{0,39})[\"']")
# Python knows codecs that are no character sets (rot13, unicode_escape, idna); only these may be asked for by name.
_CHARSETS = re.compile(r"utf-?8|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|gb2312|gbk|gb18030|big5|shift_jis|euc_jp|euc_kr|utf-16(-[lb]e)?")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """XML text in UTF-8, without declaration and bare ampersands. tag_lines: line of each start tag, in order."""

    xml: bytes
    tag_lines: tuple[int, ...]


def decode(body: bytes, charset: str | None, passed_over: list[str] | None = None) -> str:
    """Bytes to text with line ends of one kind (XML 1.0 §2.11).

    A byte order mark rules, then the charset of the Content-Type, then the declaration, then UTF-8 (RFC 7303 §3). A name
    that contradicts what the bytes show (8-bit text declared as UTF-16) is passed over, and so is one that nobody knows
    (`utf8mb4`, `ansi`, `utf-8,utf-8`), which `passed_over` is told in words.

    Raises:
        DocumentError: bytes that are not of the character set; names the line of the first such byte.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return _lines(_decode_as(body[len(mark) :], name, "its byte order mark"))
    declared = _DECLARED.match(body)
    declared_name = declared[1].decode("ascii") if declared else None
    for asked, where in ((charset, "Content-Type"), (declared_name, "XML declaration")):
        if not asked:
            continue
        name = _charset(asked)
        if not name:
            if passed_over is not None:
                passed_over.append(f"the character set {asked[:40]!r} of the {where} is not known and is passed over")
            continue
        if name.startswith("utf-16"):
            if b"\0" not in body[:2]:
                continue
            name = _guess_utf16(body) or name
        return _lines(_decode_as(body, "utf-8" if name == "ascii" else name, where))
    return _lines(_decode_as(body, _guess_utf16(body) or "utf-8", None))


def is_charset(name: str) -> bool:
    """Whether a body may say that it is in this character set."""
    return bool(_charset(name))


def prepare(text: str) -> Source:
    """Repair and inspect the text of a document.

    Raises:
        DocumentError: it declares a document type or entities.
    """
    declaration = _DECLARATION.match(text)
    if declaration:  # the text is decoded by now; white space before it would be an error
        text = "\n" * declaration[0].count("\n") + text[declaration.end() :]
    pieces: list[str] = []
    tag_lines: list[int] = []
    position, line = 0, 1
    for token in _TOKEN.finditer(text):
        start = token.start()
        line += text.count("\n", position, start)
        pieces.append(text[position:start])
        position = start
        match token.lastgroup:
            case "amp":
                pieces.append("&amp;")
                position = token.end()
            case "tag":
                tag_lines.append(line)
            case "decl" | "declname":
                raise DocumentError(f"document types and entities are not accepted (<!{token['declname']} ...)", line)
            case _:  # a comment, CDATA or a processing instruction stays as it is
                pass
    pieces.append(text[position:])
    return Source("".join(pieces).encode("utf-8"), tuple(tag_lines))


def _charset(asked: str) -> str:
    """Python's name of a character set, "" for what is none."""
    try:
        name = codecs.lookup(asked).name
    except (LookupError, ValueError):
        return ""
    return name if _CHARSETS.fullmatch(name) else ""


def _decode_as(body: bytes, name: str, where: str | None) -> str:
    try:
        return body.decode(name)
    except UnicodeDecodeError as error:
        line = len(re.findall("\r\n|\r|\n", body[: error.start].decode(name, "replace"))) + 1
        told = f"as {where} says" if where else "and no other character set is declared"
        raise DocumentError(f"byte 0x{body[error.start]:02x} cannot be read as {name.upper()}, {told}", line) from None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess_utf16(body: bytes) -> str | None:
    """Markup in UTF-16 without a mark shows itself by `<` and a zero (XML 1.0 appendix F.1)."""
    return {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(body[:2])


def tree_of(source: Source) -> etree._Element:
    """The parsed text. Raises etree.XMLSyntaxError.

    One parser for each: it refuses what the lexer has not, and never opens a file or a connection.
    """
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    return etree.fromstring(source.xml, parser)
