"""Requests of a phone that are refused, as they look on the wire: none of them may end the call."""

from __future__ import annotations

import pytest

from sip.core import commands
from tests.simulation.world import SERVER, VOICE_URL, World

PAUSE = '<Response><Say>hello</Say><Pause length="20"/></Response>'
SESSION = commands.SessionId("a")
REFER_TO = (("Refer-To", "<sip:carol@10.0.0.3>"),)


def talking() -> World:
    world = World(1)
    world.web.pages[VOICE_URL] = PAUSE
    world.caller.call("2222")
    world.run(3.0)
    return world


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "told"),
    [
        ("REFER", REFER_TO, b"", 404, ("Event", "refer")),
        ("INFO", (("Info-Package", "foo"),), b"", 469, ("Recv-Info", "")),
        ("INFO", (("Info-Package", "foo;x=1"),), b"Signal=1\r\n", 469, ("Recv-Info", "")),
        ("NOTIFY", (("Event", "talk"), ("Subscription-State", "active")), b"", 489, None),
        ("NOTIFY", (("Event", "message-summary"),), b"Messages-Waiting: yes\r\n", 489, None),
        ("NOTIFY", (("Event", "check-sync;reboot=true"),), b"", 489, None),
    ],
)
def test_what_is_not_served_is_refused_for_itself_and_the_call_goes_on__behaviour_6_rfc6086_rfc6665(
    method: str, headers: commands.HeaderList, body: bytes, status: int, told: tuple[str, str] | None
) -> None:
    world = talking()
    world.caller.do(commands.SendRequest(SESSION, method, body, "application/dtmf-relay" if body else "", headers))
    world.run(1.0)
    (answer,) = world.caller.answers
    assert answer is not None and answer.status == status
    if told is not None:
        assert answer.headers.get(told[0]) == told[1]
    assert world.registry.counts()["calls"] == 1 and not world.engine.digits
    world.caller.hang_up()
    world.run()
    assert not world.leaks()


def test_an_info_without_a_package_is_a_key_or_a_keep_alive_as_ever() -> None:
    world = talking()
    world.caller.do(commands.SendRequest(SESSION, "INFO"))
    world.caller.do(commands.SendRequest(SESSION, "INFO", b"Signal=5\r\n", "application/dtmf-relay"))
    world.run(1.0)
    assert [answer.status for answer in world.caller.answers if answer is not None] == [200, 200]


def test_a_refer_outside_of_a_dialog_is_404_too__behaviour_6() -> None:
    world = World(1)
    uri = f"sip:2222@{SERVER}"
    world.caller.do(
        commands.SendOutOfDialog(commands.ExchangeId("x"), "REFER", uri, "sip:bob@10.0.0.2", headers=REFER_TO, contact_user="bob")
    )
    world.run(1.0)
    (answer,) = world.caller.answers
    assert answer is not None and (answer.status, answer.headers.get("Event")) == (404, "refer")
    assert world.registry.counts()["calls"] == 0


def test_whoever_asks_is_told_of_every_method_that_is_answered__rfc3261_11_2() -> None:
    world = talking()
    world.caller.do(commands.SendRequest(SESSION, "OPTIONS"))
    world.run(1.0)
    (answer,) = world.caller.answers
    assert answer is not None
    served = {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "NOTIFY", "UPDATE", "PRACK", "REFER"}
    assert served == set(answer.headers.values("Allow"))
