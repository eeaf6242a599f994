"""A caller who asked for privacy, in whatever way, is not shown to the callee; the application is told what was received."""

from __future__ import annotations

import pytest

from server.calls.identity import Privacy, asserted_by, privacy_of
from server.calls.policy import Application
from server.calls.targets import Outbound
from sip.core import commands
from sip.message import Headers
from tests.unit.server.calls.bench import ACTION, VOICE, Bench, dial

ALICE = "<Sip>sip:alice@192.0.2.8</Sip>"
NUMBER = "<Number>+15551234</Number>"
CALLER = '"Bob Smith" <sip:+12025550199@carrier.example>;tag=1'
TRUSTED = Outbound("carrier", ("sip:gw.example.com",), trusted_identity=True)
ASSERTED = ("P-Asserted-Identity", '"Bob" <sip:+12025550100@carrier.example>, <tel:+12025550100>')
ANONYMOUS = ("sip:anonymous@anonymous.invalid", "Anonymous")


def invite(
    *headers: tuple[str, str],
    noun: str = ALICE,
    attributes: str = "",
    outbound: Outbound = TRUSTED,
    caller: str = CALLER,
    trusted: bool = False,
) -> commands.SendInvite:
    bench = Bench(
        dial(noun, attributes),
        invite_headers=headers,
        outbound=outbound,
        caller=caller,
        application=Application("2222", VOICE, trusted_identity=trusted),
    )
    (sent,) = bench.of(commands.SendInvite)
    return sent


def identity(sent: commands.SendInvite) -> dict[str, str]:
    names = ("Privacy", "P-Asserted-Identity", "Remote-Party-ID")
    return {name: value for name, value in sent.headers if name in names}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (("Privacy", "id"), "id"),
        (("Privacy", "user"), "user"),
        (("Privacy", "header"), "header"),
        (("Privacy", "full"), "full"),
        (("Privacy", "user;id;critical"), "user;id;critical"),
        (("Privacy", "ID , User"), "id;user"),
        (("Remote-Party-ID", '"Bob" <sip:+12025550199@x>;party=calling;privacy=full;screen=yes'), "id"),
        (("Remote-Party-ID", "<sip:+12025550199@x>;privacy=uri"), "id"),
        (("Remote-Party-ID", "<sip:broken;privacy=FULL"), "id"),
    ],
)
@pytest.mark.parametrize("noun", [ALICE, NUMBER])
def test_a_withheld_number_is_not_shown__rfc3323_4_1_rfc3325_7(header: tuple[str, str], told: str, noun: str) -> None:
    sent = invite(header, ASSERTED, noun=noun, outbound=Outbound("carrier", ("sip:gw.example.com",)))
    assert (sent.from_uri, sent.from_display) == ANONYMOUS
    assert identity(sent) == {"Privacy": told}
    assert "2025550" not in repr(sent) and "Bob" not in repr(sent)


@pytest.mark.parametrize(
    "header",
    [
        ("Privacy", "none"),
        ("Privacy", "session"),
        ("Remote-Party-ID", "<sip:+12025550199@x>;privacy=off"),
        ("Remote-Party-ID", "<sip:2222@x>;party=called;privacy=full"),
    ],
)
def test_who_does_not_ask_for_it_is_shown(header: tuple[str, str]) -> None:
    sent = invite(header)
    assert (sent.from_uri, sent.from_display) == ("sip:+12025550199@server.example.com", "Bob Smith")


def test_a_withheld_name_leaves_the_number() -> None:
    sent = invite(("Remote-Party-ID", '"Bob" <sip:+12025550199@x>;privacy=name'))
    assert (sent.from_uri, sent.from_display) == ("sip:+12025550199@server.example.com", None)


def test_none_forbids_to_withhold__rfc3323_4_2() -> None:
    assert privacy_of(Headers([("Privacy", "none"), ("Remote-Party-ID", "<sip:a@b>;privacy=full")])) == Privacy()


def test_an_anonymous_from_is_passed_on_as_such__rfc3323_4_1_1_3() -> None:
    sent = invite(caller='"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1', noun=NUMBER)
    assert (sent.from_uri, sent.from_display) == ANONYMOUS and identity(sent) == {}, "nothing is known that could be asserted"


