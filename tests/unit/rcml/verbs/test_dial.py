"""Dial: its attributes and whom it means (behaviour 2.1 to 2.4, 2.11; docs/rcml.md)."""

from __future__ import annotations

import pytest

from rcml.verbs import Client, Conference, Dial, Noun, Number, Sip
from rcml.verbs.dial_extras import DialRecord
from tests.unit.rcml.reading import codes, give_verb


def dial(attributes: str = "", content: str = "123") -> Dial:
    return give_verb(f"<Dial {attributes}>{content}</Dial>", Dial)[0]


def notices(attributes: str = "", content: str = "123") -> list[tuple[int, str, int]]:
    return codes(give_verb(f"<Dial {attributes}>{content}</Dial>", Dial)[1])


def nouns(content: str) -> tuple[Noun, ...]:
    return dial(content=content).nouns


# --- attributes ---------------------------------------------------------------------------------------------------


def test_a_dial_without_attributes_has_the_defaults_of_the_reference_page() -> None:
    assert dial() == Dial(
        line=2,
        action=None,
        method="POST",
        timeout_s=30,
        time_limit_s=14_400,
        caller_id=None,
        record=None,
        dial_music=None,
        dial_music_disabled=False,
        answer_on_bridge=None,
        nouns=(Number(2, "123"),),
        action_invalid=False,
    )


def test_every_attribute_is_read__behaviour_2_2() -> None:
    verb, told = give_verb(
        '<Dial action="next?a=1&amp;b=2" method="get" timeout=" 10 " timeLimit="99999999" callerId=" client:thomas " record="TRUE"'
        ' dialMusic="/m.wav" answerOnBridge="false">1</Dial>',
        Dial,
    )
    assert told == ()
    assert (verb.action, verb.method) == ("http://app.example.com/calls/next?a=1&b=2", "GET")
    assert (verb.timeout_s, verb.time_limit_s) == (10, 99_999_999)
    assert (verb.caller_id, verb.record, verb.answer_on_bridge) == ("client:thomas", DialRecord(), False)
    assert (verb.dial_music, verb.dial_music_disabled) == ("http://app.example.com/m.wav", False)


@pytest.mark.parametrize("name", ["timeLimit", "timelimit"])
def test_the_time_limit_has_two_spellings__behaviour_10_16(name: str) -> None:
    assert (dial(f'{name}="60"').time_limit_s, notices(f'{name}="60"')) == (60, [])


@pytest.mark.parametrize("value", ["abc", "0", "-5", "1.5", "30s", "1e3", "٣", "9" * 5000])
def test_a_bad_timeout_is_30_and_13212__behaviour_2_2(value: str) -> None:
    assert (dial(f'timeout="{value}"').timeout_s, notices(f'timeout="{value}"')) == (30, [(13212, "warning", 2)])


@pytest.mark.parametrize("value", ["x", "0", "-1"])
@pytest.mark.parametrize("name", ["timeLimit", "timelimit"])
def test_a_bad_time_limit_is_14400_and_13216__behaviour_2_2(name: str, value: str) -> None:
    assert (dial(f'{name}="{value}"').time_limit_s, notices(f'{name}="{value}"')) == (14_400, [(13216, "warning", 2)])


def test_a_bad_method_is_post_and_13210__behaviour_2_2() -> None:
    assert (dial('method="PUT"').method, notices('method="PUT"')) == ("POST", [(13210, "warning", 2)])


@pytest.mark.parametrize("value", ["not a url", "http://", "mailto:a@b"])
def test_an_action_that_is_no_url_is_11100_and_the_dial_runs__behaviour_0_11(value: str) -> None:
    verb = dial(f'action="{value}"')
    assert (verb.action, verb.action_invalid, len(verb.nouns)) == (None, True, 1)
    assert notices(f'action="{value}"') == [(11100, "error", 2)]


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_action_is_none_at_all__behaviour_2_2(value: str) -> None:
    assert (dial(f'action="{value}"').action, dial(f'action="{value}"').action_invalid, notices(f'action="{value}"')) == (None, False, [])


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("1-444-555-6666", "14445556666"),
        ("+1 444 555", "+1444555"),
        ("+1 (202) 555-0100", "+12025550100"),
        ("(202) 555.0100", "2025550100"),
        ("\u202a+1\u2011202\u20115550100\u202c", "+12025550100"),
        ("\uff0b\uff11\uff12\uff10\uff12", "+1202"),
        ("+1\u00a0202\u2009555", "+1202555"),
        ("*31# 202-555", "*31#202555"),
        ("tel:+1-202-555-0100", "+12025550100"),
        ("+1-202-555-0100@carrier.example", "+12025550100@carrier.example"),
        ("sip:+1(202)5550100@carrier.example:5070", "sip:+12025550100@carrier.example:5070"),
        ("sips:bob@example.com", "sips:bob@example.com"),
        ("bob-1.x@example.com", "bob-1.x@example.com"),
        ("1-800-FLOWERS", "1-800-FLOWERS"),
        ("anonymous", "anonymous"),
        ("client:bob-2", "client:bob-2"),
        ("Client:bob", "client:bob"),
        ("client: bob", "client:bob"),
        ("client:+1-202", "client:+1-202"),
        ("\u200bbob", "bob"),
        ("bob@example.com", "bob@example.com"),
        ("client:bob", "client:bob"),
        ("", None),
    ],
)
def test_a_caller_id_is_a_number_without_separators_or_a_name_as_written__behaviour_2_3(value: str, taken: str | None) -> None:
    assert (dial(f'callerId="{value}"').caller_id, notices(f'callerId="{value}"')) == (taken, [])


