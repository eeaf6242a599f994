"""A speech engine behind HTTP (docs/rcml.md, Say): what it is asked, and what may go wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from media.errors import SpeechError
from media.prompts.speech import Speech
from media.settings import SpeechSettings
from server.voice import HttpVoice
from tests.support import sound
from tests.unit.server.peers import peer, response, says

WAV = sound.wav(sound.tone(700, 0.5), 16_000)


def settings(port: int, directory: Path, **more: object) -> SpeechSettings:
    fields: dict[str, object] = {"url": f"http://127.0.0.1:{port}/speak", "timeout_s": 2.0, "cache_dir": str(directory)}
    return SpeechSettings(**{**fields, **more})  # type: ignore[arg-type]  # each has its type


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_a_text_goes_there_and_audio_comes_back_once__rcml_say(tmp_path: Path) -> None:
    async with peer(says(response("200 OK", WAV, "Content-Type: audio/wav"))) as engine:
        chosen = settings(engine.port, tmp_path, token=SecretStr("so secret"))
        voice = HttpVoice(chosen)
        speech = Speech(chosen, voice=voice)
        files = [await speech.say("<speak>Hello<break/></speak>", "woman", "tlh") for _ in range(2)]
        await speech.close()
        await voice.close()
    (asked,) = engine.asked
    assert json.loads(asked.body) == {"text": "<speak>Hello<break/></speak>", "ssml": True, "voice": "woman", "language": "tlh"}
    assert asked.headers["authorization"] == "Bearer so secret"
    assert files[0] == files[1] and abs(files[0].duration_ms - 250) <= 10
    assert "secret" not in repr(chosen)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (response("500 Oh"), "engine", "answered 500"),
        (response("302 Elsewhere", b"", "Location: http://127.0.0.2/"), "engine", "answered 302"),
        (response("200 OK", b""), "engine", "without audio"),
        (response("200 OK", bytes(2000)), "too_large", "max_answer_bytes"),
        (response("200 OK", b"no audio at all"), "engine", "what the engine wrote"),
        (b"garbage\r\n\r\n", "engine", "127.0.0.1"),
    ],
)
async def test_what_goes_wrong_is_said_in_words__rcml_say(answer: bytes, code: str, words: str, tmp_path: Path) -> None:
    async with peer(says(answer)) as engine:
        chosen = settings(engine.port, tmp_path, max_answer_bytes=1000)
        voice = HttpVoice(chosen)
        speech = Speech(chosen, voice=voice)
        with pytest.raises(SpeechError, match=words) as raised:
            await speech.say("hello")
        await speech.close()
        await voice.close()
    assert raised.value.code == code
    assert await asyncio.to_thread(files_in, tmp_path) == []


async def test_an_engine_that_hangs_or_is_down_is_not_waited_for__rcml_say(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    voice = HttpVoice(settings(port, tmp_path, timeout_s=0.2))
    with pytest.raises(SpeechError, match=r"in 0\.2 s"):
        await voice.speak("hello", "man", "en", tmp_path / "x")
    server.close()
    await server.wait_closed()
    with pytest.raises(SpeechError, match="no connection"):
        await voice.speak("hello", "man", "en", tmp_path / "x")
    await voice.close()
