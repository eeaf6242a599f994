"""The shell's own promises: every prompt is answered, every caller is told, nothing is lost before the registry stands."""

from __future__ import annotations

from typing import Any, cast

import pytest

from config.settings import Settings
from media.errors import PromptError
from media.prompts.cache import PromptFile
from server.app import Server
from server.calls.effects import Log, Prepared
from server.calls.outbox import Action
from server.observability.metrics import Metrics
from sip.core import commands, events, flows
from sip.message import Headers, Request

INVITE = events.InviteReceived(
    commands.SessionId("in-1"),
    Request("INVITE", "sip:1@192.0.2.1", Headers([])),
    flows.Flow("udp", flows.Address("192.0.2.1", 5060), flows.Address("192.0.2.7", 5060)),
)


class Calls:
    """Stands for the registry: notes what it is given, or has a bug."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.given: list[object] = []

    def sip_event(self, event: object, now: float) -> list[Action]:
        if self.broken:
            raise RuntimeError("a bug of ours")
        self.given.append(event)
        return [Log("info", "seen", {})]

    def prepared(self, event: Prepared, now: float) -> list[Action]:
        self.given.append(event)
        return []

    def next_deadline(self) -> float | None:
        return None


class Phone:
    """Stands for the SIP driver."""

    def __init__(self) -> None:
        self.commands: list[commands.Command] = []

    def command(self, command: commands.Command) -> None:
        self.commands.append(command)


def shell(calls: Calls, *, stands: bool = True) -> tuple[Server, Phone]:
    server, phone = Server(Settings()), Phone()
    server.metrics = Metrics()
    cast(Any, server).registry = calls
    cast(Any, server).driver = phone
    if stands:
        server._turns.begin()
    return server, phone


async def failing(error: Exception) -> PromptFile:
    raise error


@pytest.mark.parametrize(
    ("error", "told"), [(PromptError("format", "no audio"), "format"), (RuntimeError("a bug"), "engine"), (OSError("disk"), "engine")]
)
async def test_every_prompt_is_answered_once__a_verb_waits_for_it(error: Exception, told: str) -> None:
    calls = Calls()
    server, _ = shell(calls)
    await server._answer(7, failing(error))
    (answer,) = calls.given
    assert isinstance(answer, Prepared) and (answer.prompt, answer.path, answer.error) == (7, "", told)


async def test_a_caller_whose_invite_trips_over_a_bug_is_told_500() -> None:
    server, phone = shell(Calls(broken=True))
    server._on_sip(INVITE)
    assert phone.commands == [commands.SendReject(INVITE.session, 500)]


async def test_what_comes_before_the_registry_stands_waits_in_line() -> None:
    calls = Calls()
    server, _ = shell(calls, stands=False)
    server._on_sip(INVITE)
    assert calls.given == []
    server._turns.begin()
    assert calls.given == [INVITE]
