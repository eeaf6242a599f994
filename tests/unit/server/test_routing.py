"""Who may call in, which number answers, and what is said when none does (behaviour.md 1.2, 1.4, 1.5)."""

from __future__ import annotations

from typing import Any

import pytest

from config.settings import Settings
from server.calls.policy import Application, Refusal
from server.routing import Routing

URL = "https://app.example.com/"


def routing(*numbers: str, regexes: tuple[str, ...] = (), **sections: Any) -> Routing:
    tables: list[dict[str, Any]] = [{"number": number, "voice_url": URL + str(i)} for i, number in enumerate(numbers)]
    tables += [{"number": pattern, "regex": True, "voice_url": URL + "r"} for pattern in regexes]
    return Routing(Settings.model_validate({"numbers": tables, **sections}))


def found(table: Routing, dialled: str) -> str | None:
    number, _ = table.find_number(dialled)
    return number.number if number is not None else None


# --- numbers


@pytest.mark.parametrize(
    ("stored", "dialled"),
    [
        ("1234", "1234"),  # as it is
        ("alice", "alice"),
        ("+12223334455", "12223334455"),  # 11 digits of the home region
        ("+12223334455", "1-222-333-4455"),
        ("+12223334455", "+1 (222) 333.4455"),
        ("+442071838750", "011442071838750"),
        ("12223334455", "+12223334455"),
        ("+4930123456", "4930123456"),  # the plus alone, any country
        ("4930123456", "+4930123456"),
        ("*77", "*77"),
        ("#31", "%2331"),  # behaviour 0.14
        ("+12223334455", "%2B12223334455"),
        ("+12223334455", "+12223334455;npdi=yes"),  # RFC 3261 19.1.6
    ],
)
def test_number_is_found_in_any_form__behaviour_1_4(stored: str, dialled: str) -> None:
    assert found(routing(stored), dialled) == stored


@pytest.mark.parametrize(
    ("stored", "dialled"),
    [
        ("+12349876543", "2349876543"),  # TestDialVerbPartTwo.testDialNumberNoCountryAccessCode
        ("+12223334455", "2223334455#"),
        ("+12223334455", "222333445"),
        ("1234", "12345"),
        ("1234", ""),
    ],
)
def test_number_is_not_guessed__behaviour_1_4(stored: str, dialled: str) -> None:
    assert found(routing(stored), dialled) is None


def test_ten_digits_get_the_country_code_that_is_set() -> None:
    assert found(routing("+12349876543", server={"country_code": "1"}), "2349876543") == "+12349876543"


def test_exact_text_comes_before_its_other_forms__behaviour_1_4() -> None:
    table = routing("+12223334455", "12223334455")
    assert found(table, "12223334455") == "12223334455"
    assert found(table, "+12223334455") == "+12223334455"


def test_literal_comes_before_regex_before_star__behaviour_1_4() -> None:
    table = routing("*", "7711", regexes=("77..",))
    assert found(table, "7711") == "7711"
    assert found(table, "7722") == "77.."
    assert found(table, "88") == "*"


def test_longest_pattern_is_tried_first__behaviour_1_4() -> None:
    assert found(routing(regexes=("77", "77[0-9]+", "77.")), "7712") == "77[0-9]+"


def test_pattern_is_searched_not_anchored__behaviour_1_4() -> None:
    assert found(routing(regexes=("77...33#$",)), "*9977123" + "33#") == "77...33#$"


def test_pattern_applies_to_dialable_text_only__behaviour_1_4() -> None:
    table = routing(regexes=(".*",))
    assert found(table, "12*#+") == ".*"
    assert found(table, "alice") is None


def test_java_pattern_that_repeats_the_anchor_is_understood__behaviour_1_4() -> None:
    assert found(routing(regexes=("^*77...33#$",)), "5577123" + "33#") == "^*77...33#$"


def test_bad_pattern_never_breaks_routing__behaviour_1_4() -> None:
    table = routing("*", regexes=("[0-9", "*1", "7."))
    assert found(table, "71") == "7."
    assert found(table, "81") == "*"
    assert {bad.pattern for bad in table.bad_patterns} == {"[0-9", "*1"}


