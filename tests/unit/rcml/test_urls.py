"""References made absolute (behaviour 1.7, last sentence; RFC 3986)."""

from __future__ import annotations

import pytest

from rcml.urls import resolve

BASE = "https://app.example.com:8443/calls/voice.xml?tenant=7#top"


@pytest.mark.parametrize(
    ("reference", "absolute"),
    [
        ("next", "https://app.example.com:8443/calls/next"),
        ("/next?a=1&b=2", "https://app.example.com:8443/next?a=1&b=2"),
        ("?a=1", "https://app.example.com:8443/calls/voice.xml?a=1"),
        ("../up", "https://app.example.com:8443/up"),
        ("//other.example.com/x", "https://other.example.com/x"),
        ("http://a_b.internal:80/x#part", "http://a_b.internal:80/x"),
        ("HTTP://Example.COM", "http://example.com"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
        ("http://user:pa%40ss@host/x", "http://user:pa%40ss@host/x"),
        ("/grüße?q=ä", "https://app.example.com:8443/gr%C3%BC%C3%9Fe?q=%C3%A4"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("/a{b}|c%20d%zz", "https://app.example.com:8443/a%7Bb%7D%7Cc%20d%25zz"),
        ("/time/12:30", "https://app.example.com:8443/time/12:30"),
    ],
)
def test_a_reference_resolves_against_the_document__rfc3986_5_2(reference: str, absolute: str) -> None:
    assert resolve(BASE, reference) == absolute


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "not a url",
        "a\tb",
        "/a\u00a0b",
        "<Dial>",
        "http://",
        "http:///path",
        "http://[::1",
        "http://host:port/",
        "http://host:99999/",
        "http://ex ample/",
        "http://ex%41mple/",
        "http://a\\b/",
        ":::",
        "ht!tp://x",
        "ftp://host/file",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "localhost:8080/x",
        "http://" + "a" * 300 + "/",
        "http://" + "ü" * 80 + "/",
        "http://[v1.x]/",
    ],
)
def test_what_is_no_url_of_the_web_is_refused__rfc3986_4_2(reference: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        resolve(BASE, reference)


def test_a_relative_reference_needs_a_document_with_a_url() -> None:
    with pytest.raises(ValueError, match="scheme is missing"):
        resolve("", "/next")
