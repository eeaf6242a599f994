"""The structured header fields."""

from __future__ import annotations

import dataclasses

import pytest

from sip.message import (
    REASON_PHRASES,
    CSeq,
    NameAddr,
    ParseError,
    Via,
    build_auth,
    parse_auth,
    parse_cseq,
    parse_list,
    parse_name_addr,
    parse_params,
    parse_uint,
    parse_uri,
    parse_value,
    parse_via,
    reason_phrase,
)


def test_via_is_read__rfc3261_20_42() -> None:
    via = parse_via("SIP/2.0/UDP first.example.com:4000;ttl=16;maddr=224.2.0.1;branch=z9hG4bKa7c6a8dlze.1")
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "first.example.com", 4000, "z9hG4bKa7c6a8dlze.1")
    assert via.params["ttl"] == "16"


def test_via_of_another_protocol_is_well_formed__rfc3261_25_1() -> None:
    via = parse_via("sip/7.0/udp c.example.com;branch=z9hG4bKkdjuw")
    assert (via.protocol, via.transport) == ("SIP/7.0", "UDP")
    assert str(via) == "SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw"


def test_via_with_ipv6__rfc5118_4_5() -> None:
    via = parse_via("SIP/2.0/TCP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3")
    assert (via.host, via.port, via.received) == ("2001:db8::9:1", 6050, "2001:db8::9:255")
    assert str(via) == "SIP/2.0/TCP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3"
    assert parse_via("SIP/2.0/UDP [::1];received=2001:db8::9:255").received == "2001:db8::9:255"


@pytest.mark.parametrize(
    ("params", "wanted", "port"),
    [("", False, None), (";rport", True, None), (";rport=", True, None), (";rport=5060", True, 5060), (";rport=x", True, None)],
)
def test_rport__rfc3581_3(params: str, wanted: bool, port: int | None) -> None:
    via = parse_via(f"SIP/2.0/UDP h;branch=z9hG4bK1{params}")
    assert ("rport" in via.params, via.rport) == (wanted, port)


def test_rport_and_received_are_filled_in_by_replacing_the_params__rfc3581_4() -> None:
    via = parse_via("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff")
    filled = dataclasses.replace(via, params={**via.params, "rport": "9988", "received": "192.0.2.1"})
    assert str(filled) == "SIP/2.0/UDP 10.1.1.1:4540;rport=9988;branch=z9hG4bKkjshdyff;received=192.0.2.1"
    assert parse_via("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff").rport is None


