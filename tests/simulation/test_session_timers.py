"""Session timers on both legs of a bridged call: nobody is cut off while both sides live, and who is gone is found out (RFC 4028)."""

from __future__ import annotations

import pytest

from server.calls.records import By, Cause
from sip.core import commands
from sip.core.session_timer import SessionTimers
from tests.simulation.world import CALLER, VOICE_URL, Phone, Script, World

pytestmark = pytest.mark.simulation

ANN = "10.0.1.1"
HOURS = 4 * 3600.0
DOCUMENT = f'<Response><Dial timeLimit="100000"><Sip>sip:ann@{ANN}</Sip></Dial></Response>'


def talk(seed: int, *, loss: float = 0.0, update: bool = True) -> tuple[World, Phone]:
    """Two phones that know session timers talk with each other by the server."""
    world = World(seed=seed, loss=loss, duplicate=loss / 2, reorder=loss)
    world.web.pages[VOICE_URL] = DOCUMENT
    ann = world.phone(ANN, Script(headers=() if update else (("Allow", "INVITE, ACK, BYE, CANCEL"),)), (SessionTimers(),))
    world.caller = world.phone(CALLER.host, extensions=(SessionTimers(),))
    world.at(world.now, lambda: world.caller.call("2222"))
    world.run(60.0)
    assert world.caller.saw("answered")
    return world, ann


@pytest.mark.parametrize("update", [True, False], ids=["UPDATE", "re-INVITE"])
@pytest.mark.parametrize("seed", range(5))
def test_a_call_of_hours_is_refreshed_on_both_legs__rfc4028_10(seed: int, update: bool) -> None:
    world, ann = talk(seed, loss=0.1, update=update)
    world.run(HOURS)
    assert len(world.engine.bridges) == 1, "they still talk"
    assert not world.records
    world.caller.hang_up()
    world.run()
    assert ann.saw("ended")
    assert world.leaks() == []


@pytest.mark.parametrize("gone", ["caller", "callee"])
def test_a_peer_that_vanished_is_missed_when_its_refresh_is_due__rfc4028_10__trap36(gone: str) -> None:
    world, ann = talk(1)
    lost = world.caller if gone == "caller" else ann
    lost.script.silent = True
    # as a dead phone does not refresh either: its own endpoint goes with it
    lost.sessions.clear()
    del world.phones[lost.address.host]
    world.run(HOURS)
    assert {record.ended.cause for record in world.records} == {Cause.COMPLETED}
    told = {record.direction: record.ended for record in world.records}
    if gone == "caller":
        assert told["inbound"].by is By.TIMER
        assert "not refreshed" in told["inbound"].text
        assert ann.saw("ended")
    else:
        assert "dialog is gone" in told["outbound-dial"].text
    assert world.leaks(with_phones=False) == []


def test_a_refresh_by_reinvite_carries_the_description_in_force_unchanged__rfc4028_7_4() -> None:
    world, ann = talk(3, update=False)
    sent: list[commands.Command] = []
    carry_out = world.command

    def watch(command: commands.Command) -> None:
        sent.append(command)
        carry_out(command)

    world.command = watch  # type: ignore[method-assign]
    world.run(1000.0)
    bodies = [command.body for command in sent if isinstance(command, commands.SendReinvite)]
    assert bodies == [ann.bodies[0]]
    assert not [log for log in world.logs if log.level == "error"]
