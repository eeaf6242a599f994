"""The phones against each other, without a server: what fails here is the tool's fault, not dialplane's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import sound
from tests.support.rtp import RtpEndpoint
from tests.support.sipp import Phone, SippFailed, SippMessage

pytestmark = pytest.mark.sipp


@pytest.mark.parametrize(("host", "transport"), [("127.0.0.1", "udp"), ("127.0.0.1", "tcp"), ("::1", "udp"), ("::1", "tcp")])
async def test_caller_and_called_party_talk(tmp_path: Path, host: str, transport: str) -> None:
    async with await RtpEndpoint.open(host) as near, await RtpEndpoint.open(host) as far:
        near.say(sound.chirp_up())
        far.say(sound.chirp_down())
        async with Phone("callee_hangs_up", tmp_path, host, transport=transport, rtp=far, keys={"talk_ms": 1500}) as callee:
            remote = (host, callee.port)
            keys: dict[str, str | int] = {"number": "called"}
            async with Phone("caller_waits", tmp_path, host, remote=remote, transport=transport, rtp=near, keys=keys) as caller:
                await caller.wait()
                await callee.wait()
        assert caller.statuses() == [180, 200]
        assert callee.requests() == ["INVITE", "ACK"]
        await near.hears(sound.chirp_down(), likeness=0.95, timeout_s=0)
        await far.hears(sound.chirp_up(), likeness=0.95, timeout_s=0)


@pytest.mark.parametrize(
    ("caller", "callee", "statuses"),
    [
        ("caller_hangs_up", "callee_waits", [180, 200]),
        ("caller_hangs_up", "callee_plays_early_media", [183, 200]),
        ("caller_rejected", "callee_rejects", [180, 486]),
        ("caller_rejected", "callee_rejects_after_early_media", [183, 486]),
        ("caller_cancels", "callee_rings", [180, 487]),
        ("caller_sends_headers", "callee_hangs_up", [180, 200]),
        ("caller_sends_multipart", "callee_waits", [180, 200]),
    ],
)
async def test_scenarios_fit_together(tmp_path: Path, caller: str, callee: str, statuses: list[int]) -> None:
    async with Phone(callee, tmp_path, keys={"status_line": "SIP/2.0 486 Busy Here", "refusal": "none", "talk_ms": 300}) as called:
        keys: dict[str, str | int] = {"number": "called", "caller_name": "Bob", "talk_ms": 300}
        async with Phone(caller, tmp_path, remote=("127.0.0.1", called.port), keys=keys) as phone:
            await phone.wait()
            await called.wait()
    assert phone.statuses() == statuses


async def test_a_scenario_that_goes_wrong_fails_and_says_why(tmp_path: Path) -> None:
    keys: dict[str, str | int] = {"status_line": "SIP/2.0 486 Busy Here", "refusal": "none", "number": "called"}
    async with Phone("callee_rejects", tmp_path, keys=keys) as called:
        phone = Phone("caller_waits", tmp_path, remote=("127.0.0.1", called.port), keys=keys)
        with pytest.raises(SippFailed, match="486 Busy Here"):
            async with phone:
                await phone.wait()


async def test_keys_pressed_on_one_side_come_out_on_the_other() -> None:
    async with await RtpEndpoint.open() as near, await RtpEndpoint.open() as far:
        near.press("59#", tone_ms=60)
        near.say(sound.tone(440, 0.3))
        near.send_to(("127.0.0.1", far.port))
        await far.hears_tone(440, seconds=0.2)
        assert far.digits() == "59#"
        assert near.heard().size == 0


def test_a_message_shows_its_parts() -> None:
    message = SippMessage(True, "SIP/2.0 486 Busy Here\nVia: a\nvia: b\nCSeq: 7 INVITE\n\nbody\n")
    assert (message.status, message.method, message.body) == (486, "INVITE", "body\n")
    assert message.headers("VIA") == ["a", "b"]
    assert message.header("To") == ""
