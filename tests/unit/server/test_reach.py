"""Where a Sip of a document may lead: not to what only this machine can reach, unless the operator's trunks or settings say so."""

from __future__ import annotations

import pytest

from config.peers import TrunkSettings
from config.settings import DialSettings, Settings
from media.settings import MediaSettings
from server.reach import GuardedResolver, Reach
from sip.core import commands, events
from sip.core.flows import Address, Resolve, Target
from sip.transport.resolver import Naptr, Srv
from tests.unit.server.calls.bench import ACTION, Bench, dial

LAN = TrunkSettings(name="lan", allow=("10.1.0.0/16",), proxy="sip:10.9.9.9:5070")
NAMED = TrunkSettings(name="named", proxy="sip:gw.carrier.example;transport=tcp", fallback_proxy="sip:[fd00::9]")


def reach(*trunks: TrunkSettings, allow: tuple[str, ...] = ()) -> Reach:
    return Reach(Settings(trunks=trunks, dial=DialSettings(sip_allow=allow), media=MediaSettings()))


@pytest.mark.parametrize(
    "host",
    (
        *("127.0.0.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.5", "64:ff9b::a00:5", "2002:a00:5::1"),
    ),
)
def test_private_addresses_are_closed_to_documents_by_default(host: str) -> None:
    text = reach().refusal(host)
    assert text is not None and "dial.sip_deny" in text and "dial.sip_allow" in text and "[[trunks]]" in text


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "sip.example.com"])
def test_public_addresses_are_open_and_names_until_they_are_resolved(host: str) -> None:
    assert reach().refusal(host) is None


def test_whoever_may_call_us_may_be_called() -> None:
    """Phones and gateways on the networks of a trunk, as a newcomer's `make run` has them on the loopback."""
    assert reach(LAN).refusal("10.1.2.3") is None and reach(LAN).refusal("10.9.9.9") is None
    assert reach(LAN).refusal("10.2.0.1") is not None
    assert reach(TrunkSettings(name="demo", allow=("127.0.0.0/8",))).refusal("127.0.0.1") is None
    assert reach(NAMED).refusal("fd00::9") is None


def test_a_listed_range_is_open_within_a_denied_one() -> None:
    assert reach(allow=("192.168.7.0/24",)).refusal("192.168.7.1") is None
    assert reach(allow=("192.168.7.0/24",)).refusal("192.168.8.1") is not None


# --- names ---------------------------------------------------------------------------------------------------------


class Records:
    """A name server of three names."""

    def __init__(self) -> None:
        self.known = {"inside.example": ["10.0.0.5"], "both.example": ["10.0.0.5", "8.8.8.8"], "gw.carrier.example": ["10.5.5.5"]}

    async def naptr(self, name: str) -> list[Naptr]:
        return []

    async def srv(self, name: str) -> list[Srv]:
        return []

    async def addresses(self, name: str) -> list[str]:
        return self.known.get(name, [])

    async def close(self) -> None:
        pass


async def resolved(resolver: GuardedResolver, host: str) -> list[Target]:
    return await resolver.resolve(Resolve(1, host, 5060, "tcp", False))


async def test_a_name_is_judged_by_each_of_its_addresses() -> None:
    resolver = GuardedResolver(reach(), Records())
    assert await resolved(resolver, "both.example") == [Target("tcp", Address("8.8.8.8", 5060))]
    assert resolver.reach.refusal("both.example") is None
    assert await resolved(resolver, "inside.example") == []
    text = resolver.reach.refusal("Inside.example.") or ""
    assert text.startswith("inside.example is 10.0.0.5, which lies in 10.0.0.0/8") and '"10.0.0.5/32"' in text


async def test_localhost_is_no_way_around() -> None:
    resolver = GuardedResolver(reach(), Records())
    assert await resolved(resolver, "localhost") == [] and resolver.reach.refusal("localhost") is not None


async def test_the_name_of_a_trunks_proxy_leads_where_it_likes() -> None:
    resolver = GuardedResolver(reach(NAMED), Records())
    assert await resolved(resolver, "gw.carrier.example") == [Target("tcp", Address("10.5.5.5", 5060))]


async def test_a_name_that_leads_elsewhere_later_is_open_then() -> None:
    records = Records()
    resolver = GuardedResolver(reach(), records)
    assert await resolved(resolver, "inside.example") == [] and resolver.reach.refusal("inside.example") is not None
    records.known["inside.example"] = ["8.8.4.4"]
    assert await resolved(resolver, "inside.example") and resolver.reach.refusal("inside.example") is None


async def test_a_name_of_nothing_is_not_denied() -> None:
    resolver = GuardedResolver(reach(), Records())
    assert await resolved(resolver, "nowhere.example") == [] and resolver.reach.refusal("nowhere.example") is None


# --- calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", ["sip:x@10.0.0.5:6379;transport=tcp", "sip:10.0.0.5", "sips:x@[fd00::1]", "sip:x@public.example;maddr=10.0.0.5", "x@127.0.0.1"]
)
def test_a_sip_that_is_denied_sends_nothing_and_names_the_remedy(uri: str) -> None:
    bench = Bench(dial(f"<Sip>{uri}</Sip>", f'action="{ACTION}"'), sip_refusal=reach().refusal)
    bench.run(0.1)
    assert not bench.of(commands.SendInvite) and bench.action["DialCallStatus"] == "failed"
    (told,) = bench.notifications
    assert told.code == 11008 and "dial.sip_allow" in told.message
    assert "10.0.0.5" not in bench.action["FailureReason"]


def test_an_unanswered_caller_of_a_denied_sip_gets_403() -> None:
    bench = Bench(dial("<Sip>sip:x@10.0.0.5</Sip>", ""), sip_refusal=reach().refusal)
    assert bench.order() == ["180", "403"]


def test_others_of_the_same_dial_are_called() -> None:
    bench = Bench(dial("<Sip>sip:x@10.0.0.5</Sip><Sip>sip:y@10.1.0.5</Sip><Number>1</Number>"), sip_refusal=reach(LAN).refusal)
    assert [invite.request_uri.partition("@")[0] for invite in bench.of(commands.SendInvite)] == ["sip:y", "sip:1"]


async def test_a_name_that_led_inside_is_told_like_a_literal() -> None:
    resolver = GuardedResolver(reach(), Records())
    bench = Bench(dial("<Sip>sip:x@inside.example</Sip>"), sip_refusal=resolver.reach.refusal)
    assert await resolved(resolver, "inside.example") == []
    bench.give(events.InviteFailed(bench.leg(0), events.FailureCause.UNRESOLVED, None, "inside.example"))
    bench.run(0.1)
    (told,) = bench.notifications
    assert told.code == 11008 and "inside.example" in told.message and "dial.sip_allow" in told.message
    assert bench.action["DialCallStatus"] == "failed" and "10.0.0.5" not in bench.action["FailureReason"]
