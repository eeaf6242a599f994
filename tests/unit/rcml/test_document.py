"""An answer as a document (behaviour 1.7)."""

from __future__ import annotations

import pytest

from rcml.errors import DocumentError
from rcml.verbs import Dial, Hangup, Number, Play, Say, Unsupported
from tests.unit.rcml.reading import URL, codes, give


def refused(body: str | bytes, content_type: str = "text/xml", **settings: int) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        give(body, content_type, URL, **settings)
    return caught.value


# --- what decides: the type ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["text/xml", "application/xml; charset=utf-8", "TEXT/HTML;charset=UTF-8", "application/rcml+xml", " text/xml "]
)
def test_xml_and_html_types_are_rcml__behaviour_1_7(kind: str) -> None:
    assert give("<Response><Hangup/></Response>", kind).verbs == (Hangup(1),)


@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-wav", "audio/wave; rate=8000", "audio/mpeg"])
def test_audio_is_as_if_its_url_was_played__behaviour_1_7(kind: str) -> None:
    for body in (b"RIFF" + b"\0" * 200_000, b""):  # whoever fetches documents may leave it out
        assert give(body, kind).verbs == (Play(1, URL),)


def test_audio_without_a_url_to_fetch_it_from_is_refused__behaviour_1_7() -> None:
    with pytest.raises(DocumentError) as caught:
        give(b"RIFF", "audio/wav", url="")
    assert caught.value.code == 11100


def test_plain_text_is_as_if_it_was_said__behaviour_1_7() -> None:
    assert give(" Good\n morning ", "text/plain").verbs == (Say(1, "Good morning"),)
    assert give("Grüße".encode(), "text/plain").verbs == (Say(1, "Grüße"),)
    assert give("Grüße".encode("latin-1"), "text/plain").verbs == (Say(1, "Grüße"),)
    assert give("Grüße".encode("cp850"), "text/plain; charset=cp850").verbs == (Say(1, "Grüße"),)


@pytest.mark.parametrize(("body", "kind"), [("", "text/xml"), ("", ""), (" \r\n", "application/xml"), (" ", "text/plain")])
def test_no_body_is_a_document_without_verbs__behaviour_1_7(body: str, kind: str) -> None:
    document = give(body, kind)
    assert (document.url, document.verbs, document.notices) == (URL, (), ())


def test_a_body_without_a_type_is_not_read_and_says_so__behaviour_1_7() -> None:
    document = give("<Response><Hangup/></Response>", "")
    assert document.verbs == ()
    assert codes(document.notices) == [(12200, "warning", 1)]


def test_any_other_type_is_refused__behaviour_1_7() -> None:
    error = refused('{"a": 1}', "application/json")
    assert (error.code, error.line) == (12300, 1)


# --- the root -----------------------------------------------------------------------------------------------------


def test_a_known_verb_may_be_the_root__behaviour_1_7() -> None:
    assert give("<Dial>123</Dial>").verbs == (Dial(1, nouns=(Number(1, "123"),)),)
    assert [type(verb) for verb in give("<Fax/>").verbs] == [Unsupported]


@pytest.mark.parametrize("root", ["html", "response", "Document", "Number"])
def test_any_other_root_is_refused_with_its_line__behaviour_1_7(root: str) -> None:
    error = refused(f"<!-- hello\n -->\n<{root}><Hangup/></{root}>")
    assert (error.code, error.line) == (12100, 3)
    assert f"<{root}>" in error.message


def test_a_namespace_changes_nothing__behaviour_1_7() -> None:
    assert give('<Response xmlns="urn:example"><Hangup/></Response>').verbs == (Hangup(1),)


# --- verbs --------------------------------------------------------------------------------------------------------


def test_verbs_come_in_order_with_the_line_on_which_their_tag_starts() -> None:
    document = give('<?xml version="1.0"?>\r\n<Response>\r\n<Say\r\n voice="man"\r\n>Hi</Say>\r\n<!--\r\n--><Hangup/></Response>')
    assert document.verbs == (Say(3, "Hi"), Hangup(7))


def test_unknown_verbs_are_skipped_and_named__behaviour_1_7() -> None:
    document = give("<Response>\n<Frobnicate/>\n<hangup/>\n<Hangup/></Response>")
    assert document.verbs == (Hangup(4),)
    assert codes(document.notices) == [(12200, "warning", 2), (12200, "warning", 3)]
    assert "<Frobnicate>" in document.notices[0].message
    assert "<Hangup>" in document.notices[1].message


@pytest.mark.parametrize("name", ["Sms", "Message", "Email", "Fax"])
def test_verbs_of_later_releases_are_named_and_skipped(name: str) -> None:
    document = give(f"<Response>\n<{name} action='/x'><Say>a</Say></{name}>\n</Response>")
    (verb,) = document.verbs
    assert isinstance(verb, Unsupported)
    assert (verb.line, verb.name) == (2, name)
    assert codes(document.notices) == [(12200, "warning", 2)]
    assert document.notices[0].text == f"line 2: {verb.why}"
    assert f"<{name}>" in verb.why


