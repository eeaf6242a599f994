"""The nouns: headers, callbacks, credentials, rooms (behaviour 2.4, 2.6, 2.10)."""

from __future__ import annotations

from typing import Any

import pytest

from rcml.dialect import EVENTS
from rcml.verbs import Client, Conference, Dial, Number, Sip
from rcml.verbs.nouns import Beep
from tests.unit.rcml.reading import codes, give, give_verb


def noun(xml: str) -> Any:
    (found,) = give_verb(f"<Dial>{xml}</Dial>", Dial)[0].nouns
    return found


def notices(xml: str) -> list[tuple[int, str, int]]:
    return codes(give_verb(f"<Dial>{xml}</Dial>", Dial)[1])


# --- custom headers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("1?X-Custom-Header1=1234&amp;X-Custom-Header2=4321", (("X-Custom-Header1", "1234"), ("X-Custom-Header2", "4321"))),
        ("1?X-A=1&X-B=2", (("X-A", "1"), ("X-B", "2"))),
        ("1?X-A=1&amp;amp;X-B=2", (("X-A", "1"), ("X-B", "2"))),
        ("1?<![CDATA[X-A=1&amp;X-B=2]]>", (("X-A", "1"), ("X-B", "2"))),
        ("1?mycustomheader=foo&x-lower=1", (("X-mycustomheader", "foo"), ("x-lower", "1"))),
        ("1?X-A=a%20b%3Dc%2B1", (("X-A", "a b=c+1"),)),
        ("1?X-A=+4930", (("X-A", "+4930"),)),
        ("1?X-A=b=c&X-A=d", (("X-A", "b=c"), ("X-A", "d"))),
        ("1?\n  X-A=1&\n  X-B=2\n", (("X-A", "1"), ("X-B", "2"))),
        ("1?X-A=", (("X-A", ""),)),
        ("1?X-A=%C3%A4", (("X-A", "ä"),)),
        ("1?", ()),
        ("1?&&", ()),
    ],
)
def test_headers_follow_a_question_mark__behaviour_2_4(text: str, headers: tuple[tuple[str, str], ...]) -> None:
    assert noun(f"<Number>{text}</Number>").headers == headers
    assert noun(f"<Client>a{text}</Client>").headers == headers
    assert noun(f"<Sip>a@b{text}</Sip>").headers == headers
    assert noun(f"<Sip>a@b{text}</Sip>").uri == "sip:a@b1"


@pytest.mark.parametrize(
    "pair",
    [
        *("X-RestComm-CallSid=x", "x-restcomm-callsid=x", "RestComm-CallSid=x", "RESTCOMM-AccountSid=x", "X-RestComm-=x"),
        *(
            "X%2DRestComm%2DCallSid=x",
            "%58-RestComm-CallSid=x",
            "%52estComm-ApiVersion=x",
            "X-RestComm-Anything=x",
            " X-RestComm-CallSid =x",
        ),
        *("X-Dialplane-Loop=x", "dialplane-loop=x"),
    ],
)
def test_headers_that_we_write_are_not_for_documents__behaviour_1_1(pair: str) -> None:
    for name in ("Number", "Client", "Sip"):
        assert noun(f"<{name}>1?{pair}&X-B=2</{name}>").headers == (("X-B", "2"),)
        assert notices(f"<{name}>1?{pair}&X-B=2</{name}>") == [(12200, "warning", 2)]


@pytest.mark.parametrize(
    "name", ["Via", "v", "From", "f", "To", "Route", "ROUTE", "Record-Route", "Contact", "m", "Call-ID", "%56ia", "CSeq"]
)
def test_no_header_of_a_document_is_one_of_the_protocol__behaviour_2_4(name: str) -> None:
    (header,) = noun(f"<Sip>sip:a@b?{name}=x</Sip>").headers
    assert header[0].startswith("X-")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("\u202a+12025550177\u202c", "+12025550177"),
        ("+1\u2011202\u2011555\u20110177", "+12025550177"),
        ("+12025550177\u200b", "+12025550177"),
        ("\uff0b12025550177", "+12025550177"),
        ("+1202\u200b?X-A=1", "+1202"),
    ],
)
def test_invisible_characters_of_a_number_are_not_dialled__behaviour_2_4(text: str, number: str) -> None:
    assert noun(f"<Number>{text}</Number>").text == number
    assert notices(f"<Number>{text}</Number>") == []
    assert noun(text).text == number  # the text of the Dial itself


def test_characters_that_no_number_has_are_named_by_their_code__behaviour_2_4() -> None:
    assert noun("<Number>030/12\u260e</Number>").text == "030/12\u260e"
    (notice,) = give_verb("<Dial><Number>030/12\u260e</Number></Dial>", Dial)[1]
    assert (notice.code, notice.level) == (12200, "warning")
    assert "U+002F, U+260E" in notice.message


