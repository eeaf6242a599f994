"""What a second softphone that nobody here wrote does in a call: prompts, codecs, keys, hold, encryption (Linphone)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import ports, sound
from tests.support.app import audio, nothing, rcml
from tests.support.linphone import Linphone
from tests.support.pace import judged_by_time
from tests.support.rtp import RtpEndpoint
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, ServerProcess, serving

pytestmark = pytest.mark.interop

HUM = sound.tone(440.0, 20.0)  # longer than any of these calls
# Its jitter buffer finds its length in the first half second, and cuts into what it hears then.
WORDS = np.concatenate((sound.silence(0.8), sound.chirp_up(), sound.silence(0.5)))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that may encrypt, or one that must, beside that of the other tests."""
    policy = getattr(request, "param", "optional")
    with serving(ServerProcess(tmp_path_factory.mktemp(policy), media=f'srtp = "{policy}"', rtp_ports=ports.OTHER_SERVER)) as process:
        yield process


def server_uri(scene: Scene) -> str:
    return f"sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}"


async def digits(phone: RtpEndpoint, expected: str) -> None:
    for _ in range(200):
        if phone.digits() == expected:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"heard {phone.digits()!r} of {expected!r}")


# --- calling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypts", ["", "srtp-mand"])
async def test_it_calls_and_hears_a_prompt(scene: Scene, tmp_path: Path, encrypts: str) -> None:
    """It offers Opus before what it does otherwise, and RTP/SAVP alone when it is to encrypt."""
    scene.app.answer("/voice", rcml("<Play>/words.wav</Play>"))
    scene.app.answer("/words.wav", audio(sound.wav(WORDS)))
    codecs = ("opus", "speex16", "speex", "PCMU", "PCMA")
    async with Linphone(tmp_path / "linphone", HUM, codecs=codecs, encrypts=encrypts) as linphone:
        linphone.command(f"call {server_uri(scene)}")
        await linphone.until("ended (No error)")
    offer, answer = linphone.media_lines()
    assert offer.split()[2] == answer.split()[2] == ("RTP/SAVP" if encrypts else "RTP/AVP")
    assert offer.split()[3] == answer.split()[3]  # Opus
    with judged_by_time():
        assert sound.share_found(sound.chirp_up(), linphone.heard()) >= 0.8