def test_a_caller_id_of_the_document_is_shown__rfc3325_7() -> None:
    sent = invite(("Privacy", "id"), attributes='callerId="+15550001"')
    assert sent.from_uri == "sip:+15550001@server.example.com" and identity(sent) == {}


# --- trusted trunks ------------------------------------------------------------------------------------------------


def test_a_trusted_trunk_is_told_who_calls_and_that_it_is_withheld__rfc3325_7() -> None:
    sent = invite(("Privacy", "id"), noun=NUMBER)
    assert (sent.from_uri, sent.from_display) == ANONYMOUS
    assert identity(sent) == {"P-Asserted-Identity": "<sip:+12025550199@gw.example.com>", "Privacy": "id"}


def test_what_a_trusted_trunk_asserts_goes_to_a_trusted_one__rfc3325_9_1() -> None:
    sent = invite(("Privacy", "id"), ASSERTED, noun=NUMBER, caller="<sip:anonymous@anonymous.invalid>;tag=1", trusted=True)
    assert identity(sent) == {"P-Asserted-Identity": "<sip:+12025550100@carrier.example>", "Privacy": "id"}


def test_what_others_assert_is_not_believed__rfc3325_5() -> None:
    sent = invite(ASSERTED, noun=NUMBER)
    assert identity(sent) == {"P-Asserted-Identity": "<sip:+12025550199@gw.example.com>"}


def test_a_sip_noun_is_no_trusted_trunk() -> None:
    assert identity(invite(("Privacy", "id"), ASSERTED, noun=ALICE, trusted=True)) == {"Privacy": "id"}


def test_a_caller_id_of_the_document_is_asserted_to_a_trusted_trunk() -> None:
    sent = invite(("Privacy", "id"), ASSERTED, noun=NUMBER, attributes='callerId="+15550001"', trusted=True)
    assert identity(sent) == {"P-Asserted-Identity": "<sip:+15550001@gw.example.com>"}


def test_a_header_that_the_trunk_sets_itself_is_not_sent_twice() -> None:
    own = Outbound("carrier", ("sip:gw.example.com",), trusted_identity=True, headers=(("p-asserted-identity", "<sip:main@us.example>"),))
    sent = invite(noun=NUMBER, outbound=own)
    assert [value for name, value in sent.headers if name.lower() == "p-asserted-identity"] == ["<sip:main@us.example>"]


@pytest.mark.parametrize(
    ("value", "uri"),
    [("<sip:a@b>", "sip:a@b"), ("tel:+1555", "tel:+1555"), ("nonsense", ""), ("<http://x/>, <sip:c@d>", "sip:c@d"), ("", "")],
)
def test_what_cannot_be_read_asserts_nobody(value: str, uri: str) -> None:
    assert asserted_by(Headers([("P-Asserted-Identity", value)])) == uri


# --- the application -----------------------------------------------------------------------------------------------


def test_the_application_is_told_the_number_and_no_name() -> None:
    noun = '<Sip statusCallback="http://app/leg">sip:alice@192.0.2.8</Sip>'
    bench = Bench(dial(noun, f'action="{ACTION}"'), invite_headers=(("Privacy", "id"),), caller=CALLER)
    bench.progress(0)
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    bench.run(0.5)
    for purpose in ("voice", "leg-status", "action"):
        for told in bench.web.of(purpose):
            assert told["From"] == "+12025550199" and "CallerName" not in told
            assert not [name for name in told if "Stir" in name or "Privacy" in name]


def test_a_leg_that_calls_for_itself_later_keeps_what_was_asked_for() -> None:
    bench = Bench(dial(ALICE), invite_headers=(("Privacy", "id"),), caller=CALLER)
    bench.answer(0)
    bench.web.pages["http://app/other"] = dial("<Sip>sip:carol@192.0.2.9</Sip>", "")
    bench.act(bench.registry.redirect(bench.leg(0), Application("x", "http://app/other"), bench.now))
    bench.run(0.5)
    assert bench.of(commands.SendInvite)[-1].from_uri == ANONYMOUS[0]
