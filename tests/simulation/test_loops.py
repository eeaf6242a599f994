"""Nouns that lead back to the server itself, over the wire: the number of calls stays small and all of them end."""

from __future__ import annotations

from server.calls.effects import Fetch
from tests.simulation.world import SERVER, VOICE_URL, Script, World

FORK = f'<Response><Dial action="http://app/done">{2 * f"<Sip>sip:2222@{SERVER}</Sip>"}</Dial></Response>'


def test_two_nouns_that_lead_back_do_not_double_the_calls() -> None:
    world = World(1)
    world.web.pages[VOICE_URL] = FORK
    world.caller.call("2222")
    world.run()
    assert world.registry.totals == {"begun": 1, "refused": 2}
    (action,) = world.web.of("action")
    assert (action["DialCallStatus"], action["DialSipResponseCode"]) == ("failed", "482")
    assert world.caller.statuses()[-1] == 482 and not world.leaks()


def test_a_spiral_to_another_number_is_put_through__rfc3261_6() -> None:
    world = World(2)
    world.web.pages[VOICE_URL] = lambda request: world.web.answer(request, spiral(request))
    world.phone("10.0.1.1", Script(ring_after=0.1, answer_after=0.5))
    world.after_answer(2.0, world.caller.hang_up)
    world.caller.call("2222")
    world.run()
    assert world.registry.totals == {"begun": 2, "refused": 0}
    assert world.phones["10.0.1.1"].saw("acked") and not world.leaks()


def spiral(request: Fetch) -> str:
    to = dict(request.parameters)["To"]
    target = f"sip:3333@{SERVER}" if to == "2222" else "sip:leg@10.0.1.1"
    return f'<Response><Dial action="http://app/done"><Sip>{target}</Sip></Dial></Response>'
