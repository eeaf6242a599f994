"""Speech markup: what gets to the engine, and what does not (docs/rcml.md, Say)."""

from __future__ import annotations

import pytest

from rcml.verbs import Say
from tests.unit.rcml.reading import codes, give, give_verb


def said(inner: str, attributes: str = "") -> tuple[str, list[tuple[int, str, int]]]:
    verb, told = give_verb(f"<Say {attributes}>{inner}</Say>", Say)
    return verb.text, codes(told)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("a<break/>b", "<speak>a<break/>b</speak>"),
        ("a<break time='1.5s'/>b", '<speak>a<break time="1500ms"/>b</speak>'),
        ("a<break strength='X-Strong'/>b", '<speak>a<break strength="x-strong"/>b</speak>'),
        ("<emphasis level='strong'>now</emphasis>", '<speak><emphasis level="strong">now</emphasis></speak>'),
        (
            "<prosody rate='slow' pitch='+10%' volume='loud'>x</prosody>",
            '<speak><prosody rate="slow" pitch="+10%" volume="loud">x</prosody></speak>',
        ),
        ("<p>One</p><sentence>Two &lt;3 &amp; 4</sentence>", "<speak><p>One</p><s>Two &lt;3 &amp; 4</s></speak>"),
        ("<say-as interpret-as='characters'>abc</say-as>", '<speak><say-as interpret-as="characters">abc</say-as></speak>'),
    ],
)
def test_what_the_engine_can_do_gets_there__rcml_say(inner: str, text: str) -> None:
    assert said(inner) == (text, [])
    assert said(f"<speak>{inner}</speak>") == (text, [])


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<say-as interpret-as='digits'>40 75</say-as>", "4 0 7 5"),
        ("Call <say-as interpret-as='telephone'>+1-444-555 66</say-as>.", "Call + 1, 4 4 4, 5 5 5, 6 6 ."),
        ("The <say-as interpret-as='ordinal'>22</say-as> and <say-as interpret-as='ordinal'>111</say-as>", "The 22nd and 111th"),
        ("<say-as interpret-as='cardinal'>12</say-as>", "12"),
        ("<sub alias='World Wide Web'>WWW</sub>", "World Wide Web"),
        ("<speak>plain &amp; <w>simple</w></speak>", "plain & simple"),
    ],
)
def test_what_can_be_written_out_needs_no_engine__rcml_say(inner: str, text: str) -> None:
    assert said(inner) == (text, [])


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<audio src='/etc/passwd'>x</audio>", "x"),
        ("<phoneme ph='x'>tomato</phoneme>", "tomato"),
        ("<say-as interpret-as='date'>1.2.</say-as>", "1.2."),
        ("<say-as>1</say-as>", "1"),
        ("<break time='soon'/>x", "<speak><break/>x</speak>"),
        ("<break time='1h'/>x", "<speak><break/>x</speak>"),
        ("<break time='60s'/>x", '<speak><break time="10000ms"/>x</speak>'),
        ("<prosody rate='very'>x</prosody>", "<speak><prosody>x</prosody></speak>"),
        ("<emphasis level='&quot;/&gt;'>x</emphasis>", "<speak><emphasis>x</emphasis></speak>"),
    ],
)
def test_what_has_no_effect_is_told_with_its_line__rcml_say(inner: str, text: str) -> None:
    assert said(inner) == (text, [(12200, "warning", 2)])


def test_attributes_that_nobody_has_looked_at_never_get_to_the_engine__rcml_say() -> None:
    assert said("<prosody onload='x' rate='fast'>x</prosody>")[0] == '<speak><prosody rate="fast">x</prosody></speak>'


@pytest.mark.parametrize("quoted", ["<![CDATA[<speak>a<break/>b & c</speak>]]>", "&lt;speak&gt;a&lt;break/&gt;b &amp; c&lt;/speak&gt;"])
def test_markup_in_the_text_is_markup__rcml_say(quoted: str) -> None:
    assert said(quoted) == ("<speak>a<break/>b &amp; c</speak>", [])


@pytest.mark.parametrize(
    "quoted",
    [
        "<speak>a<break>b</speak>",
        "<speak>" + "<p>" * 200 + "</p>" * 200 + "</speak>",
        "<speak",
        "<speakers are here",
        "<speak>&xxe;<a></speak>",
    ],
)
def test_what_only_begins_like_markup_is_text__rcml_say(quoted: str) -> None:
    text, told = said(f"<![CDATA[{quoted}]]>")
    assert not text.startswith("<") and told == [(12200, "warning", 2)]


def test_a_plain_text_answer_gets_the_same_look__behaviour_1_7() -> None:
    (verb,) = give("<speak><audio src='/etc/passwd'/>x<break/></speak>", "text/plain").verbs
    assert isinstance(verb, Say) and verb.text == "<speak>x<break/></speak>"
    (verb,) = give("<speak broken", "text/plain").verbs
    assert isinstance(verb, Say) and not verb.text.startswith("<")
    (verb,) = give("1 < 2 & 3", "text/plain").verbs
    assert verb == Say(1, "1 < 2 & 3")


@pytest.mark.parametrize("inner", ["<break time='1s'/>", "<sub alias='x'/>", "<speak><break/></speak>"])
def test_a_pause_alone_is_something_to_say__rcml_say(inner: str) -> None:
    assert said(inner)[0]
