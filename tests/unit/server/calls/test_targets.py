"""From a noun to the INVITE (behaviour.md 2.3, 2.4), with nouns as applications write them."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import pytest

from rcml.verbs import dial as verbs
from rcml.verbs.dial import Noun
from server.calls.destination import Placed
from server.calls.identity import Privacy
from server.calls.numbering import DenyList, NumberPlan
from server.calls.targets import CallerIdentity, Outbound, Targets, Unreachable
from sip.core import commands, flows
from sip.core.endpoint import Endpoint
from sip.core.routing import wants
from sip.message import parse_message, parse_uri
from sip.settings import SipSettings
from tests.unit.server.calls.bench import ONE, Bench, dial

HERE = flows.Address("192.0.2.1", 5060)


def invites(nouns: str, attributes: str = "") -> list[commands.SendInvite]:
    return Bench(dial(nouns, attributes)).of(commands.SendInvite)


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("1-444-555-6666", "14445556666"),
        (" +1 (444) 555.6666 ", "+14445556666"),
        ("*72#", "*72%23"),
        ("client:alice", "client%3Aalice"),
        ("１２３", "123"),
        ("12@evil.example.com", "12%40evilexamplecom"),
        ("12>\u00a0<sip:x@y", "12%3E%3Csip%3Ax%40y"),
    ],
)
def test_a_number_stays_within_the_user_part__behaviour_2_4(text: str, user: str) -> None:
    (invite,) = invites(f"<Number>{escape(text)}</Number>")
    assert invite.request_uri == f"sip:{user}@gw.example.com:5070"


@pytest.mark.parametrize("caller_id", ["client:thomas", "+1 555 000", "a@b@c", "@", "sip:x", "é<>", "x@[::1]", "%", "tel:+1"])
@pytest.mark.parametrize("noun", ["<Number>%41?X-A=%0d%0aVia: x</Number>", "<Sip>sip:a%40@[::1]:5060;lr?b=c</Sip>", "<Sip>h</Sip>"])
def test_whatever_is_written_the_invite_can_be_sent__behaviour_2_3(caller_id: str, noun: str) -> None:
    """The core refuses what is no URI by an exception, and a branch without an INVITE would wait for ever."""
    for invite in invites(noun, f"callerId={quoteattr(caller_id)}"):
        endpoint = Endpoint(SipSettings(), [flows.Listener("udp", HERE, HERE)], lambda size: b"\x01" * size)
        for output in endpoint.command(invite, 1.0):
            if isinstance(output, flows.Transmit):
                assert parse_message(output.data)


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:gw.example.com", ("gw.example.com", "udp")),
        ("sip:gw.example.com;transport=TCP", ("gw.example.com", "tcp")),
        ("sips:gw.example.com", ("gw.example.com", "tls")),
        ("sips:gw.example.com;transport=tcp", ("gw.example.com", "tls")),  # RFC 3263 4.3
        ("sip:gw.example.com;maddr=192.0.2.9", ("192.0.2.9", "udp")),
    ],
)
@pytest.mark.parametrize("noun", ["Number", "Sip"])
def test_media_is_placed_for_the_hop_that_the_invite_takes__rfc3263_4_1(noun: str, uri: str, hop: tuple[str, str]) -> None:
    targets = Targets(Outbound("t", (uri,)), "server.example.com")
    nouns: dict[str, Noun] = {"Number": verbs.Number(1, "123"), "Sip": verbs.Sip(1, uri)}
    placed = targets.place(nouns[noun], None, CallerIdentity("bob", None), lambda host: None)
    assert isinstance(placed, Placed)
    (to,) = placed.destinations
    assert (to.host, to.transport) == hop
    taken = parse_uri(to.next_hop or to.request_uri)
    assert wants(taken)[0] == hop[0]  # what the core makes of it


def test_headers_of_a_noun_go_into_the_invite_and_not_into_its_uri__behaviour_2_4() -> None:
    (invite,) = invites("<Sip>sip:alice@192.0.2.8;transport=tcp?mycustomheader=foo&amp;X-Two=a%20b</Sip>")
    assert invite.request_uri == "sip:alice@192.0.2.8;transport=tcp"
    assert invite.headers[:2] == (("X-mycustomheader", "foo"), ("X-Two", "a b"))


@pytest.mark.parametrize(("uri", "code"), [("a@" + "b" * 300, "414"), ("sip:", "404"), ("a b@c", "404")])
def test_a_uri_that_cannot_be_called_fails_and_the_action_hears_of_it__behaviour_3_1(uri: str, code: str) -> None:
    bench = Bench(dial(f"<Sip>{uri}</Sip>"))
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "failed" and "DialCallSid" not in bench.action
    assert bench.order() == ["180", code]


def test_same_destination_twice_is_two_branches__behaviour_2_11() -> None:
    assert len(invites("<Sip>sip:a@192.0.2.8</Sip>" * 2)) == 2


def test_a_caller_without_a_user_has_none_in_from__rfc3261_25_1() -> None:
    anonymous = Bench(dial(ONE, ""), caller="<sip:192.0.2.7>;tag=1")
    assert [invite.from_uri for invite in anonymous.of(commands.SendInvite)] == ["sip:server.example.com"]
    assert [invite.from_uri for invite in invites(ONE, 'callerId="client:"')] == ["sip:bob@server.example.com"]  # names nobody


def test_escapes_are_undone_in_what_applications_are_told__behaviour_0_14() -> None:
    bench = Bench(dial('<Sip statusCallback="/leg">sip:a%40b@192.0.2.8</Sip>', 'callerId="x%23@192.0.2.9"'))
    (invite,) = bench.of(commands.SendInvite)
    assert (invite.request_uri, invite.from_uri) == ("sip:a%40b@192.0.2.8", "sip:x%23@192.0.2.9")
    assert (bench.web.of("leg-status")[0]["From"], bench.web.of("leg-status")[0]["To"]) == ("x#", "a@b")


def test_a_dead_proxy_is_passed_over__behaviour_8() -> None:
    first, second = "sip:one.example.com", "sip:two.example.com"
    dead: dict[str, str] = {}
    for left in ([first, second], [second]):
        targets = Targets(Outbound("t", (first, second)), "server.example.com", dead=dead.get)
        placed = targets.place(verbs.Number(1, "100"), None, CallerIdentity("bob", None), lambda host: None)
        assert isinstance(placed, Placed)
        assert [f"sip:{one.host}" for one in placed.destinations] == left
        dead[first] = "gone"
    targets = Targets(Outbound("t", (first,)), "server.example.com", dead=dead.get)
    nowhere = targets.place(verbs.Number(1, "100"), None, CallerIdentity("bob", None), lambda host: None)
    assert isinstance(nowhere, Unreachable)
    assert (nowhere.reason, nowhere.code) == ("Trunk t is dead: gone", 503)


def on_trunk(number: str, caller: CallerIdentity | None = None, **trunk: object) -> Placed | Unreachable:
    outbound = Outbound("t", ("sip:gw.example.com",), **trunk)  # type: ignore[arg-type]
    targets = Targets(outbound, "server.example.com", denied=DenyList(["+1900*"]))
    return targets.place(verbs.Number(1, number), None, caller or CallerIdentity("+15551234", None), lambda host: None)


def headers_of(placed: Placed | Unreachable) -> dict[str, str]:
    assert isinstance(placed, Placed)
    return dict(placed.destinations[0].headers)


def test_a_number_goes_out_as_the_trunk_writes_it() -> None:
    placed = on_trunk("+4930123", plan=NumberPlan("49"), number_format="national", number_prefix="9")
    assert isinstance(placed, Placed)
    assert (placed.destinations[0].request_uri, placed.to_user) == ("sip:9030123@gw.example.com", "+4930123")


def test_a_denied_number_names_its_rule() -> None:
    refused = on_trunk("0019005551212")
    assert isinstance(refused, Unreachable)
    assert (refused.reason, refused.code) == ("Number may not be dialled", 403)
    assert 'dial.number_deny has "+1900*"' in refused.remedy


def test_a_sip_uri_whose_user_is_a_number_dials_it_as_well() -> None:
    targets = Targets(Outbound("t", ("sip:gw.example.com:5070",)), "server.example.com", denied=DenyList(["+1900*"]))
    caller = CallerIdentity("bob", None)
    for uri in (
        "sip:+19005551212@GW.example.com:5070",
        "sip:%2b19005551212@gw.example.com",
        "sip:+19005551212;npdi=yes@gw.example.com",
        "sip:+1-900-555-1212@203.0.113.5",
    ):
        assert isinstance(targets.place(verbs.Sip(1, uri), None, caller, lambda host: None), Unreachable)
    assert isinstance(targets.place(verbs.Sip(1, "sip:bob-1900@elsewhere.example"), None, caller, lambda host: None), Placed)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("pai", {"P-Asserted-Identity"}), ("rpid", {"Remote-Party-ID"}), ("both", {"P-Asserted-Identity", "Remote-Party-ID"})],
)
def test_a_trusted_trunk_is_told_who_calls_where_it_reads_it__rfc3325_9_1(kind: str, names: set[str]) -> None:
    assert set(headers_of(on_trunk("100", trusted_identity=True, identity=kind))) == names


def test_remote_party_id_says_what_is_to_be_withheld() -> None:
    caller = CallerIdentity("+15551234", None, Privacy(number=True, name=True, value="id"))
    told = headers_of(on_trunk("100", caller, trusted_identity=True, identity="rpid"))
    assert told["Remote-Party-ID"] == "<sip:+15551234@gw.example.com>;party=calling;screen=yes;privacy=full"


def test_a_trunk_that_is_not_trusted_is_told_nothing_of_who_calls__rfc3325_9_1() -> None:
    assert headers_of(on_trunk("100", identity="both")) == {}


def test_the_number_that_was_called_is_the_diverter__rfc5806() -> None:
    caller = CallerIdentity("+15551234", None, dialled="+15550100")
    assert headers_of(on_trunk("100", caller, history="diversion")) == {
        "Diversion": "<sip:+15550100@gw.example.com>;reason=unconditional;counter=1"
    }
    assert headers_of(on_trunk("100", caller)) == {}
