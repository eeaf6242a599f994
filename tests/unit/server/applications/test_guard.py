"""Where requests for applications may go (behaviour.md 1.7): the guard, asked by whole requests."""

from __future__ import annotations

import pytest
from aiohttp import ThreadedResolver

from server.calls.effects import Fetch
from tests.unit.server.applications.asking import Resolver, ask, fetcher
from tests.unit.server.peers import peer, response, says


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ],
)
async def test_literal_address_of_this_machine_is_blocked(host: str) -> None:
    answer = await ask(f"http://{host}:9/", allow=[])
    assert (answer.status, answer.error) == (0, "blocked"), answer
    assert "http.allow" in answer.detail


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_odd_spelling_of_a_literal_leads_nowhere(host: str) -> None:
    """The C library's resolver reads all of these as 127.0.0.1; they end at the guard, or earlier as no URL."""
    answer = await ask(f"http://{host}:9/", allow=[], resolver=ThreadedResolver())
    assert answer.status == 0
    assert answer.error in ("blocked", "url"), answer


async def test_name_that_leads_inside_is_blocked() -> None:
    answer = await ask("http://app.example.com/", allow=[], resolver=Resolver({"app.example.com": ["10.1.2.3"]}))
    assert answer.error == "blocked"
    assert '"10.1.2.3/32"' in answer.detail


async def test_redirect_that_leads_inside_is_blocked() -> None:
    async with peer(says(response("302 X", b"", "Location: http://127.0.0.2:1/"))) as app:
        answer = await ask(app.url)
    assert answer.error == "blocked"
    assert '"127.0.0.2/32"' in answer.detail


async def test_name_that_changes_its_address_is_blocked_when_it_does() -> None:
    """DNS rebinding: a first look says a harmless address, the second the loopback."""
    resolver = Resolver({"app.example.com": ["127.0.0.1", "127.0.0.3"]})
    async with peer(says(response("200 OK", b"", "Connection: close"))) as app, fetcher(resolver) as made:
        made._exchanges._kept.connector._use_dns_cache = False  # type: ignore[union-attr]  # every connection asks anew
        url = f"http://app.example.com:{app.port}/"
        answers = [await made.fetch(Fetch(1, "CA", "voice", url, "POST", ())) for _ in range(2)]
    assert [answer.error for answer in answers] == ["", "blocked"]


async def test_allowed_range_is_open() -> None:
    async with peer(says(response("200 OK"))) as app:
        assert (await ask(app.url, allow=["127.0.0.0/8"])).status == 200


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    async with peer(says(response("200 OK"))) as app:
        assert (await ask(app.url)).status == 200
