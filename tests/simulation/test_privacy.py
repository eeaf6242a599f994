"""A withheld number, as the callee's network sees it: in no header of no message."""

from __future__ import annotations

from sip.core import commands
from tests.simulation.world import SERVER, VOICE_URL, Script, World
from tests.support.descriptions import sdp

NUMBER = "2025550199"


def test_a_withheld_number_is_in_nothing_that_the_callee_is_sent__rfc3323_4_1() -> None:
    world = World(1)
    world.web.pages[VOICE_URL] = '<Response><Dial action="http://app/done"><Sip>sip:leg@10.0.1.1</Sip></Dial></Response>'
    world.phone("10.0.1.1", Script(ring_after=0.1, answer_after=0.5, hang_up_after=1.0))
    uri, body = f"sip:+1{NUMBER}@10.0.0.2", sdp(world.caller.address.host)
    session = commands.SessionId("a")
    world.caller.sessions.add(session)
    headers = (("Privacy", "id"), ("P-Asserted-Identity", f"<{uri}>"), ("Remote-Party-ID", f"<{uri}>;privacy=full"))
    world.caller.do(commands.SendInvite(session, f"sip:2222@{SERVER}", uri, body, headers=headers, from_display="Bob Smith"))
    world.run()
    sent = [str(note.data["raw"]) for note in world.notes if note.data.get("direction") == "out" and "10.0.1.1" in str(note.data["peer"])]
    assert len(sent) >= 2 and not [text for text in sent if NUMBER in text or "Bob" in text]
    assert all("<sip:anonymous@" in text for text in sent if text.startswith("INVITE"))
    (action,) = world.web.of("action")
    assert action["From"] == f"+1{NUMBER}" and not world.leaks()