# --- called ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "payload_type"), [("PCMU", 0), ("PCMA", 8), ("G722", 0), ("opus", 0)])
async def test_called_it_talks_with_a_caller_of_g711(scene: Scene, tmp_path: Path, codec: str, payload_type: int) -> None:
    async with Linphone(tmp_path / "linphone", HUM, codecs=(codec,)) as linphone:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{linphone.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_waits", payload_type=payload_type)
        await linphone.until("Media streams established")
        ear(caller).say(WORDS)
        await ear(caller).hears_tone(440.0, seconds=1.0)
        await ear(caller).said()
        linphone.command("terminate")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "completed"
    with judged_by_time():
        assert sound.share_found(sound.chirp_up(), linphone.heard()) >= 0.8


# --- in the call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["rfc4733", "info"])
async def test_its_keys_reach_the_caller_once_each__rfc4733_2_5(scene: Scene, tmp_path: Path, keys: str) -> None:
    """As events, or by INFO (application/dtmf-relay) from one that offers no events."""
    async with Linphone(tmp_path / "linphone", HUM, keys=keys) as linphone:
        scene.app.answer("/voice", rcml(f"<Dial>{linphone.uri}</Dial>"))
        caller = await scene.calling("caller_waits")
        await linphone.until("Media streams established")
        for pressed in ("5", "55", "55#"):
            linphone.command(pressed[-1])
            await digits(ear(caller), pressed)
        if keys == "rfc4733":
            ear(caller).press("19")
            for key in "19":
                await linphone.until_logged(f"Receiving dtmf {key}.")
        await asyncio.sleep(0.5)
        linphone.command("terminate")
        await scene.through(caller)
    assert ear(caller).digits() == "55#"
    assert ("application/dtmf-relay" in linphone.log) == (keys == "info")


async def test_it_holds_with_music_and_resumes__rfc3264_8_4(scene: Scene, tmp_path: Path) -> None:
    """It sends its file on hold. Its re-INVITE has another number for its keys; the caller learns of nothing."""
    async with Linphone(tmp_path / "linphone", HUM) as linphone:
        scene.app.answer("/voice", rcml(f"<Dial>{linphone.uri}</Dial>"))
        caller = await scene.calling("caller_waits")
        await linphone.until("Media streams established")
        ear(caller).say(WORDS)
        await ear(caller).said()
        linphone.command("pause")
        await linphone.until("is now paused")
        held = ear(caller).mark()
        ear(caller).say(sound.chirp_down())
        await ear(caller).hears_tone(440.0, seconds=1.0, since=held)
        linphone.command("resume 1")
        await linphone.until("Media streams established", occurrence=2)
        resumed = ear(caller).mark()
        ear(caller).say(sound.tone(1000.0, 1.0))
        await ear(caller).hears_tone(440.0, seconds=0.5, since=resumed)
        await ear(caller).said()
        linphone.command("7")
        await digits(ear(caller), "7")
        ear(caller).press("8")
        await linphone.until_logged("Receiving dtmf 8.")
        await linphone.until_logged("receiving RTCP SR")  # at the port that its a=rtcp names, which is not the next one
        linphone.command("terminate")
        await scene.through(caller)
    _, answer, hold, held_answer, *_ = linphone.media_lines()
    assert [line.split()[-1] for line in (answer, hold, held_answer)] == ["101", "96", "96"]
    assert caller.requests() == ["BYE"]
    heard = linphone.heard()
    with judged_by_time():
        assert sound.find(sound.chirp_up(), heard).likeness > 0.7
    assert sound.find(sound.chirp_down(), heard).likeness < 0.3
    with judged_by_time():
        assert sound.tone_seconds(heard, 1000.0) > 0.8


# --- encrypted ------------------------------------------------------------------------------------------------------


async def test_one_that_must_encrypt_refuses_keys_beside_rtp_avp_and_is_asked_once_more__rfc8643(scene: Scene, tmp_path: Path) -> None:
    """It does not look at keys under RTP/AVP, and says 488; under RTP/SAVP it takes them."""
    async with Linphone(tmp_path / "linphone", HUM, encrypts="srtp-mand") as linphone:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{linphone.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert [line.split()[2] for line in linphone.media_lines()] == ["RTP/AVP", "RTP/SAVP", "RTP/SAVP"], "refused, asked, answered"
    assert asked["DialCallStatus"] == "completed"


@pytest.mark.parametrize("server", ["mandatory"], indirect=True)
async def test_two_of_them_talk_encrypted(scene: Scene, tmp_path: Path) -> None:
    """One with Opus, one with G.711: each leg has its keys, and what is said is transcoded."""
    up, down = (np.concatenate((sound.silence(1.2), words, HUM)) for words in (sound.chirp_up(), sound.chirp_down()))
    async with (
        Linphone(tmp_path / "called", down, codecs=("opus",), encrypts="srtp") as called,
        Linphone(tmp_path / "caller", up, encrypts="srtp") as caller,
    ):
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{called.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller.command(f"call {server_uri(scene)}")
        await called.until("Media streams established")
        await asyncio.sleep(3.0)
        called.command("terminate")
        await caller.until("ended (No error)")
        asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "completed"
    for phone, words in ((called, sound.chirp_up()), (caller, sound.chirp_down())):
        assert [line.split()[2] for line in phone.media_lines()] == ["RTP/SAVP", "RTP/SAVP"]
        with judged_by_time():
            assert sound.share_found(words, phone.heard()) >= 0.8