@pytest.mark.parametrize(
    "value",
    [
        *("bob&#10;Evil: 1", "Bob &lt;sip:b@c&gt;", "two words", "&#x80;"),
        *(
            "client:",
            "client: ",
            "CLIENT:",
            "client:\u200b",
            "sip:",
            "sip:@example.com",
            "@example.com",
            "bob@",
            "tel:",
            "-",
            "+",
            "( )",
            "\u200b",
        ),
    ],
)
def test_a_caller_id_that_cannot_stand_in_a_from_is_13214__behaviour_2_2(value: str) -> None:
    assert (dial(f'callerId="{value}"').caller_id, notices(f'callerId="{value}"')) == (None, [(13214, "warning", 2)])


@pytest.mark.parametrize(("value", "taken"), [("True", True), ("false", False), ("yes", False), ("1", False)])
def test_only_true_records__behaviour_2_2(value: str, taken: bool) -> None:
    assert (dial(f'record="{value}"').record is not None) is taken


@pytest.mark.parametrize("value", ["disabled", "Disabled", "DISABLED"])
def test_dial_music_can_be_disabled__reference_page(value: str) -> None:
    verb = dial(f'dialMusic="{value}"')
    assert (verb.dial_music, verb.dial_music_disabled) == (None, True)


def test_dial_music_that_is_no_url_is_11100_and_none__behaviour_10_2() -> None:
    assert (dial('dialMusic="a b"').dial_music, notices('dialMusic="a b"')) == (None, [(11100, "warning", 2)])


@pytest.mark.parametrize(("value", "taken"), [("true", True), ("FALSE", False), ("perhaps", None)])
def test_answer_on_bridge_overrides_or_leaves_it_to_the_setting__behaviour_0_2(value: str, taken: bool | None) -> None:
    assert dial(f'answerOnBridge="{value}"').answer_on_bridge is taken


def test_unknown_attributes_and_a_wrong_case_are_pointed_at__behaviour_2_2() -> None:
    assert notices('hangUpOnMoon="true"') == [(12200, "warning", 2)]
    assert notices('xmlns:x="urn:x" x:y="true"') == []
    assert notices('callerid="1"') == [(12200, "warning", 2)]


# --- whom: text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "noun"),
    [
        ("1-444-555-6666", Number(2, "14445556666")),
        (" +1 (444) 555.6666 ", Number(2, "+14445556666")),
        ("*97#", Number(2, "*97#")),
        ("clientalice", Number(2, "clientalice")),  # only the prefix makes a client (2.11)
        ("client:alice", Client(2, "alice")),
        ("Client:alice?X-A=1", Client(2, "alice", headers=(("X-A", "1"),))),
        ("alice@example.com", Sip(2, "sip:alice@example.com")),
        ("sip:example.com", Sip(2, "sip:example.com")),
        ("SIPS:alice@example.com;transport=tcp", Sip(2, "SIPS:alice@example.com;transport=tcp")),
        ("555?X-From=a@b", Number(2, "555", headers=(("X-From", "a@b"),))),
    ],
)
def test_text_is_a_number_a_client_or_a_uri__behaviour_2_1(content: str, noun: Noun) -> None:
    assert nouns(content) == (noun,)


@pytest.mark.parametrize(
    "content", ["", " \n ", "<!-- nobody -->", "<Number/>", "<Client> </Client>", "<Sip></Sip>", "<Number>(-)</Number>", "?X-A=1"]
)
def test_nobody_to_dial_leaves_no_nouns__behaviour_2_1(content: str) -> None:
    assert nouns(content) == ()


def test_text_beside_elements_wins_with_a_warning__behaviour_2_1() -> None:
    assert nouns("<Number>1</Number> 222 <Number>3</Number>") == (Number(2, "222"),)
    assert notices("", "222<Number>1</Number>") == [(12200, "warning", 2)]


# --- whom: nouns --------------------------------------------------------------------------------------------------


def test_nouns_keep_their_order_and_their_lines__behaviour_2_1() -> None:
    content = "\n<Number>1</Number>\n<Client>bob</Client>\n<Sip>a@b</Sip>\n<Uri>sip:c@d</Uri>\n<Number>1</Number>"
    assert nouns(content) == (Number(3, "1"), Client(4, "bob"), Sip(5, "sip:a@b"), Sip(6, "sip:c@d"), Number(7, "1"))


def test_no_guessing_across_nouns__behaviour_2_11() -> None:
    assert nouns("<Number>client:alice</Number>") == (Number(2, "client:alice"),)


def test_an_empty_noun_is_ignored_and_named__behaviour_2_1() -> None:
    assert nouns("<Number/><Client>bob</Client>") == (Client(2, "bob"),)
    assert notices("", "\n<Number/><Client>bob</Client>") == [(12200, "warning", 3)]


def test_unknown_children_are_ignored__behaviour_2_1() -> None:
    assert nouns("<Video>x</Video><Number>1</Number>") == (Number(2, "1"),)


def test_a_conference_wins_and_only_the_first__behaviour_2_1() -> None:
    content = "<Number>1</Number><Conference>blue</Conference><Conference>red</Conference>"
    assert nouns(content) == (Conference(2, "blue"),)
    assert notices("", content) == [(12200, "warning", 2)]


def test_an_empty_conference_does_not_win__behaviour_2_1() -> None:
    assert nouns("<Conference/><Number>1</Number>") == (Number(2, "1"),)


def test_recording_and_music_have_no_effect_on_a_conference__behaviour_2_10_10_2() -> None:
    verb = dial('record="true" dialMusic="/m.wav"', "<Conference>blue</Conference>")
    assert (verb.record, verb.dial_music) == (None, None)
    assert notices('record="true" dialMusic="/m.wav"', "<Conference>blue</Conference>") == [(12200, "warning", 2)] * 2
