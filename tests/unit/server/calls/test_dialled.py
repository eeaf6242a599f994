"""What was dialled: the To header's text, or the Request-URI's (behaviour.md 1.2)."""

from __future__ import annotations

import pytest

from server.calls.legs.party import Party
from server.calls.policy import Application
from sip.message import Headers, Request
from tests.unit.server.calls.bench import VOICE, Bench


@pytest.mark.parametrize(
    ("to", "uri", "use_to", "read"),
    [
        ("<sip:1@h>", "sip:2@h", True, ("1", "To", "2")),
        ("<sip:1@h>", "sip:1@h", True, ("1", "To", "")),  # nothing else to look for
        ("<sip:1@h>", "sip:2@h", False, ("2", "Request-URI", "")),
        ("<sip:h>", "sip:2@h", True, ("2", "Request-URI", "")),
        ("<sip:1@h>", "sip:h", False, ("1", "To", "")),
    ],
)
def test_to_comes_first_and_the_request_uri_may_be_meant_instead(to: str, uri: str, use_to: bool, read: tuple[str, str, str]) -> None:
    party = Party.of_invite(Request("INVITE", uri, Headers([("From", "<sip:bob@h>"), ("To", to)])), use_to)
    assert (party.to_user, party.dialled_by, party.otherwise) == read


@pytest.mark.parametrize(("application", "to", "by"), [("", "2222", "To"), ("5678", "5678", "Request-URI")])
def test_application_and_log_are_told_what_found_the_number(application: str, to: str, by: str) -> None:
    bench = Bench("<Response/>", application=Application("5678", VOICE, dialled=application))
    assert bench.web.of("voice")[0]["To"] == to
    (started,) = [entry.facts for entry in bench.logs if entry.event == "call_started"]
    assert (started["to"], started["dialled_by"]) == (to, by)
