"""Refer-To, Replaces, Event, Subscription-State and sipfrag, as peers write them and as they should not."""

from __future__ import annotations

import pytest

from sip.message import (
    Headers,
    ParseError,
    Replaces,
    SubscriptionState,
    parse_event,
    parse_replaces,
    parse_sipfrag,
    parse_subscription_state,
    refer_sub_of,
    refer_to_of,
    replaces_of,
)
from sip.message.transfer import MAX_REFER_TO

DIALOG = Replaces("98asjd8@192.0.2.1", "7743", "6472")


def refer_to(*values: str) -> Headers:
    return Headers([("Refer-To", value) for value in values])


def test_a_target_loses_what_is_no_part_of_its_uri__rfc3515_2_1() -> None:
    found = refer_to_of(refer_to("Dave <sip:dave@example.com;method=invite;transport=tcp?Subject=hi&Route=%3Csip:evil%3E>;x=1"))
    assert str(found.uri) == "sip:dave@example.com;transport=tcp"
    assert found.replaces is None


def test_a_target_without_brackets_is_read__rfc3515_2_1() -> None:
    assert str(refer_to_of(refer_to("sip:dave@example.com")).uri) == "sip:dave@example.com"


def test_replaces_in_a_target_is_unescaped__rfc3891_5() -> None:
    text = "<sip:dave@example.com?replaces=98asjd8%40192.0.2.1%3Bto-tag%3D7743%3Bfrom-tag%3D6472>"
    assert refer_to_of(refer_to(text)).replaces == DIALOG


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((), 400),
        (("<sip:a@example.com>", "<sip:b@example.com>"), 400),
        (("<sip:a@example.com>, <sip:b@example.com>",), 400),
        (("<http://example.com/x>",), 416),
        (("<tel:+12025550143>",), 416),
        (("<sip:a@example.com;method=BYE>",), 403),
        (("<sip:a@example.com?Replaces=x>",), 400),
        (("<sip:a@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=y%3Bto-tag%3D1%3Bfrom-tag%3D2>",), 400),
        (("<sip:a@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2%0D%0AVia:%20z>",), 400),
        (("<sip:a@example.com?" + "&".join(f"X-{number}=1" for number in range(20)) + ">",), 400),
        ((f"<sip:{'a' * MAX_REFER_TO}@example.com>",), 400),
        (("nobody",), 400),
        (("<>",), 400),
    ],
)
def test_a_target_that_cannot_be_called_has_its_status__rfc3515_2_4_2(values: tuple[str, ...], status: int) -> None:
    with pytest.raises(ParseError) as caught:
        refer_to_of(refer_to(*values))
    assert caught.value.status == status


def test_replaces_names_a_dialog__rfc3891_6_1() -> None:
    assert parse_replaces("98asjd8@192.0.2.1 ;from-tag=6472;to-tag=7743") == DIALOG
    assert parse_replaces("x;to-tag=1;from-tag=2;early-only;more=3").early_only
    assert parse_replaces(str(DIALOG)) == DIALOG


@pytest.mark.parametrize("text", ["", "x", ";to-tag=1;from-tag=2", "x;to-tag=1", "x;from-tag=1", "x;to-tag;from-tag=1"])
def test_replaces_without_both_tags_is_refused__rfc3891_6_1(text: str) -> None:
    with pytest.raises(ParseError):
        parse_replaces(text)


def test_two_replaces_are_refused__rfc3891_3() -> None:
    one = ("Replaces", str(DIALOG))
    assert replaces_of(Headers([])) is None
    assert replaces_of(Headers([one])) == DIALOG
    with pytest.raises(ParseError):
        replaces_of(Headers([one, one]))


def test_who_wants_no_subscription_says_so__rfc4488_4() -> None:
    assert refer_sub_of(Headers([]))
    assert refer_sub_of(Headers([("Refer-Sub", "true")]))
    assert not refer_sub_of(Headers([("Refer-Sub", " FALSE ;x=1")]))


def test_events_have_ids__rfc6665_8_2_1() -> None:
    assert parse_event("refer") == ("refer", None)
    assert parse_event("Refer ; id=93809824") == ("refer", "93809824")


def test_states_of_subscriptions__rfc6665_8_4() -> None:
    assert parse_subscription_state("active;expires=60") == SubscriptionState(False, 60)
    assert parse_subscription_state("Terminated; reason=noresource") == SubscriptionState(True, None, "noresource")
    assert parse_subscription_state("strange") == SubscriptionState(False)
    for text in ("", ";expires=1", "active;expires=x", "active;expires=99999999999"):
        with pytest.raises(ParseError):
            parse_subscription_state(text)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"SIP/2.0 100 Trying\r\n", (100, "Trying")),
        (b"SIP/2.0 486 Busy Here", (486, "Busy Here")),
        (b"\r\nSIP/2.0 200 OK\r\nTo: x\r\n", (200, "OK")),
        (b"SIP/2.0 603\r\n", (603, "")),
        (b"SIP/2.0 999 No\r\n", None),
        (b"INVITE sip:x SIP/2.0\r\n", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_sipfrag_begins_with_its_status__rfc3420_2(body: bytes, found: tuple[int, str] | None) -> None:
    assert parse_sipfrag(body) == found