def test_cseq__rfc3261_20_16() -> None:
    assert parse_cseq("0009 \t INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(9, "INVITE")) == "9 INVITE"
    for text in ("", "9", "INVITE", "9INVITE", "9 IN VITE", "x INVITE", "4294967296 INVITE", "9 INVITE;x"):
        with pytest.raises(ParseError) as caught:
            parse_cseq(text)
        assert caught.value.field == "CSeq"


# --- sip-traps 30: parameters without <> --------------------------------------------------------------------------------


def test_without_brackets_parameters_belong_to_the_header__rfc3261_20__trap30() -> None:
    assert parse_name_addr("sip:bob@h;transport=tcp;tag=1") == NameAddr(None, "sip:bob@h", {"transport": "tcp", "tag": "1"})


def test_within_brackets_parameters_belong_to_the_uri__rfc3261_20__trap30() -> None:
    value = parse_name_addr("<sip:bob@h;transport=tcp>;tag=1")
    assert value == NameAddr(None, "sip:bob@h;transport=tcp", {"tag": "1"})
    assert parse_uri(value.uri).params == {"transport": "tcp"}


@pytest.mark.parametrize("text", ["sip:bob@h?Subject=x", "sip:bob@h,", "sip:bo,b@h", "sip:b ob@h"])
def test_without_brackets_no_question_mark_comma_or_space__rfc3261_20_10(text: str) -> None:
    with pytest.raises(ParseError):
        parse_name_addr(text, "Contact")


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("<sip:b@h>", None),
        (" <sip:b@h>", None),
        ("Bob<sip:b@h>", "Bob"),
        ("Bob Builder  <sip:b@h>", "Bob Builder"),
        ('"Bob \\"the\\" B\\\\"<sip:b@h>', 'Bob "the" B\\'),
        ('"" <sip:b@h>', ""),
        ('"a, <b>; c" <sip:b@h>', "a, <b>; c"),
        ("Müller (2. OG) <sip:b@h>", "Müller (2. OG)"),
        ("+1 (555) 123@x: <sip:b@h>", "+1 (555) 123@x:"),
    ],
)
def test_display_name__rfc3261_25_1(text: str, display: str | None) -> None:
    value = parse_name_addr(text)
    assert (value.display, value.uri) == (display, "sip:b@h")
    assert parse_name_addr(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "Bob", "<>", "<sip:b@h", "sip:b@h>", '"Bob <sip:b@h>', 'Bob" <sip:b@h>', "a, b <sip:b@h>", "< sip:b@h>", "<sip:b@h >",
     "<sip:b@h>;", "<sip:b@h>;;a",
     "<sip:b@h> tag=1", "<sip:b@h>;=1", "<sip:b@h>;tag=1;tag=2", "<sip:b@h><sip:c@h>", "<bob>", "*"],
)  # fmt: skip
def test_malformed_name_addr_names_its_field(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_name_addr(text, "Refer-To")
    assert (caught.value.field, caught.value.status) == ("Refer-To", 400)


def test_parameter_names_are_lower_case_and_values_untouched() -> None:
    assert parse_params(';Tag=AbC%20==;LR;x="a;\\"b, c";empty=') == {"tag": "AbC%20==", "lr": None, "x": '"a;\\"b, c"', "empty": ""}


def test_parameter_twice_with_the_same_value_counts_once__rfc3261_7_3_1() -> None:
    assert parse_params(";a=1;A=1") == {"a": "1"}
    with pytest.raises(ParseError):
        parse_params(";a=1;a=2")


def test_tag_is_none_when_there_is_none_or_an_empty_one() -> None:
    assert parse_name_addr("<sip:b@h>").tag is None
    assert parse_name_addr("<sip:b@h>;tag").tag is None
    assert parse_name_addr("<sip:b@h>;tag=").tag is None


def test_remembered_values_are_equal_and_not_mixed_up_between_fields() -> None:
    assert parse_name_addr("<sip:b@h>", "To") is parse_name_addr("<sip:b@h>", "To")
    for field in ("To", "From"):
        with pytest.raises(ParseError) as caught:
            parse_name_addr("<<", field)
        assert caught.value.field == field
    long = f"<sip:{'b' * 600}@h>"
    assert parse_name_addr(long) == parse_name_addr(long)


def test_list_splits_at_commas_and_never_fails() -> None:
    assert parse_list("") == []
    assert parse_list(" a , b,,c ") == ["a", "b", "c"]
    assert parse_list('"a,b", <c,d>;e="f,g"') == ['"a,b"', '<c,d>;e="f,g"']
    assert parse_list('a, "b, c') == ["a", '"b, c']
    assert parse_list("a, <b, c") == ["a", "<b, c"]


def test_uint_is_ascii_digits_in_range() -> None:
    assert parse_uint(" 0070 ", "Max-Forwards", maximum=255) == 70
    for text in ("", "-1", "+1", "1.0", "²", "١", "1" * 65, "256", "0x1", "1 1"):
        with pytest.raises(ParseError) as caught:
            parse_uint(text, "Max-Forwards", maximum=255)
        assert caught.value.field == "Max-Forwards"


# --- digest --------------------------------------------------------------------------------------------------------------


def test_challenge_is_read__rfc3261_20_44() -> None:
    scheme, params = parse_auth(
        'Digest realm="atlanta.example.com", domain="sip:boxesbybob.com", qop="auth,auth-int" ,nonce="f84f1cec41e6cbe5aea9c8e88d359",'
        ' opaque="", stale=FALSE, algorithm=MD5'
    )
    assert scheme == "Digest"
    assert params["qop"] == "auth,auth-int"
    assert (params["opaque"], params["stale"], params["algorithm"]) == ("", "FALSE", "MD5")


def test_credentials_are_built_as_rfc7616_writes_them__rfc7616_3_4() -> None:
    params = {
        "username": 'b"ob',
        "realm": "r",
        "nonce": "n",
        "uri": "sip:h",
        "response": "00",
        "algorithm": "SHA-256",
        "qop": "auth",
        "nc": "00000001",
    }
    text = build_auth("Digest", params)
    assert text == ('Digest username="b\\"ob", realm="r", nonce="n", uri="sip:h", response="00", algorithm=SHA-256, qop=auth, nc=00000001')
    assert parse_auth(text) == ("Digest", params)


def test_challenge_quotes_qop__rfc7616_3_3() -> None:
    text = build_auth("Digest", {"realm": "r", "nonce": "n", "qop": "auth", "algorithm": "MD5", "stale": "true"})
    assert text == 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5, stale=true'


@pytest.mark.parametrize(
    "text", ["", "=", 'Digest realm="x', "Digest realm", 'Digest realm="x" nonce="y"', 'Digest realm="x", realm="y"', "Digest ,"]
)
def test_malformed_auth_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_auth(text, "Proxy-Authorization")
    assert caught.value.field == "Proxy-Authorization"


def test_basic_credentials_are_one_token__rfc7617_2() -> None:
    assert parse_auth("Basic QWxhZGRpbjpvcGVu==") == ("Basic", {"": "QWxhZGRpbjpvcGVu=="})


def test_reason_phrases__rfc3261_21() -> None:
    assert REASON_PHRASES[481] == "Call/Transaction Does Not Exist"
    assert reason_phrase(487) == "Request Terminated"
    assert reason_phrase(499) == REASON_PHRASES[400]


def test_via_without_params_has_its_own_dict() -> None:
    assert Via("UDP", "h").params is not Via("UDP", "h").params


def test_a_value_and_its_parameters__rfc3261_25_1() -> None:
    assert parse_value(" refer ; id=3", "Event") == ("refer", {"id": "3"})
    assert parse_value("1800", "Session-Expires") == ("1800", {})
    assert parse_value("", "Event") == ("", {})
    with pytest.raises(ParseError):
        parse_value("refer; =3", "Event")
