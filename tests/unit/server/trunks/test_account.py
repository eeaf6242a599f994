"""A place of a trunk as it stands in a request line, and as a next hop."""

from __future__ import annotations

import pytest

from server.trunks.account import place_uri, route_to


@pytest.mark.parametrize(
    ("uri", "line", "hop"),
    [
        ("sip:gw.example.com", "sip:gw.example.com", None),
        ("sip:gw.example.com:5070;transport=tcp", "sip:gw.example.com:5070;transport=tcp", None),
        ("sips:gw.example.com", "sips:gw.example.com", None),
        ("sip:gw.example.com;lr", "sip:gw.example.com", "sip:gw.example.com;lr"),
        ("sip:a.example.com;maddr=192.0.2.9", "sip:a.example.com", "sip:a.example.com;maddr=192.0.2.9"),
        ("sip:[2001:db8::1]:5070", "sip:[2001:db8::1]:5070", None),
    ],
)
def test_what_says_how_to_get_there_stands_in_no_request_line__rfc3261_10_2(uri: str, line: str, hop: str | None) -> None:
    assert (place_uri(uri), route_to(uri)) == (line, hop)