def test_invisible_characters_of_a_sip_uri_and_around_a_name_are_left_out() -> None:
    assert noun("<Sip>\u202asip:alice@\u200bpbx.example.com\u202c</Sip>").uri == "sip:alice@pbx.example.com"
    assert noun("<Client>\u200bclient:\u200balice\ufeff</Client>").name == "alice"
    assert noun("<Number sendDigits='\uff11\uff12\u200b#'>1</Number>").send_digits == "12#"
    assert notices("<Number sendDigits='\uff11\uff12\u200b#'>1</Number>") == []


@pytest.mark.parametrize("pair", ["novalue", "=1", "X-A%3A=1", "X A=1", "X-A=a%0d%0aVia:%20evil", "X-A=%00", "X-A=%E2%80%A8b", "X-%0a=1"])
def test_what_is_no_header_or_would_forge_one_is_dropped__behaviour_2_4(pair: str) -> None:
    assert noun(f"<Number>1?{pair}&X-B=2</Number>").headers == (("X-B", "2"),)
    assert notices(f"<Number>1?{pair}&X-B=2</Number>") == [(12200, "warning", 2)]


def test_headers_past_1024_characters_are_dropped__behaviour_2_4() -> None:
    text = f"1?X-A={'a' * 1000}&X-B={'b' * 18}&X-C=c"
    assert [name for name, _ in noun(f"<Number>{text}</Number>").headers] == ["X-A", "X-B"]
    assert notices(f"<Number>{text}</Number>") == [(12200, "warning", 2)]


# --- what they have in common -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), [("Number", "1"), ("Client", "bob"), ("Sip", "a@b"), ("Uri", "a@b")])
def test_common_attributes__behaviour_2_4(name: str, text: str) -> None:
    plain = noun(f"<{name}>{text}</{name}>")
    assert (plain.url, plain.method, plain.screening_timeout_s) == (None, "POST", 60)
    assert (plain.status_callback, plain.status_callback_method, plain.status_callback_events) == (None, "POST", EVENTS)
    full = noun(f"<{name} url='/s' method='get' timeout='5' statusCallback='cb' statusCallbackMethod='Get'>{text}</{name}>")
    assert (full.url, full.method, full.screening_timeout_s) == ("http://app.example.com/s", "GET", 5)
    assert (full.status_callback, full.status_callback_method) == ("http://app.example.com/calls/cb", "GET")


@pytest.mark.parametrize(
    ("value", "events"),
    [
        ("initiated,ringing,answered,completed", EVENTS),
        ("completed initiated", ("initiated", "completed")),
        (" ringing ,\n completed ", ("ringing", "completed")),
        ("answered,sneezed", ("answered",)),
        ("sneezed", EVENTS),
        ("", EVENTS),
    ],
)
def test_events_are_divided_by_commas_or_white_space__behaviour_2_6(value: str, events: tuple[str, ...]) -> None:
    assert noun(f"<Number statusCallbackEvent='{value}'>1</Number>").status_callback_events == events


def test_bad_common_attributes_fall_back_with_a_notice__behaviour_2_4() -> None:
    xml = "<Number url='a b' method='PUT' statusCallback=':x' statusCallbackMethod='x' timeout='0'>1</Number>"
    assert noun(xml) == Number(2, "1")
    assert notices(xml) == [
        (11100, "warning", 2),
        (13210, "warning", 2),
        (11100, "warning", 2),
        (13210, "warning", 2),
        (13212, "warning", 2),
    ]


# --- each of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "keys", "told"), [("wwww1234", "wwww1234", 0), ("12#*ABCDW", "12#*ABCDW", 0), ("1-2 x", "12", 1), ("-", None, 1)]
)
def test_send_digits__behaviour_2_4(value: str, keys: str | None, told: int) -> None:
    xml = f"<Number sendDigits='{value}'>1</Number>"
    assert (noun(xml).send_digits, len(notices(xml))) == (keys, told)


def test_a_client_may_be_named_by_attribute__behaviour_2_4() -> None:
    assert noun("<Client name='bob'/>") == Client(2, "bob")
    assert noun("<Client name='bob'>alice</Client>") == Client(2, "alice")


def test_a_sip_uri_may_stand_on_several_lines__behaviour_2_1() -> None:
    found = noun("<Sip>\n  sip:alice@example.com;\n    transport=tcp\n    ?mycustomheader=tata&myotherheader=toto\n</Sip>")
    assert found.uri == "sip:alice@example.com;transport=tcp"
    assert found.headers == (("X-mycustomheader", "tata"), ("X-myotherheader", "toto"))


