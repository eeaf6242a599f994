"""URIs: parts, text, equality."""

from __future__ import annotations

import pytest

from sip.message import ParseError, Uri, escape_user, parse_uri, subscriber, unescape_user, uri_equal


def test_every_part_is_read__rfc3261_19_1_1() -> None:
    uri = parse_uri("SIPS:alice:secretword@Atlanta.example.com:5061;Transport=tcp;lr;x=%20y?subject=project%20x&priority=urgent")
    assert uri == Uri(
        "sips",
        "alice",
        "secretword",
        "Atlanta.example.com",
        5061,
        {"transport": "tcp", "lr": None, "x": "%20y"},
        (("subject", "project%20x"), ("priority", "urgent")),
    )
    assert uri.lr
    assert str(uri) == "sips:alice:secretword@Atlanta.example.com:5061;transport=tcp;lr;x=%20y?subject=project%20x&priority=urgent"


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:h", None, "h", None),
        ("sip:192.0.2.1:5080", None, "192.0.2.1", 5080),
        ("sip:[2001:db8::10]", None, "2001:db8::10", None),
        ("sip:bob@[::1]:5070", "bob", "::1", 5070),
        ("sip:+1-212-555-1212:1234@gateway.com", "+1-212-555-1212", "gateway.com", None),
        ("sip:#31#*72@h", "#31#*72", "h", None),
        ("sip:müller@h", "müller", "h", None),
        ("sip:a;day=tuesday@atlanta.com", "a;day=tuesday", "atlanta.com", None),
        ("sip:@h", "", "h", None),
        ("sip:bob@my_container", "bob", "my_container", None),
    ],
)
def test_user_host_port__rfc3261_19_1_1(text: str, user: str | None, host: str, port: int | None) -> None:
    uri = parse_uri(text)
    assert (uri.user, uri.host, uri.port) == (user, host, port)
    assert str(uri) == text


def test_tel_number_is_the_user__rfc3966_3() -> None:
    uri = parse_uri("tel:+1-201-555-0123;phone-context=example.com")
    assert (uri.scheme, uri.user, uri.host, uri.params) == ("tel", "+1-201-555-0123", "", {"phone-context": "example.com"})
    assert str(uri) == "tel:+1-201-555-0123;phone-context=example.com"


@pytest.mark.parametrize("text", ["http://example.com", "mailto:a@b", "soap.beep://192.0.2.103:3002", "im:a@b", "urn:service:sos"])
def test_other_schemes_are_416__rfc3261_8_2_2_1(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert caught.value.status == 416


@pytest.mark.parametrize(
    "text",
    ["", "sip", "sip:", "sip:@", "bob", ":h", "sip:bob@", "sip:a@b@c", "sip:h:", "sip:h:0", "sip:h:65536", "sip:h:123456", "sip:[::1",
     "sip:[1]", "sip:[::1%25eth0]",
     "sip:h;", "sip:h;;lr", "sip:h;=1", "sip:h;a=1;a=2", "sip:h?", "sip:h?a", "sip:h?a=1?b=2", "sip:a b@h", "sip:h; lr", "<sip:h>",
     "sip:h>",
     "sip:h\x00", "tel:", "tel:bob",
     "sip:h\r\nX: y", "1http:x"],
)  # fmt: skip
def test_malformed_uri_is_400(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert (caught.value.status, caught.value.field) == (400, "uri")


def test_user_is_unescaped_on_demand_only__rfc3261_19_1_2() -> None:
    uri = parse_uri("sip:%2331%23%41@h")
    assert uri.user == "%2331%23%41"
    assert unescape_user(uri.user or "") == "#31#A"
    assert str(uri) == "sip:%2331%23%41@h"


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("sip:+12025550143;npdi;rn=+12025550000@h;user=phone", "+12025550143"),
        ("sip:+12025550199;verstat=TN-Validation-Passed;cpc=ordinary@h;user=phone", "+12025550199"),
        ("sip:+12025550199;verstat=No-TN-Validation@h", "+12025550199"),
        ("sip:2000;phone-context=enterprise.example@h", "2000"),
        ("sip:2000;phone-context=+1-202@h:5070;transport=tcp", "2000"),
        ("sip:+1-202-555-0143;ext=17@h", "+1-202-555-0143"),
        ("sip:+12025550143;isub=1;cic=0288;trunk-context=x;tgrp=y@h", "+12025550143"),
        ("sip:%2B12025550143;npdi@h", "+12025550143"),
        ("sip:*72%23;phone-context=x@h", "*72#"),
        ("sip:#31#123;cpc=payphone@h", "#31#123"),
        ("sip:5a6b;phone-context=x@h;user=phone", "5a6b"),
        ("sip:5a6b;phone-context=x@h;user=PHONE", "5a6b"),
        ("sip:+12025550143;npdi:secret@h", "+12025550143"),
        ("sips:+12025550143;npdi@h", "+12025550143"),
        ("tel:+12025550143;npdi;rn=+12025550000", "+12025550143"),
        ("sip:alice;day=tuesday@h", "alice;day=tuesday"),
        ("sip:alice%3Bday=tuesday@h", "alice;day=tuesday"),
        ("sip:+1202%3Bnpdi@h", "+1202;npdi"),
        ("sip:;npdi@h", ";npdi"),
        ("sip:b0b;x=1@h", "b0b;x=1"),
        ("sip:2000@h;npdi", "2000"),
        ("sip:h", ""),
    ],
)
def test_parameters_of_a_number_belong_to_the_uri_and_not_to_the_number__rfc3261_19_1_6(text: str, who: str) -> None:
    uri = parse_uri(text)
    assert subscriber(uri) == who
    assert str(uri) == text, "the URI keeps them: a Request-URI leaves as it came"


def test_escape_and_unescape_are_inverse() -> None:
    for text in ("bob", "#31#", "j@s0n", "a b:c", "Müller", "%41", "%", ""):
        assert unescape_user(escape_user(text)) == text
        assert parse_uri(f"sip:{escape_user(text)}@h").host == "h"
    assert escape_user("j@s0n #1") == "j%40s0n%20%231"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
        ("sip:[::1]", "sip:[0:0:0:0:0:0:0:1]"),
        ("tel:+1-201-555-0123", "tel:+1(201)5550123"),
    ],
)
def test_equivalent__rfc3261_19_1_4(one: str, other: str) -> None:
    assert uri_equal(parse_uri(one), parse_uri(other))
    assert uri_equal(parse_uri(other), parse_uri(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com:5060", "sip:bob@biloxi.com:6000"),
        ("sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@h", "sips:bob@h"),
        ("sip:bob@h", "sip:h"),
        ("sip:bob@h", "sip:bob:pw@h"),
        ("sip:bob@h", "sip:bob@h;user=ip"),
        ("sip:bob@h;maddr=192.0.2.1", "sip:bob@h"),
        ("sip:null-%00@h", "sip:null-@h"),
        ("tel:+12015550123", "tel:12015550123"),
    ],
)
def test_not_equivalent__rfc3261_19_1_4(one: str, other: str) -> None:
    assert not uri_equal(parse_uri(one), parse_uri(other))
    assert not uri_equal(parse_uri(other), parse_uri(one))


def test_what_belongs_into_no_request_uri_is_left_out__rfc3261_19_1_1() -> None:
    uri = parse_uri("sip:bob@example.com:5070;method=INVITE;transport=tcp?Subject=x")
    assert str(uri.for_request_line()) == "sip:bob@example.com:5070;transport=tcp"