def test_comments_instructions_and_cdata_do_not_divide_text__behaviour_1_7() -> None:
    assert give("<Response><Dial>1<!-- no -->2<?pi no?>3<![CDATA[4]]></Dial></Response>").verbs == (Dial(1, nouns=(Number(1, "1234"),)),)


def test_the_reference_pages_sequential_example_is_read__reference_page() -> None:
    document = give(
        """<Response>
  <Say>This is a sequential Dial example.</Say>
  <Dial timeout="30">
    <Number>12223334444</Number>
  </Dial>
  <Pause length="4"/>
  <Dial>
    <Client>jane</Client>
  </Dial>
</Response>"""
    )
    assert [(type(verb).__name__, verb.line) for verb in document.verbs] == [("Say", 2), ("Dial", 3), ("Pause", 6), ("Dial", 7)]
    assert document.notices == ()


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("<Response>\n<Dial>\n</Response>", 3),
        ("<Response>\n", 2),
        ("nothing", 1),
        ("<Response/>\n<Response/>", 2),
        ("<Response>\n<Dial a='1' a='2'/></Response>", 2),
        ("<Response>\n\n<Say>\x00</Say></Response>", 3),
        ("<Response>\n&#0;</Response>", 2),
        ("<Response>\n<x:Dial/></Response>", 2),
        ("<Response>\n<Say><![CDATA[</Say></Response>", 2),
        ("<Response>\n<Dial action='<'/></Response>", 2),
        ("<?xml version='1.0'?>\n<!DOCTYPE Response [<!ENTITY a 'b'>]>\n<Response/>", 2),
    ],
)
def test_what_does_not_parse_is_refused_with_its_line__behaviour_1_9(body: str, line: int) -> None:
    error = refused(body)
    assert (error.code, error.line) == (12100, line)
    assert str(error) == f"line {line}: {error.message}"


def test_a_document_over_the_cap_is_refused_with_the_line_of_the_cap__rcml_limits() -> None:
    fits = "<Response>\n" + " " * (65_536 - 22) + "</Response>"
    assert give(fits).verbs == ()
    assert refused(fits.replace(" ", "  ", 1)).line == 2


def test_elements_nested_too_deep_are_refused_with_their_line__rcml_limits() -> None:
    assert give("<Response><Say><a><b>hi</b></a></Say></Response>", max_depth=4).verbs == (Say(1, "hi"),)
    assert refused("<Response><Say><a><b>\n<c>hi</c></b></a></Say></Response>", max_depth=4).line == 2
    assert refused("<Response>" + "<Say>" * 9_000).code == 12100


def test_more_verbs_or_nouns_than_allowed_are_refused_with_the_line_of_the_first_too_many__rcml_limits() -> None:
    assert refused("<Response>\n<Hangup/>\n<Hangup/>\n<Hangup/></Response>", max_verbs=2).line == 4
    assert refused("<Response><Dial>\n<Sip>a@b</Sip>\n<Sip>a@c</Sip></Dial></Response>", max_nouns=1).line == 3


def test_notices_are_bounded_and_the_last_says_so() -> None:
    document = give("<Response>" + "<X/>\n" * 500 + "</Response>", max_notices=3)
    assert len(document.notices) == 3
    assert "more mistakes" in document.notices[-1].message


def test_a_notice_does_not_grow_with_the_body() -> None:
    long = "x" * 10_000
    document = give(f"<Response><{long}/><Dial timeout='{long}' action='http://{long}/'>1?{long}</Dial></Response>")
    assert len(document.notices) == 4
    assert all(len(notice.message) < 300 for notice in document.notices)
    assert len(refused(f"<Response><{long}></{long}y></Response>").message) < 300


@pytest.mark.parametrize("name", ["utf8mb4", "ansi", "utf-8,utf-8", '"utf8mb4"', "'ansi'", "x-unknown"])
@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "text/html", "text/plain"])
def test_character_set_that_nobody_knows_is_passed_over_with_a_warning__rfc7303_3(kind: str, name: str) -> None:
    body = "Grüße" if kind == "text/plain" else "<Response><Say>Grüße</Say></Response>"
    document = give(body, f"{kind}; charset={name}")
    assert document.verbs == (Say(1, "Grüße"),)
    assert codes(document.notices) == [(12200, "warning", 1)]
    assert name.strip("\"'") in document.notices[0].message


def test_plain_text_whose_character_set_nobody_knows_is_what_everything_used_to_be() -> None:
    assert give("Grüße".encode("cp1252"), "text/plain; charset=ansi").verbs == (Say(1, "Grüße"),)