@pytest.mark.parametrize(
    ("to", "request_uri", "number", "used"),
    [
        ("1234", "5678", "1234", ""),  # both are numbers: To's wins
        ("771", "5678", "77.", ""),  # a pattern is as good as a literal
        ("99", "5678", "5678", "5678"),  # To finds nothing but the catch-all, the Request-URI does
        ("99", "772", "77.", "772"),
        ("99", "98", "*", ""),  # neither: the catch-all, told To's text
        ("99", "", "*", ""),
    ],
)
def test_a_number_of_to_wins_else_one_of_the_request_uri_else_the_catch_all(to: str, request_uri: str, number: str, used: str) -> None:
    application = routing("1234", "5678", "*", regexes=("77.",), **TRUNKS).admit("198.51.100.7", to, request_uri)
    assert isinstance(application, Application)
    assert (application.number, application.dialled) == (number, used)


def test_a_refusal_names_both_texts_that_were_looked_up() -> None:
    refusal = routing("1234", **TRUNKS).admit("198.51.100.7", "99", "98")
    assert isinstance(refusal, Refusal)
    assert "99" in refusal.explain
    assert 'the Request-URI\'s "98"' in refusal.explain


def test_unmatched_says_what_was_tried_and_what_would_help() -> None:
    table = routing("1234", regexes=("[",))
    said = str(table.unmatched("12223334455"))
    assert "12223334455 or +12223334455" in said
    assert 'number = "12223334455"' in said
    assert "[ (" in said


# --- callers


TRUNKS: dict[str, Any] = {
    "trunks": [
        {"name": "wide", "allow": ["198.51.0.0/16", "2001:db8::/32"]},
        {"name": "narrow", "allow": ["198.51.100.7/32"], "proxy": "sip:gw.example.com"},
        {"name": "second", "proxy": "sip:other.example.com"},
    ]
}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("198.51.1.1", "wide"),
        ("198.51.100.7", "narrow"),  # the most specific range
        ("::ffff:198.51.100.7", "narrow"),  # as a dual-stack socket says it
        ("2001:db8::5", "wide"),
        ("192.0.2.1", None),
        ("fe80::1%eth0", None),
        ("nonsense", None),
    ],
)
def test_trunk_of_a_source(source: str, name: str | None) -> None:
    trunk = routing(**TRUNKS).trunk_for(source)
    assert (trunk.name if trunk else None) == name


def test_stranger_is_refused_with_the_setting_that_would_let_it_in() -> None:
    refusal = routing("*", **TRUNKS).admit("192.0.2.9", "1234")
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.stranger) == (403, True)
    assert '"192.0.2.9/32" to allow' in refusal.explain


def test_stranger_without_any_trunk_is_told_how_to_add_one() -> None:
    refusal = routing("*").admit("2001:db8::9", "1234")
    assert isinstance(refusal, Refusal)
    assert 'allow = ["2001:db8::9/128"]' in refusal.explain


def test_unknown_number_is_404_and_notification_11005__behaviour_1_3() -> None:
    refusal = routing("1", **TRUNKS).admit("198.51.100.7", "2")
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.notification, refusal.stranger) == (404, 11005, False)


def test_known_number_gives_its_application__behaviour_1_5() -> None:
    number = {"number": "1", "voice_url": "/voice?a=1", "voice_method": "GET", "fallback_url": "https://b/f", "answer_delay": False}
    table = Routing(Settings.model_validate({"numbers": [number], "server": {"public_url": "https://pbx.example.com/x"}, **TRUNKS}))
    application = table.admit("198.51.100.7", "1")
    assert application == Application(
        number="1",
        voice_url="https://pbx.example.com/voice?a=1",
        voice_method="GET",
        fallback_url="https://b/f",
        fallback_method="POST",
        status_callback="",
        status_callback_method="POST",
        answer_delay=False,
    )


# --- out


def test_numbers_go_to_the_first_trunk_with_a_proxy() -> None:
    trunk = routing(**TRUNKS).outbound_trunk()
    assert trunk is not None
    assert trunk.name == "narrow"


def test_numbers_go_to_the_named_trunk() -> None:
    trunk = routing(outbound={"trunk": "second"}, **TRUNKS).outbound_trunk()
    assert trunk is not None
    assert trunk.name == "second"


