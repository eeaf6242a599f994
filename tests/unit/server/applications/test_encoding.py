"""Parameters as a form and behind a URL (behaviour 1.6, 1.7)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from server.applications.encoding import encode_form, encode_get


def test_a_form_is_utf8_with_plus_for_space__behaviour_1_6() -> None:
    form = encode_form(
        (("SipHeader_X-My-Custom-Header", "My Custom Value"), ("To", "+12"), ("CallerName", "Jürgen"), ("A", "&="), ("A", ""))
    )
    assert form == b"SipHeader_X-My-Custom-Header=My+Custom+Value&To=%2B12&CallerName=J%C3%BCrgen&A=%26%3D&A="
    diversion = encode_form((("SipHeader_Diversion", "<sip:11223344@xyz.com>;counter=1;reason=UNKNOWN"),))
    assert diversion == b"SipHeader_Diversion=%3Csip%3A11223344%40xyz.com%3E%3Bcounter%3D1%3Breason%3DUNKNOWN"


def test_bytes_that_were_no_text_do_not_stop_a_request() -> None:
    assert encode_form((("From", "a\udcffb"),)) == b"From=a%3Fb"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://h/x", "http://h/x?A=1&B=a+b"),
        ("http://h/x?q=1", "http://h/x?q=1&A=1&B=a+b"),
        ("http://h/x?", "http://h/x?A=1&B=a+b"),
        ("http://h/x?q=1&", "http://h/x?q=1&A=1&B=a+b"),
        ("http://h/x?q=1#part", "http://h/x?q=1&A=1&B=a+b"),
        ("http://h", "http://h?A=1&B=a+b"),
    ],
)
def test_get_appends_to_the_urls_own_query__behaviour_1_7(url: str, whole: str) -> None:
    assert encode_get(url, (("A", "1"), ("B", "a b"))) == whole


def test_get_without_parameters_is_the_url() -> None:
    assert encode_get("http://h/x?q=1", ()) == "http://h/x?q=1"


def test_get_and_form_say_the_same() -> None:
    parameters = (("CallSid", "CA1"), ("CallerName", "Ä & Ö + 100%"), ("SipHeader_X-A", "1"), ("SipHeader_X-A", "\r\n"))
    assert tuple(parse_qsl(urlsplit(encode_get("http://h/?", parameters)).query, keep_blank_values=True)) == parameters
    assert tuple(parse_qsl(encode_form(parameters).decode(), keep_blank_values=True)) == parameters
