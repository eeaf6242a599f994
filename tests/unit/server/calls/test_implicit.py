"""What a call without an application dials (behaviour.md 1.3)."""

from __future__ import annotations

from rcml.document import parse_document
from rcml.settings import RcmlSettings
from rcml.verbs.dial import Client, Dial, Number
from server.calls.implicit import implicit_document


def dialled(dials: str, *headers: tuple[str, str]) -> Dial:
    body = implicit_document(dials, headers).encode()
    document = parse_document(body, content_type="text/xml", url="", settings=RcmlSettings())
    assert all("no telephone number has" in notice.message for notice in document.notices)
    (verb,) = document.verbs
    assert isinstance(verb, Dial)
    return verb


def test_a_client_is_dialled_with_the_callers_own_headers__behaviour_1_3() -> None:
    verb = dialled("client:alice", ("X-Tag", 'a & b <"ü">=?'), ("Subject", "no"), ("x-more", "1+1"), ("X-RestComm-CallSid", "CA1"))
    assert verb.nouns == (Client(1, "alice", headers=(("X-Tag", 'a & b <"ü">=?'), ("x-more", "1+1"))),)


def test_a_number_is_dialled__behaviour_1_3() -> None:
    assert dialled("+12025550143").nouns == (Number(1, "+12025550143"),)


def test_what_is_dialled_cannot_break_out_of_its_noun() -> None:
    verb = dialled("1</Number><Sip>sip:evil@example.net</Sip><Number>2&amp;")
    assert len(verb.nouns) == 1
    assert isinstance(verb.nouns[0], Number)