def test_without_a_proxy_it_says_which_setting_is_missing() -> None:
    table = routing(trunks=[{"name": "in", "allow": ["0.0.0.0/0"]}])
    assert table.outbound_trunk() is None
    assert "proxy" in table.no_outbound()
    assert '"in"' in table.no_outbound()


def test_a_call_is_encrypted_as_the_trunk_says_by_which_it_came() -> None:
    trunks = [
        {"name": "open", "allow": ["198.51.100.0/24"]},
        {"name": "secure", "allow": ["198.51.100.7/32"], "srtp": "mandatory"},
    ]
    table = routing("*", trunks=trunks)
    for source, policy in (("198.51.100.7", "mandatory"), ("198.51.100.8", None)):
        admitted = table.admit(source, "1")
        assert isinstance(admitted, Application) and admitted.srtp == policy


# --- clients (behaviour.md 1.3)


def office(**sections: Any) -> Routing:
    clients = [
        {"name": "alice", "password": "x"},
        {"name": "bob", "password": "x", "answer_delay": False},
        {"name": "carol", "password": "x", "voice_url": "/carols", "fallback_url": URL + "else", "voice_method": "GET"},
        {"name": "dora", "password": "x", "active": False},
    ]
    trunk = {"name": "t", "allow": ["192.0.2.0/24"], "proxy": "sip:gw.example.com", "srtp": "optional"}
    given: dict[str, Any] = {"clients": clients, "trunks": [trunk], "server": {"public_url": "https://pbx.example.com"}} | sections
    return routing("1234", **given)


def admitted(table: Routing, dialled: str, otherwise: str = "", client: str = "", source: str = "198.51.100.1") -> Application:
    decision = table.admit(source, dialled, otherwise, client)
    assert isinstance(decision, Application), decision
    return decision


def test_a_clients_own_application_has_its_calls_whatever_was_dialled__behaviour_1_3() -> None:
    for dialled in ("1234", "alice", "+12025550143", ""):
        application = admitted(office(), dialled, client="carol")
        assert (application.voice_url, application.voice_method) == ("https://pbx.example.com/carols", "GET")
        assert (application.fallback_url, application.dials, application.status_callback) == (URL + "else", "", "")


def test_a_client_reaches_clients_numbers_and_the_trunk_in_this_order__behaviour_1_3() -> None:
    table = office()
    assert admitted(table, "bob", client="alice").dials == "client:bob"
    assert admitted(table, "1234", client="alice").voice_url == URL + "0"
    assert admitted(table, "%2B12025550143", client="alice").dials == "+12025550143"
    assert admitted(table, "pbx", "bob", client="alice").dialled == "bob"  # by the Request-URI
    assert admitted(table, "alice", client="bob").answer_delay is False
    assert admitted(table, "1234", client="bob").answer_delay is None  # the number's own


def test_a_catch_all_has_what_a_client_dials__behaviour_1_4() -> None:
    table = office(numbers=[{"number": "*", "voice_url": URL}])
    assert admitted(table, "+12025550143", client="alice").voice_url == URL
    assert admitted(table, "bob", client="alice").dials == "client:bob"


def test_without_a_trunk_what_is_nobodys_is_404__behaviour_1_3() -> None:
    for dialled in ("+12025550143", ""):
        decision = office(trunks=[]).admit("198.51.100.1", dialled, "", "alice")
        assert isinstance(decision, Refusal)
        assert (decision.status, decision.notification) == (404, 11005)
    assert isinstance(office().admit("198.51.100.1", "bad%00text", "", "alice"), Refusal)


def test_a_trunk_reaches_clients_before_numbers__behaviour_1_3() -> None:
    application = admitted(office(), "alice", source="192.0.2.7")
    assert (application.dials, application.srtp) == ("client:alice", "optional")
    assert admitted(office(), "1234", source="192.0.2.7").voice_url == URL + "0"


def test_who_is_switched_off_neither_calls_nor_is_called__behaviour_1_3() -> None:
    for decision in (
        office().admit("198.51.100.1", "alice", "", "dora"),
        office().admit("198.51.100.1", "dora", "", "alice"),
        office().admit("192.0.2.7", "dora"),
        office().admit("198.51.100.1", "alice", "", "taken out meanwhile"),
    ):
        assert isinstance(decision, Refusal)
        assert (decision.status, decision.reason) == (403, "Account is not ACTIVE")