def test_credentials_are_kept_and_not_shown__behaviour_2_4() -> None:
    found = noun("<Sip username='u' password='geheim'>a@b</Sip>")
    assert (found.username, found.password) == ("u", "geheim")
    assert "geheim" not in repr(found)


@pytest.mark.parametrize("uri", ["a b@c", "sip:", "sip:a@", "a@b@c"])
def test_a_uri_that_cannot_be_called_is_kept_for_its_branch_to_fail__behaviour_3_1(uri: str) -> None:
    assert isinstance(noun(f"<Sip>{uri}</Sip>"), Sip)
    assert notices(f"<Sip>{uri}</Sip>") == [(11100, "warning", 2)]


def test_a_uri_past_255_characters_is_kept_for_its_branch_to_fail__behaviour_2_4_3_1() -> None:
    assert noun(f"<Sip>a@{'b' * 249}</Sip>").uri == f"sip:a@{'b' * 249}"
    assert isinstance(noun(f"<Sip>a@{'b' * 250}</Sip>"), Sip)
    assert notices(f"<Sip>a@{'b' * 250}</Sip>") == [(11100, "error", 2)]


def test_a_room_has_the_documented_defaults__behaviour_2_10() -> None:
    assert noun("<Conference> blue room </Conference>") == Conference(
        2,
        "blue room",
        muted=False,
        beep=Beep.BOTH,
        beep_url=None,
        start_conference_on_enter=True,
        end_conference_on_exit=False,
        wait_url=None,
        wait_method="POST",
        max_participants=40,
        record=False,
        status_callback=None,
        status_callback_method="POST",
        status_callback_events=("start", "end", "join", "leave", "mute", "hold", "modify", "announcement"),
        label=None,
    )


def test_every_attribute_of_a_room__behaviour_2_10() -> None:
    xml = (
        "<Conference muted='true' beep='false' beepUrl='/b.wav' startConferenceOnEnter='false' endConferenceOnExit='true' waitUrl='/w'"
        " waitMethod='get' maxParticipants='3'>blue</Conference>"
    )
    assert noun(xml) == Conference(
        2,
        "blue",
        muted=True,
        beep=Beep.NEITHER,
        beep_url="http://app.example.com/b.wav",
        start_conference_on_enter=False,
        end_conference_on_exit=True,
        wait_url="http://app.example.com/w",
        wait_method="GET",
        max_participants=3,
    )
    assert notices(xml) == []


def test_the_other_familys_attributes_of_a_room__rcml_md() -> None:
    xml = (
        "<Conference beep='onEnter' record='record-from-start' statusCallback='/s' statusCallbackMethod='get'"
        " statusCallbackEvent='leave start' participantLabel='agent'>blue</Conference>"
    )
    assert noun(xml) == Conference(
        2,
        "blue",
        beep=Beep.ON_ENTER,
        record=True,
        status_callback="http://app.example.com/s",
        status_callback_method="GET",
        status_callback_events=("start", "leave"),
        label="agent",
    )
    assert notices(xml) == []
    assert noun("<Conference beep='onExit' record='do-not-record'>blue</Conference>") == Conference(2, "blue", beep=Beep.ON_EXIT)


@pytest.mark.parametrize("attribute", ["coach", "trim", "region", "jitterBufferSize", "eventCallbackUrl", "recordingStatusCallback"])
def test_what_a_room_does_not_carry_out_is_said__rcml_md(attribute: str) -> None:
    assert notices(f"<Conference {attribute}='x'>blue</Conference>") == [(12200, "warning", 2)]


def test_a_rooms_name_has_a_limit__rcml_md() -> None:
    assert noun(f"<Conference>{'x' * 255}</Conference>") == Conference(2, "x" * 255)
    document = give(f"<Response><Dial><Conference>{'x' * 256}</Conference></Dial></Response>")
    assert codes(document.notices)[0] == (12200, "error", 1)


def test_an_empty_wait_url_is_silence__behaviour_2_10() -> None:
    assert noun("<Conference waitUrl=''>blue</Conference>").wait_url == ""


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("waitMethod='PUT'", 13234),
        ("waitUrl='a b'", 11100),
        ("maxParticipants='0'", 12200),
        ("maxParticipants='41'", 12200),
        ("muted='x'", 12200),
        ("beep='sometimes'", 12200),
        ("record='now'", 12200),
    ],
)
def test_bad_attributes_of_a_room_fall_back__behaviour_2_10(attribute: str, code: int) -> None:
    assert noun(f"<Conference {attribute}>blue</Conference>") == Conference(2, "blue")
    assert notices(f"<Conference {attribute}>blue</Conference>") == [(code, "warning", 2)]
