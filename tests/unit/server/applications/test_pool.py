"""Many requests to applications at once, and what those of one call share (behaviour.md 1.7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.calls.effects import Fetch, Fetched
from tests.unit.server.applications.asking import Resolver, fetcher
from tests.unit.server.peers import Asked, peer, response

# --- many at once


async def test_more_requests_than_connections_wait_their_turn() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher(max_per_host=4) as made:
        answers = await asyncio.gather(*(made.fetch(Fetch(i, "CA", "voice", app.url, "POST", ())) for i in range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert app.connections <= 4


# --- who shares with whom


@pytest.mark.parametrize("kind", ["voice", "status", "audio"])
@pytest.mark.parametrize("hosts", [1, 6])
async def test_good_application_has_its_turn_beside_five_that_hang(kind: str, hosts: int) -> None:
    """Whatever hangs, and whether it hangs on the host of the good one or on others."""
    resolver = Resolver({f"h{number}.example.com": ["127.0.0.1"] for number in range(6)})

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "hang" not in asked.target:
            writer.write(response("200 OK", b"<Response/>"))

    async with peer(handle) as app, fetcher(resolver, timeout_s=30, queue_s=30, max_concurrent=64, max_per_host=64) as made:

        def ask_for(number: int, path: str, call: str, purpose: str) -> Any:
            url = f"http://h{number % hosts}.example.com:{app.port}/{number}/{path}"
            if purpose == "audio":
                return made.download(url, 1000)
            return made.fetch(Fetch(1, f"CA{number}-{call}", purpose, url, "POST", ()))

        hanging = [asyncio.ensure_future(ask_for(number, "hang", str(call), kind)) for number in range(1, 6) for call in range(100)]
        await asyncio.sleep(0.2)
        taken = sum(made.counts().values())
        for purpose in ("voice", "status", "audio"):
            async with asyncio.timeout(5):
                for call in range(10):
                    assert (await ask_for(0, "good", f"{purpose}{call}", purpose)).status == 200
        assert sum(made.counts().values()) == taken, "nothing of what hangs got more by it"
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert sum(made.counts().values()) == 0


async def test_application_that_hangs_is_remembered_and_found_well_again() -> None:
    hang = True

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if not hang:
            writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher(timeout_s=1) as made:

        async def burst() -> list[Fetched]:
            return list(await asyncio.gather(*(made.fetch(Fetch(1, f"CA{n}", "voice", app.url, "POST", ())) for n in range(20))))

        first = await burst()
        assert {answer.error for answer in first} == {"timeout"}
        before = len(app.asked)
        assert before == 20
        second = await burst()
        assert {answer.error for answer in second} == {"timeout"}
        assert len(app.asked) == before + 3, "probes"
        told = [answer for answer in second if "hangs" in answer.detail]
        assert len(told) == 17
        assert max(answer.elapsed_ms for answer in told) < 500, "at once, so that a fallback can be asked"
        hang = False
        assert (await made.fetch(Fetch(1, "CA", "voice", app.url, "POST", ()))).status == 200
        assert {answer.status for answer in await burst()} == {200}
