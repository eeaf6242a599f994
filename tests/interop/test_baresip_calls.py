"""What a softphone that nobody here wrote does in a call: hold, keys, refusals, early media, TCP, IPv6 (baresip)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.support import sound
from tests.support.app import audio, nothing, rcml
from tests.support.baresip import Baresip
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN

pytestmark = pytest.mark.interop

HUM = sound.tone(440.0, 20.0)  # longer than any of these calls


def server_uri(scene: Scene, host: str = "127.0.0.1", transport: str = "udp") -> str:
    return f"sip:{PLAIN}@{host}:{scene.server.sip_port}" + (";transport=tcp" if transport == "tcp" else "")


# --- called ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "transport"), [("127.0.0.1", "tcp"), ("::1", "tcp")])
async def test_called_over_other_transports_and_the_caller_hangs_up(scene: Scene, tmp_path: Path, host: str, transport: str) -> None:
    """The caller is on IPv4 and UDP in any case."""
    async with Baresip(tmp_path / "baresip", HUM, host=host) as baresip:
        uri = baresip.uri + (";transport=tcp" if transport == "tcp" else "")
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up", talk_ms=2200)
        ear(caller).say(np.concatenate((sound.silence(0.5), sound.chirp_up())))
        await baresip.event("CALL_ESTABLISHED")
        await scene.through(caller)
        await baresip.event("CALL_CLOSED")
        asked = await scene.app.asked("/done")
    assert (asked["CallStatus"], asked["DialCallStatus"]) == ("completed", "completed")
    await ear(caller).hears_tone(440.0, seconds=1.0, timeout_s=0)
    with judged_by_time():
        assert sound.find(sound.chirp_up(), baresip.heard()).likeness > 0.95


async def test_it_hangs_up(scene: Scene, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", rcml("<Hangup/>"))
        caller = await scene.calling("caller_waits")
        await baresip.event("CALL_ESTABLISHED")
        await asyncio.sleep(0.3)
        await baresip.command("hangup")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert (asked["CallStatus"], asked["DialCallStatus"]) == ("in-progress", "completed")


async def test_it_rings_and_is_accepted_by_hand(scene: Scene, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "baresip", HUM, answers="manual") as baresip:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up", talk_ms=500)
        await baresip.event("CALL_INCOMING")
        await asyncio.sleep(1.1)
        await baresip.command("accept")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialRingDuration"]) == ("completed", "1")


async def test_its_refusal_is_busy__behaviour_3_1(scene: Scene, tmp_path: Path) -> None:
    """It says 486 when its user will not answer."""
    async with Baresip(tmp_path / "baresip", HUM, answers="manual") as baresip:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_rejected")
        await baresip.event("CALL_INCOMING")
        await baresip.command("hangup")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert caller.statuses() == [180, 486]
    assert (asked["DialCallStatus"], asked["DialSipResponseCode"]) == ("busy", "486")


async def test_it_is_busy_with_another_call__behaviour_3_1(scene: Scene, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        scene.app.answer("/voice", rcml(f"<Dial>{baresip.uri}</Dial>"))
        first = await scene.calling("caller_waits")
        await baresip.event("CALL_ESTABLISHED")
        second = await scene.calling("caller_rejected")
        await scene.through(second)
        await baresip.command("hangup")
        await scene.through(first)
    assert second.statuses() == [180, 486]


async def test_it_is_cancelled_at_the_dials_timeout__behaviour_4_2(scene: Scene, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "baresip", HUM, answers="manual") as baresip:
        scene.app.answer("/voice", rcml(f"<Dial timeout='1' action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_rejected")
        await scene.through(caller)
        await baresip.event("CALL_CLOSED")
        asked = await scene.app.asked("/done")
    assert caller.statuses() == [180, 408]
    assert asked["DialCallStatus"] == "no-answer"
    assert "SIP/2.0 487" in baresip.output


async def test_its_183_reaches_an_unanswered_caller__behaviour_0_1(scene: Scene, tmp_path: Path) -> None:
    """It listens before it answers, and talks after."""
    async with Baresip(tmp_path / "baresip", HUM, answers="early") as baresip:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up", talk_ms=1000)
        await caller.until("SIP/2.0 183")
        ear(caller).say(sound.chirp_up())
        await baresip.event("CALL_RTPESTAB")
        assert 200 not in caller.statuses()
        await baresip.command("accept")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert caller.statuses() == [180, 183, 200]
    assert asked["DialCallStatus"] == "completed"
    await ear(caller).hears_tone(440.0, seconds=0.5, timeout_s=0)


# --- calling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "transport"), [("127.0.0.1", "tcp"), ("::1", "udp")])
async def test_it_calls_over_other_transports_and_hangs_up(scene: Scene, tmp_path: Path, host: str, transport: str) -> None:
    callee = await scene.called("callee_waits", ring_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    async with Baresip(tmp_path / "baresip", HUM, host=host) as baresip:
        await baresip.command("dial", server_uri(scene, f"[{host}]" if ":" in host else host, transport))
        await baresip.event("CALL_ESTABLISHED")
        ear(callee).say(sound.chirp_up())
        await ear(callee).hears_tone(440.0, seconds=1.0)
        await asyncio.sleep(0.5)
        await baresip.command("hangup")
        await scene.through(callee)
        asked = await scene.app.asked("/done")
    assert (asked["From"], asked["CallStatus"], asked["DialCallStatus"]) == ("baresip", "completed", "completed")
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    with judged_by_time():
        assert sound.find(sound.chirp_up(), baresip.heard()).likeness > 0.95


async def test_it_gives_up_while_it_rings__behaviour_4_2(scene: Scene, tmp_path: Path) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        await baresip.command("dial", server_uri(scene))
        await baresip.event("CALL_RINGING")
        await callee.until("INVITE")
        await asyncio.sleep(0.3)
        await baresip.command("hangup")
        await scene.through(callee)
        asked = await scene.app.asked("/done")
        await baresip.until("SIP/2.0 487")
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    assert (asked["CallStatus"], asked["DialCallStatus"]) == ("canceled", "canceled")


async def test_it_is_told_that_the_callee_is_busy__behaviour_4_3(scene: Scene, tmp_path: Path) -> None:
    callee = await scene.called("callee_rejects", ring_ms=200, status_line="SIP/2.0 486 Busy Here", refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        await baresip.command("dial", server_uri(scene))
        closed = await baresip.event("CALL_CLOSED")
        await scene.through(callee)
    assert closed["param"] == "486 Busy Here"


# --- in the call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["caller", "called"])
async def test_it_holds_and_resumes__rfc3264_8_4(scene: Scene, tmp_path: Path, role: str) -> None:
    """Its re-INVITE is answered here and not passed on; both hear each other before and after, and nobody in between."""
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        if role == "caller":
            other = await scene.called("callee_waits", ring_ms=200)
            scene.app.answer("/voice", rcml(f"<Dial>{other.uri}</Dial>"))
            await baresip.command("dial", server_uri(scene))
        else:
            scene.app.answer("/voice", rcml(f"<Dial>{baresip.uri}</Dial>"))
            other = await scene.calling("caller_waits")
        await baresip.event("CALL_ESTABLISHED")
        ear(other).say(sound.chirp_up())
        await ear(other).hears_tone(440.0, seconds=1.3)
        await baresip.command("hold")
        await baresip.until("a=recvonly")  # our answer
        await asyncio.sleep(0.3)
        held, decoded = ear(other).mark(), await baresip.seconds_decoded()
        await asyncio.sleep(0.7)
        silent, decoded_in_hold = ear(other).heard(held), await baresip.seconds_decoded() - decoded
        resumed = ear(other).mark()
        await baresip.command("resume")
        await ear(other).hears_tone(440.0, seconds=0.5, since=resumed)
        decoded = await baresip.seconds_decoded()
        await asyncio.sleep(0.5)
        decoded_after = await baresip.seconds_decoded() - decoded
        await baresip.command("hangup")
        await scene.through(other)
    with judged_by_time():
        assert sound.loud_seconds(silent) < 0.1
        assert decoded_in_hold < 0.1
        assert 0.3 < decoded_after < 1.0
        assert sound.find(sound.chirp_up(), baresip.heard()).likeness > 0.95
    assert [m.method for m in other.received if m.method == "INVITE" and not m.status] == (["INVITE"] if role == "caller" else [])


async def test_keys_go_both_ways__rfc4733(scene: Scene, tmp_path: Path) -> None:
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        scene.app.answer("/voice", rcml(f"<Dial>{baresip.uri}</Dial>"))
        caller = await scene.calling("caller_waits")
        await baresip.event("CALL_ESTABLISHED")
        await ear(caller).hears_tone(440.0, seconds=0.3)
        ear(caller).press("19#")
        for digit in "5*0":
            await baresip.command("sndcode", digit)
            await asyncio.sleep(0.4)
        pressed = [(await baresip.event("CALL_DTMF_START", occurrence=i))["param"] for i in (1, 2, 3)]
        await baresip.command("hangup")
        await scene.through(caller)
    assert "".join(pressed) == "19#"
    with judged_by_time(allowed_s=0.1):  # of a press that is held up for 200 ms two are made, see tests/worker/test_digits.py
        assert ear(caller).digits() == "5*0"


OPUS, G722 = "opus/48000/2", "G722/16000/1"
PAIRS = [
    ("PCMU", "PCMU"),
    ("PCMA", "PCMU"),
    (OPUS, "PCMU"),
    ("PCMU", OPUS),
    (G722, "PCMA"),
    (OPUS, G722),
    (G722, G722),
    (OPUS, OPUS),
]


@pytest.mark.parametrize("codecs", PAIRS, ids=lambda pair: "-".join(codec.partition("/")[0] for codec in pair))
async def test_two_of_them_talk(scene: Scene, tmp_path: Path, codecs: tuple[str, str]) -> None:
    """Each offers or takes one codec only; where they differ, what they say is transcoded."""
    up, down = (np.concatenate((sound.silence(2.5), words, sound.silence(9))) for words in (sound.chirp_up(), sound.chirp_down()))
    async with Baresip(tmp_path / "b", down, codecs=codecs[1]) as called, Baresip(tmp_path / "a", up, codecs=codecs[0]) as caller:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{called.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        await caller.command("dial", server_uri(scene))
        await caller.event("CALL_ESTABLISHED")
        await asyncio.sleep(4.5)
        await caller.command("hangup")
        await called.event("CALL_CLOSED")
        asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "completed"
    assert (caller.codec(), called.codec()) == tuple(codec.partition("/")[0] for codec in codecs)
    # Packets that pass are not touched. A chirp is hard for Opus at 8 kHz, and a jitter buffer may cut into it.
    likeness, least = (0.95, 1.0) if codecs[0] == codecs[1] else (0.7, 0.8)
    with judged_by_time():
        assert sound.share_found(sound.chirp_up(), called.heard(), likeness=likeness) >= least
        assert sound.share_found(sound.chirp_down(), caller.heard(), likeness=likeness) >= least


@pytest.mark.parametrize("codec", [OPUS, G722])
async def test_a_prompt_is_heard_in_the_callers_codec(scene: Scene, tmp_path: Path, codec: str) -> None:
    scene.app.answer("/voice", rcml("<Play>/words.wav</Play>"))
    scene.app.answer("/words.wav", audio(sound.wav(np.concatenate((sound.silence(0.4), sound.chirp_up(), sound.silence(0.4))))))
    async with Baresip(tmp_path / "baresip", HUM, codecs=codec) as baresip:
        await baresip.command("dial", server_uri(scene))
        await baresip.event("CALL_CLOSED")
    assert baresip.codec() == codec.partition("/")[0]
    with judged_by_time():
        assert sound.share_found(sound.chirp_up(), baresip.heard()) >= 0.8
