"""An application's answer as a document: verbs to run, and notices for its author (behaviour 1.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from rcml import notices
from rcml.dialect import RCML, Dialect
from rcml.errors import CONTENT_TYPE, DocumentError
from rcml.notices import Notice
from rcml.reader import Element, Reader
from rcml.settings import RcmlSettings
from rcml.source import decode, is_charset, prepare, tree_of
from rcml.ssml import speech_of
from rcml.urls import resolve
from rcml.verbs import PARSERS, Play, Say, Verb

ROOT = "Response"

# Characters of the application's text in our messages: no known name is longer, and no notice grows with the body.
_NAME = 40
_WHY = 200

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)
_MARKUP = re.compile(r"(?:text|application)/xml|text/html|\+xml\Z")
_AUDIO = re.compile(r"audio/[a-z0-9.+-]+")
_POSITION = re.compile(r",? line \d+, column \d+.*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """url: where it came from, the base of its relative URLs. verbs: in order, without those that ask for nothing."""

    url: str
    verbs: tuple[Verb, ...]
    notices: tuple[Notice, ...] = ()


def parse_document(body: bytes, *, content_type: str, url: str, settings: RcmlSettings, dialect: Dialect = RCML) -> Document:
    """Read the body of a 200 answer.

    Args:
        body: as received; that of audio may be left out, it is fetched again to be played.
        content_type: the header's value, "" when there was none; decides what the body is.
        url: of the answer, after redirects.
    Returns:
        The document. It has no verbs when there was no body or no type.
    Raises:
        DocumentError: it cannot be run; names the line (the application's fault).
    """
    read = Reader(url, settings, dialect)
    media_type = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    if len(body) > settings.max_document_bytes and not _AUDIO.fullmatch(media_type):
        line = body.count(b"\n", 0, settings.max_document_bytes) + 1
        raise DocumentError(f"a document may have {settings.max_document_bytes} bytes, this one has {len(body)}", line)
    if not media_type or not (body.strip() or _AUDIO.fullmatch(media_type)):
        if body.strip():
            read.warning(notices.NOT_CARRIED_OUT, 1, f"the answer has no Content-Type; its {len(body)} bytes are not read")
        return Document(url, (), read.notices)
    verbs: tuple[Verb, ...]
    if _MARKUP.search(media_type):
        verbs = tuple(_verbs(_parse(_text(body, charset[1] if charset else None, read), settings), read))
    elif _AUDIO.fullmatch(media_type):
        verbs = (Play(1, _own_url(url)),)
    elif media_type == "text/plain":
        text = " ".join(_plain(body, charset[1] if charset else None, read).split())
        verbs = (Say(1, speech_of(Element("Say", 1, head=text), read, "en")),) if text else ()
    else:
        raise DocumentError(f"the answer is {media_type[:80]}, neither RCML (text/xml) nor audio nor plain text", 1, CONTENT_TYPE)
    return Document(url, verbs, read.notices)


def _own_url(url: str) -> str:
    try:
        return resolve(url, url)
    except ValueError as why:
        raise DocumentError(f"the audio cannot be fetched from where it came: {why}", 1, notices.BAD_URL) from None


def _text(body: bytes, charset: str | None, read: Reader) -> str:
    """The body as text; a character set that nobody knows is told to the application's author."""
    passed_over: list[str] = []
    try:
        return decode(body, charset, passed_over)
    finally:
        for words in passed_over:
            read.warning(notices.NOT_CARRIED_OUT, 1, words)


def _plain(body: bytes, charset: str | None, read: Reader) -> str:
    """Text for speech: without a declared character set that is known it is UTF-8, or what everything else used to be."""
    try:
        return _text(body, charset, read)
    except DocumentError:
        if charset is not None and is_charset(charset):
            raise
        return body.decode("cp1252", "replace")


def _parse(text: str, settings: RcmlSettings) -> Element:
    source = prepare(text)
    try:
        root = tree_of(source)
    except etree.XMLSyntaxError as error:
        why = _POSITION.sub("", error.msg or "it does not parse").strip()
        raise DocumentError(f"not well-formed XML: {why[:_WHY]}", max(error.lineno or 1, 1)) from None
    if root.getroottree().docinfo.doctype:  # type: ignore[attr-defined]  # the stubs lack it; unreachable past the lexer; a second lock on that door
        raise DocumentError("document types and entities are not accepted")
    return _element(root, iter(source.tag_lines), settings.max_depth)


def _element(node: etree._Element, lines: Iterator[int], depth: int) -> Element:
    """Plain data from the parser's tree; in document order, so that `lines` keeps step."""
    line = next(lines, 1)
    if not isinstance(node.tag, str):
        raise DocumentError("entities are not accepted", line)
    if depth == 0:
        raise DocumentError(f"<{_local(node.tag)[:_NAME]}> stands too deep inside other elements", line)
    children = tuple([_element(child, lines, depth - 1) for child in node])
    attributes = {str(name): str(value) for name, value in node.attrib.items()}
    return Element(_local(node.tag)[:_NAME], line, attributes, node.text or "", node.tail or "", children)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _verbs(root: Element, read: Reader) -> Iterator[Verb]:
    if root.name == ROOT:
        elements = root.children
    elif root.name in PARSERS:
        elements = (root,)
    else:
        hint = ": this looks like a web page" if root.name.lower() == "html" else ""
        raise DocumentError(f"the root element is <{root.name}>, not <{ROOT}>{hint}", root.line)
    most = read.settings.max_verbs
    if len(elements) > most:
        raise DocumentError(f"a document may hold {most} verbs, this one has {len(elements)}", elements[most].line)
    for element in elements:
        parse = PARSERS.get(element.name)
        if parse is None:
            meant = next((name for name in PARSERS if name.lower() == element.name.lower()), None)
            hint = f"; the verb is written <{meant}>" if meant else ""
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"<{element.name}> is not a verb and is skipped{hint}")
        elif (verb := parse(element, read)) is not None:
            yield verb
