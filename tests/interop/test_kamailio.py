"""A proxy that nobody here wrote, as the trunk's outbound proxy and in front of incoming calls (Kamailio).

It rewrites the branch, puts itself into the route set, challenges, forks and redirects; the phones behind it are SIPp's. A request
in a call that does not follow the route set is refused by it or never gets to the phone, and the phone's scenario fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.support import sound
from tests.support.app import nothing, rcml
from tests.support.kamailio import Kamailio
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import TRUNK_USER, ServerProcess
from tests.support.sipp import Phone, SippMessage

pytestmark = pytest.mark.interop

BUSY = "SIP/2.0 486 Busy Here"


@pytest.fixture(scope="module", autouse=True)
def kamailio(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    """It listens where the trunk of the server's configuration has its proxy."""
    proxy = Kamailio(tmp_path_factory.mktemp("kamailio"), server.proxy_port, server.sip_port)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


def through_proxy(message: SippMessage, kamailio: Kamailio) -> bool:
    """Whether a request came by way of the proxy, and from behind it."""
    vias = [via for value in message.headers("Via") for via in value.split(",")]
    return len(vias) == 2 and f":{kamailio.port};" in vias[0]


async def call_in(scene: Scene, kamailio: Kamailio, scenario: str, **keys: str | int) -> Phone:
    """A caller whose call comes to the server by way of the proxy."""
    rtp = await scene.rtp()
    every: dict[str, str | int] = {"number": "+15550100", **keys}
    phone = Phone(scenario, scene.directory, remote=("127.0.0.1", kamailio.port), rtp=rtp, keys=every)
    return await scene.playing(phone)


# --- out ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_ack_and_the_bye_follow_the_record_route__rfc3261_12_2_1_1(scene: Scene, kamailio: Kamailio, transport: str) -> None:
    """The server hangs up the callee. Over TCP the proxy puts itself into the route twice, once for either transport."""
    callee = await scene.called("callee_waits", transport=transport)
    prefix = "1" if transport == "udp" else "2"
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Number>{prefix}{callee.port}</Number></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=1500)
    ear(caller).say(sound.chirp_up())
    await scene.through(caller, callee)
    invite, ack, bye = callee.first("INVITE"), callee.first("ACK"), callee.first("BYE")
    assert all(through_proxy(message, kamailio) for message in (invite, ack, bye))
    assert len(invite.headers("Record-Route")) == (1 if transport == "udp" else 2)
    contact = f"sip:called@127.0.0.1:{callee.port};transport={transport.upper()}"
    assert [m.start_line.split()[1] for m in (ack, bye)] == [contact, contact]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"
    await ear(callee).hears(sound.chirp_up(), likeness=0.95, timeout_s=0)


