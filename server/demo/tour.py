"""The demo call: one phone calls the server, the application has it dial another one, both talk, one hangs up; then the proof."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.app import Server
from server.demo import sound
from server.demo.application import Application, Parameters
from server.demo.phones import Phone

UP = sound.chirp(300.0, 3300.0)  # what the caller says
DOWN = sound.chirp(3300.0, 300.0)  # what the called party says
RING_S = 2.5
TURN_S = 1.5  # for each to speak
LIKE = 0.9  # correlation from which on a sound counts as heard; what is not there stays below 0.3
UNLIKE = 0.5
PATIENCE_S = 10.0

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The call did not go as it should; the text says where it stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the call left behind."""

    call_sid: str
    parameters: Parameters  # of the action request, as the application received them
    recording: Path | None
    findings: tuple[tuple[str, bool, str], ...]  # what was looked at, whether it is good, in figures

    @property
    def good(self) -> bool:
        return all(good for _, good, _ in self.findings)


async def place_call(server: Server, application: Application, caller: Phone, callee: Phone, number: str, say: Say) -> Outcome:
    """Place the call and look at everything that came of it.

    Raises:
        DemoFailed: it got stuck.
    """
    sip_port = next(listener.bind.port for listener in server.sip_addresses if listener.transport == "udp")
    begun = time.monotonic()
    say(f"caller calls sip:{number}@{caller.host}:{sip_port}")
    caller.call(f"sip:{number}@{caller.host}:{sip_port}")
    await _until(caller.talking, "the call was not answered", caller)
    await _until(callee.talking, "the called party did not answer", callee)
    say(f"answered after {time.monotonic() - begun:.1f} s of music; each says a chirp that the other should hear")
    await asyncio.sleep(0.3)
    for phone, words in ((caller, UP), (callee, DOWN)):
        phone.audio.say(words)
        await asyncio.sleep(TURN_S)
    heard_by_callee = list(callee.audio.heard)
    say("the called party hangs up")
    callee.hang_up()
    await _until(caller.over, "the caller was not hung up", caller)
    heard_by_caller = list(caller.audio.heard)
    try:
        parameters = await asyncio.wait_for(application.outcomes.get(), PATIENCE_S)
    except TimeoutError:
        raise DemoFailed("the application was not asked for the action document") from None
    facts = dict(parameters)
    recording = await _recording(server, facts.get("RecordingUrl", ""))
    findings = await asyncio.to_thread(_examine, caller.heard_while_ringing, heard_by_caller, heard_by_callee, recording)
    return Outcome(facts["CallSid"], parameters, recording, findings)


async def _until(event: asyncio.Event, complaint: str, phone: Phone) -> None:
    over = asyncio.create_task(phone.over.wait())
    wanted = asyncio.create_task(event.wait())
    await asyncio.wait((over, wanted), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    wanted.cancel()
    if not event.is_set():
        raise DemoFailed(f"{complaint}: {phone.failure}" if phone.failure else complaint)


async def _recording(server: Server, url: str) -> Path | None:
    """The file behind a RecordingUrl, once it is there."""
    if not url:
        return None
    file = Path(server.settings.media.recordings_dir) / url.rpartition("/")[2]
    for _ in range(50):
        if await asyncio.to_thread(file.exists):
            return file
        await asyncio.sleep(0.1)
    return None


def _examine(
    ringing: sound.Samples, by_caller: sound.Samples, by_callee: sound.Samples, recording: Path | None
) -> tuple[tuple[str, bool, str], ...]:
    """Look for each sound where it should be; its mirror image must not be there, or the looking proves nothing."""
    music = sound.find(sound.melody()[: sound.RATE_HZ], ringing)[1]
    at_callee, at_caller = sound.find(UP, by_callee)[1], sound.find(DOWN, by_caller)[1]
    wrong = max(sound.find(UP, by_caller)[1], sound.find(DOWN, by_callee)[1])
    findings = [
        ("the caller heard the music while it rang", music > LIKE, f"likeness {music:.3f}"),
        ("the called party heard what the caller said", at_callee > LIKE, f"likeness {at_callee:.3f}"),
        ("the caller heard what the called party said", at_caller > LIKE, f"likeness {at_caller:.3f}"),
        ("nobody heard themselves", wrong < UNLIKE, f"likeness {wrong:.3f}"),
    ]
    samples = sound.read_wav(recording) if recording is not None else []
    # In quarters: a recorder that makes up for drifting clocks may move on by a sample in the middle of a word.
    quarter = len(UP) // 4
    voices = min(sound.find(word[at : at + quarter], samples)[1] for word in (UP, DOWN) for at in range(0, len(UP), quarter))
    length_s = len(samples) / sound.RATE_HZ
    findings.append(("the recording holds both voices", voices > LIKE, f"{length_s:.1f} s, likeness {voices:.3f}"))
    return tuple(findings)
