"""The two endpoints of `test_endpoints` with session timers and reliable provisional responses: the same bad networks, the same promises.

Each side has a configuration of its own from the seed (who refreshes and how, which responses are reliable); some callers require 100rel,
some offer anew by UPDATE as soon as the first description is agreed, some vanish and are missed.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from sip.core.commands import AnswerRequest, Command, SendBye, SendInvite, SendProvisional, SendReinvite, SendReject, SendRequest
from sip.core.endpoint import Endpoint
from sip.core.events import InviteProgressed, InviteReceived, Output, RequestReceived, SessionEnded
from sip.core.flows import Address, Listener
from sip.core.reliable import NotAcknowledged, ReliableProvisionals
from sip.core.session_timer import RefreshDue, SessionTimers
from sip.settings import SessionTimerSettings, SipSettings
from tests.simulation.test_endpoints import BATCH, World, expect_one_end

SEEDS = 300

pytestmark = pytest.mark.simulation


class Extended(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.requires = self.random.random() < 0.6
        self.long = self.random.random() < 0.5  # nobody hangs up before a refresh was due
        self.gone = self.random.random() < 0.25  # the callee hears nothing any more from a moment on
        self.gone_at = self.random.uniform(0.2, self.random.choice([2, 60]))

    def _endpoint(self, at: Address, seed: int) -> Endpoint:
        rng = random.Random(f"{seed} {at}")
        timers = SessionTimerSettings(
            expires_s=rng.choice([0, 90, 120]),
            refresher=rng.choice(["auto", "us", "peer"]),
            method=rng.choice(["auto", "update", "reinvite"]),
        )
        extensions = (SessionTimers(), ReliableProvisionals(rng.choice(["required", "media", "supported"])))
        listeners = (Listener("udp", at, at), Listener("tcp", at, at))
        return Endpoint(SipSettings(session_timers=timers), listeners, rng.randbytes, extensions=extensions)

    def later(self, least: float, most: float, at: Address, command: Command) -> None:
        if isinstance(command, SendBye) and self.long:
            least, most = least + 150, most + 200
        super().later(least, most, at, command)

    def _arrive(self, flow, data):  # type: ignore[no-untyped-def]
        if self.gone and self.now > self.gone_at and flow.local.host == "192.0.2.2" and not flow.reliable:
            return
        super()._arrive(flow, data)

    def _event(self, at: Address, event: Output) -> None:
        match event:
            case NotAcknowledged(session=session):
                self.later(0, 0.1, at, SendReject(session, 504))
            case RefreshDue(session=session):
                self.later(0, 0.1, at, SendReinvite(session, b"refresh"))
            case InviteReceived(session=session):
                super()._event(at, event)
                self.later(0, 1, at, SendProvisional(session, 183, body=b"answer"))
                self.later(1, 3, at, SendRequest(session, "UPDATE", b"offer", "application/sdp"))
            case InviteProgressed(session=session) if event.response.body:
                self.later(0, 2, at, SendRequest(session, "UPDATE", b"offer", "application/sdp"))
            case RequestReceived(transaction=transaction) if event.request.method in ("UPDATE", "PRACK"):
                self.later(0, 0.4, at, AnswerRequest(transaction, 200, body=b"answer" if event.request.body else b""))
            case _:
                super()._event(at, event)

    def _command(self, at: Address, command: Command) -> None:
        if isinstance(command, SendInvite) and self.requires:
            command = SendInvite(command.session, command.request_uri, command.from_uri, command.body, headers=(("Require", "100rel"),))
        super()._command(at, command)


def run(seed: int) -> Extended:
    world = Extended(seed)
    world.run()
    return world


@pytest.mark.parametrize("batch", range(SEEDS // BATCH))
def test_whatever_the_network_does_both_sides_end_once_and_nothing_is_left(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        expect_one_end(run(seed), seed)


def test_the_plans_reach_what_they_are_meant_to_reach() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        for _, _, entry in run(seed).log:
            match entry:
                case SessionEnded(cause=cause):
                    seen[cause.value] += 1
                case str():
                    seen[" ".join(entry.split()[:2])] += 1
                case _:
                    seen[type(entry).__name__] += 1
    for wanted in ("in PRACK", "in UPDATE", "in 491", "RefreshDue", "NotAcknowledged", "expired", "dialog_gone"):
        assert seen[wanted] > 0, f"{wanted}: {seen}"