async def test_a_callee_behind_the_proxy_hangs_up(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_hangs_up", talk_ms=500)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>1{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert caller.requests() == ["BYE"]
    assert len(callee.first("SIP/2.0 200", received=True).headers("Via")) == 1
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


async def test_tcp_to_the_proxy_and_udp_behind_it(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_waits")
    uri = f"sip:1{callee.port}@127.0.0.1:{kamailio.port};transport=tcp"
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip>{uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=500)
    await scene.through(caller, callee)
    invite, bye = callee.first("INVITE"), callee.first("BYE")
    assert invite.headers("Via")[1].startswith("SIP/2.0/TCP")
    assert through_proxy(bye, kamailio)
    assert bye.headers("Via")[1].startswith("SIP/2.0/TCP")


async def test_its_challenge_is_answered__rfc3261_22_3(scene: Scene, kamailio: Kamailio) -> None:
    """Kamailio's own arithmetic judges the answer; it takes the credentials off before it forwards."""
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>3{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=300)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    invite = callee.first("INVITE")
    assert invite.headers("Proxy-Authorization") == []
    assert int(invite.header("CSeq").split()[0]) > 1
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


async def test_wrong_credentials_never_reach_the_phone__behaviour_3_1(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_silent")
    uri = f"sip:3{callee.port}@127.0.0.1:{kamailio.port}"
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip username='{TRUNK_USER}' password='wrong'>{uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 403]
    assert callee.messages == []
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialSipResponseCode"]) == ("failed", "407")


@pytest.mark.parametrize(("dialled", "code", "relayed"), [("404", "404", 404), ("302", "", 480)])
async def test_what_the_proxy_refuses_is_the_dials_end__behaviour_3_1(
    scene: Scene, kamailio: Kamailio, dialled: str, code: str, relayed: int
) -> None:
    """A redirection is not followed and not relayed (behaviour 2.7, 4.3)."""
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{dialled}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, relayed]
    asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "failed"
    assert (asked["DialSipResponseCode"] if code else "DialSipResponseCode" in asked) == (code or False)
    assert asked["FailureReason"].startswith(dialled)


async def test_busy_behind_the_proxy__behaviour_3_1(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_rejects", ring_ms=200, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>1{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 486]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "busy"


async def test_a_cancel_goes_through_the_proxy__rfc3261_9_1(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(f"<Dial timeout='1' action='/done'>1{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 408]
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "no-answer"


async def test_a_fork_in_the_proxy_is_one_leg_of_ours__rfc3261_13_2_2_4(scene: Scene, kamailio: Kamailio) -> None:
    """Both ring, so there are two early dialogs; one answers, and the proxy itself ends the other."""
    rings = await scene.called("callee_rings")
    answers = await scene.called("callee_waits", ring_ms=800)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>4{rings.port}{answers.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=500)
    await scene.through(caller, rings, answers)
    assert caller.statuses() == [180, 200]
    assert rings.requests() == ["INVITE", "CANCEL", "ACK"]
    assert answers.requests() == ["INVITE", "ACK", "BYE"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


async def test_two_answers_to_a_forked_invite_leave_one_call__rfc3261_13_2_2_4(scene: Scene, kamailio: Kamailio) -> None:
    """The proxy forwards every 2xx: each is acknowledged, the first stays, the other is hung up, all along their own route sets."""
    answers = await scene.called("callee_waits", ring_ms=500)
    too_late = await scene.called("callee_answers_on_cancel")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>4{too_late.port}{answers.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=1000)
    await scene.through(caller, answers, too_late)
    assert too_late.requests() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert answers.requests() == ["INVITE", "ACK", "BYE"]
    with judged_by_time():
        assert answers.first("BYE").at - too_late.first("BYE").at > 0.5
    assert too_late.first("BYE").start_line.startswith(f"BYE sip:called@127.0.0.1:{too_late.port}")
    assert len(scene.app.asked_for("/done")) == 1


async def test_a_callee_behind_the_proxy_holds_and_resumes__behaviour_2_11(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_holds", ring_ms=200, talk_ms=500, hold_ms=500, rest_ms=0)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>1{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=2000)
    await scene.through(caller, callee)
    assert caller.requests() == []
    directions = [
        line
        for m in callee.received
        if m.status == 200
        for line in m.body.splitlines()
        if line.startswith("a=recv") or line == "a=sendrecv"
    ]
    assert directions == ["a=recvonly", "a=sendrecv"]
    heard = ear(callee).packets
    assert [p.sequence for p in heard] == [(heard[0].sequence + i) % 65536 for i in range(len(heard))]  # what was withheld is not lost
    assert max((after.timestamp - before.timestamp) % 2**32 for before, after in pairwise(heard)) > 3200
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


# --- in -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["udp", "tcp"])
async def test_a_call_in_by_the_proxy_is_answered_and_hung_up_along_its_route__rfc3261_12_1_1(
    scene: Scene, kamailio: Kamailio, by: str
) -> None:
    """The caller speaks UDP; the proxy comes to the server by UDP or TCP. The BYE of the server gets back through it."""
    callee = await scene.called("callee_hangs_up", talk_ms=1500)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await call_in(scene, kamailio, "caller_waits", caller=f"by-{by}")
    ear(caller).say(sound.chirp_up())
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    assert len(caller.first("SIP/2.0 200").headers("Record-Route")) == (1 if by == "udp" else 2)
    bye = caller.first("BYE")
    assert through_proxy(bye, kamailio)
    assert bye.headers("Via")[1].startswith(f"SIP/2.0/{by.upper()}")
    await ear(callee).hears(sound.chirp_up(), likeness=0.95, timeout_s=0)
    assert (await scene.app.asked("/done"))["From"] == f"by-{by}"


@pytest.mark.parametrize("by", ["udp", "tcp"])
async def test_a_caller_behind_the_proxy_hangs_up(scene: Scene, kamailio: Kamailio, by: str) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await call_in(scene, kamailio, "caller_hangs_up", caller=f"by-{by}", talk_ms=500)
    await scene.through(caller, callee)
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    assert (await scene.app.asked("/done"))["CallStatus"] == "completed"


@pytest.mark.parametrize("by", ["udp", "tcp"])
async def test_a_caller_behind_the_proxy_cancels__behaviour_4_2(scene: Scene, kamailio: Kamailio, by: str) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await call_in(scene, kamailio, "caller_cancels", caller=f"by-{by}", ring_ms=700)
    await scene.through(caller, callee)
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "canceled"


async def test_a_caller_behind_the_proxy_holds_and_resumes__behaviour_2_11(scene: Scene, kamailio: Kamailio) -> None:
    callee = await scene.called("callee_waits", ring_ms=200)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await call_in(scene, kamailio, "caller_holds", talk_ms=500, hold_ms=500, rest_ms=300)
    await scene.through(caller, callee)
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


async def test_a_refusal_goes_back_through_the_proxy(scene: Scene, kamailio: Kamailio) -> None:
    scene.app.answer("/voice", rcml("<Reject reason='busy'/>"))
    caller = await call_in(scene, kamailio, "caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]


async def test_in_and_out_by_the_same_proxy(scene: Scene, kamailio: Kamailio) -> None:
    """Both legs of one call share the proxy; their dialogs and route sets do not."""
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>1{callee.port}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await call_in(scene, kamailio, "caller_hangs_up", talk_ms=1500)
    ear(caller).say(sound.chirp_down())
    await scene.through(caller, callee)
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    await ear(callee).hears(sound.chirp_down(), likeness=0.95, timeout_s=0)
