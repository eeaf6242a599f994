"""RFC 4475: every message accepted or refused as the RFC says; the manifest beside the vectors says how."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from sip.message import (
    MessageError,
    ParseError,
    Request,
    Response,
    StreamParser,
    build_message,
    parse_auth,
    parse_message,
    parse_name_addr,
    parse_uri,
    parse_via,
    unescape_user,
    unquote,
    uri_equal,
)
from tests.unit.sip.message.samples import TORTURE

MANIFEST: dict[str, dict[str, Any]] = tomllib.loads((TORTURE / "manifest.toml").read_text(encoding="utf-8"))
ACCEPTED = sorted(name for name, entry in MANIFEST.items() if entry["parser"] == "accept")
REFUSED = sorted(name for name, entry in MANIFEST.items() if entry["parser"] == "refuse")


def read(name: str) -> bytes:
    return (TORTURE / f"{name}.dat").read_bytes()


def request(name: str) -> Request:
    message = parse_message(read(name))
    assert isinstance(message, Request)
    return message


def test_manifest_names_every_vector() -> None:
    assert sorted(path.stem for path in TORTURE.glob("*.dat")) == sorted(MANIFEST)
    assert len(MANIFEST) == 49


@pytest.mark.parametrize("name", ACCEPTED)
def test_well_formed_message_is_accepted__rfc4475(name: str) -> None:
    message = parse_message(read(name))
    assert message.headers.get("Call-ID")


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_message_survives_building__rfc4475(name: str) -> None:
    message = parse_message(read(name))
    again = parse_message(build_message(message))
    message.headers.remove("Content-Length")
    again.headers.remove("Content-Length")
    assert again == message


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_message_is_refused__rfc4475(name: str) -> None:
    entry, data = MANIFEST[name], read(name)
    with pytest.raises(MessageError) as caught:
        parse_message(data)
    assert caught.value.status == entry["status"]
    assert caught.value.field == entry.get("field", "start-line")
    if data.startswith(b"SIP/"):
        assert caught.value.partial is None
    else:
        assert caught.value.partial is not None
        assert caught.value.partial.method == data.split()[0].decode()


@pytest.mark.parametrize("name", [name for name, entry in MANIFEST.items() if "lazy" in entry])
def test_malformed_field_is_refused_when_asked_for__rfc4475(name: str) -> None:
    field, status = MANIFEST[name]["lazy"]
    with pytest.raises(ParseError) as caught:
        parse_name_addr(parse_message(read(name)).headers.get(field) or "", field)
    assert (caught.value.field, caught.value.status) == (field, status)


def test_short_tortuous_invite__rfc4475_3_1_1_1() -> None:
    message = request("wsinv")
    headers = message.headers
    assert (message.method, message.uri) == ("INVITE", "sip:vivekg@chair-dnrc.example.com;unknownparam")
    assert [str(parse_via(via)) for via in headers.values("Via")] == [
        "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
        "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
        "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
    ]
    assert parse_name_addr(headers.get("To") or "").tag == "1918181833n"
    sender = parse_name_addr(headers.get("From") or "")
    assert (sender.display, sender.uri, sender.tag) == ('J Rosenberg \\"', "sip:jdrosen@example.com", "98asjd8")
    contact = parse_name_addr(headers.get("Contact") or "")
    assert contact.display == 'Quoted string ""'
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert headers.get("Subject") == ""
    assert headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert len(message.body) == 150


def test_wide_range_of_characters__rfc4475_3_1_1_2() -> None:
    message = request("intmeth")
    uri = parse_uri(message.uri)
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert (uri.password, uri.host) == ("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)", "example.com")
    assert parse_via(message.headers.get("Via") or "").branch == "z9hG4bK-.!%66*_+`'~"
    assert parse_name_addr(message.headers.get("To") or "").display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    sender = parse_name_addr(message.headers.get("From") or "")
    assert (sender.display, sender.tag) == ("token1~` token2'+_ token3*%!.-", "_token~1'+`*%!-.")
    assert unquote(sender.params["fromparam''~+*_!.-%"] or "") == "работающий"
    assert message.headers.get("Call-ID") == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_escapes_are_undone_where_the_grammar_has_them__rfc4475_3_1_1_3() -> None:
    message = request("esc01")
    assert unescape_user(parse_uri(message.uri).user or "") == "sips:user@example.com"
    assert uri_equal(parse_uri("sip:user@example.com"), parse_uri(message.headers.get("To") or ""))
    contact = parse_uri(parse_name_addr(message.headers.get("Contact") or "").uri)
    assert contact.lr
    assert unescape_user(contact.params["name"] or "") == "value%41"


def test_escaped_nul_does_not_end_a_user__rfc4475_3_1_1_4() -> None:
    message = request("escnull")
    assert unescape_user(parse_uri(message.headers.get("To") or "").user or "") == "null-\x00-null"
    one, two = (parse_uri(parse_name_addr(contact).uri) for contact in message.headers.values("Contact"))
    assert not uri_equal(one, two)


def test_percent_is_plain_in_method_branch_and_header_name__rfc4475_3_1_1_5__trap31() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert len(message.headers.values("Contact")) == 2
    assert parse_via(message.headers.get("Via") or "").branch == "z9hG4bK209%fzsnel234"
    assert parse_name_addr(message.headers.get("To") or "").display == "%Z%45"


def test_long_values__rfc4475_3_1_1_7() -> None:
    message = request("longreq")
    assert len(message.headers.values("Via")) == 34
    assert (parse_via(message.headers.values("Via")[-1]).branch or "") == "very" + "long" * 50 + "branchvalue"
    assert parse_name_addr(message.headers.get("From") or "").tag == "12" + "982" * 50 + "424"


def test_second_request_in_a_datagram_is_dropped__rfc4475_3_1_1_8() -> None:
    message = request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")


def test_semicolon_in_user_part__rfc4475_3_1_1_9() -> None:
    uri = parse_uri(request("semiuri").uri)
    assert (uri.user, uri.host, uri.params) == ("user;par=u%40example.net", "example.com", {})


def test_any_transport_in_via__rfc4475_3_1_1_10() -> None:
    vias = [parse_via(via) for via in request("transports").headers.values("Via")]
    assert [via.transport for via in vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_binary_body_is_framed_by_its_length__rfc4475_3_1_1_11() -> None:
    message = request("mpart01")
    assert len(message.body) == 553
    assert b"\x00" in message.body
    assert message.body.endswith(b"\r\n--7a9cbec02ceef655--\r\n")


def test_reason_phrases__rfc4475_3_1_1_12_and_13() -> None:
    unusual, empty = parse_message(read("unreason")), parse_message(read("noreason"))
    assert isinstance(unusual, Response)
    assert isinstance(empty, Response)
    assert (unusual.status, unusual.reason) == (200, "= 2**3 * 5**2 но сто девяносто девять - простое")
    assert (empty.status, empty.reason) == (100, "")


def test_unknown_scheme_in_request_uri_is_416__rfc4475_3_3_2() -> None:
    for name in ("unkscm", "novelsc"):
        with pytest.raises(ParseError) as caught:
            parse_uri(request(name).uri)
        assert caught.value.status == 416


def test_unknown_authorization_scheme_parses__rfc4475_3_3_7() -> None:
    text = request("regaut01").headers.get("Authorization") or ""
    assert parse_auth(text) == ("NoOneKnowsThisScheme", {"opaque-data": "here"})


def test_contradicting_lengths_close_a_stream__rfc4475_3_3_9() -> None:
    [error] = StreamParser().feed(read("mcl01"))
    assert isinstance(error, MessageError)
    assert (error.status, error.fatal) == (400, True)


def test_parameter_outside_of_brackets_is_the_contacts__rfc4475_3_3_12_and_13() -> None:
    outside = parse_name_addr(request("cparam01").headers.get("Contact") or "")
    inside = parse_name_addr(request("cparam02").headers.get("Contact") or "")
    assert (outside.params, parse_uri(outside.uri).params) == ({"unknownparam": None}, {})
    assert (inside.params, parse_uri(inside.uri).params) == ({}, {"unknownparam": None})


def test_escaped_header_in_contact_uri_is_kept__rfc4475_3_3_14() -> None:
    uri = parse_uri(parse_name_addr(request("regescrt").headers.get("Contact") or "").uri)
    assert uri.headers == (("Route", "%3Csip:sip.example.com%3E"),)


def test_rfc2543_request_has_no_branch_and_no_tag__rfc4475_3_4_1() -> None:
    message = request("inv2543")
    assert parse_via(message.headers.get("Via") or "").branch is None
    assert parse_name_addr(message.headers.get("From") or "").tag is None
    assert parse_name_addr(message.headers.get("To") or "").params == {"user": "phone"}
    assert message.body.startswith(b"v=0\r\n")
