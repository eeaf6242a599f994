"""Text to speech: languages, voices, limits, the cache, and an engine of the operator's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from media.errors import SpeechError
from media.prompts.speech import LANGUAGES, Speech, find_language
from media.settings import SpeechSettings
from tests.unit.media.prompts.audio import canonical, level_db

RCML = "bf bp en en-gb cf cs dan fi es fr de el it nl no pl pt ru ar ca sv tr"
Make = Callable[..., Speech]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Speech] = []

    def build(**settings: object) -> Speech:
        values = {"cache_dir": str(tmp_path / "speech"), "processes": 1} | settings
        made.append(Speech(SpeechSettings.model_validate(values)))
        return made[-1]

    yield build
    for speech in made:
        await speech.close()


def inode(path: str) -> int:
    return Path(path).stat().st_ino


def pitch_hz(path: str) -> float:
    """The median fundamental of the voiced parts, by autocorrelation."""
    samples = canonical(path)
    found = []
    for start in range(0, len(samples) - 800, 400):
        piece = samples[start : start + 800]
        if np.std(piece) < 0.02:
            continue
        correlation = np.correlate(piece, piece, "full")[799:]
        lags = correlation[8000 // 400 : 8000 // 70]
        if lags.max() > 0.5 * correlation[0]:
            found.append(8000 / (8000 // 400 + int(lags.argmax())))
    return float(np.median(found))


async def expect_error(speech: Speech, code: str, words: str, text: str = "hello", **how: str) -> None:
    with pytest.raises(SpeechError, match=words) as raised:
        await speech.say(text, **how)
    assert raised.value.code == code


async def test_a_text_is_spoken_aloud(make: Make) -> None:
    file = await make().say("The number you have dialled is not in service.")
    assert 2000 < file.duration_ms < 5000
    assert -40 < level_db(canonical(file.path)) < -10


async def test_every_language_of_the_table_is_spoken(make: Make) -> None:
    speech = make()
    files = {language: await speech.say("1 2 3", "woman", language) for language in LANGUAGES}
    assert all(file.duration_ms > 300 for file in files.values())
    assert files["de"].duration_ms != files["fr"].duration_ms


def test_the_languages_of_the_say_page_are_known() -> None:
    assert [language for language in RCML.split() if find_language(language) is None] == []


@pytest.mark.parametrize(
    ("language", "engine"), [("en", "en-us"), ("EN_gb", "en"), ("es-AR", "es"), ("de-AT", "de"), ("bp", "pt-br"), ("xx", None), ("", None)]
)
def test_language_tags_fall_back_to_their_primary_tag(language: str, engine: str | None) -> None:
    assert find_language(language) == engine


async def test_man_and_woman_differ_in_pitch(make: Make) -> None:
    speech = make()
    text = "We are all away now, one million eleven."
    man, woman = await speech.say(text, "man"), await speech.say(text, "woman")
    assert pitch_hz(woman.path) > 1.3 * pitch_hz(man.path)


async def test_a_text_is_spoken_once(make: Make) -> None:
    first = make()
    file = await first.say("hello  world", "man", "en")
    written = inode(file.path)
    again = make(command=[])
    assert await again.say(" hello world\n", "man", "EN") == file
    assert inode(file.path) == written
    assert await again.say("hello world", "woman", "en") != file


async def test_concurrent_requests_share_one_file(make: Make) -> None:
    speech = make()
    assert len({(await file).path for file in [asyncio.create_task(speech.say("the same")) for _ in range(5)]}) == 1


async def test_pauses_of_ssml_are_heard(make: Make) -> None:
    speech = make()
    plain = await speech.say("Hello you")
    paused = await speech.say('<speak>Hello <break time="2s"/> you</speak>')
    assert paused.duration_ms - plain.duration_ms == pytest.approx(2000, abs=700)


async def test_a_text_without_sound_is_a_short_pause(make: Make) -> None:
    assert 0 < (await make().say("...")).duration_ms < 500


async def test_what_cannot_be_spoken_has_a_code(make: Make) -> None:
    speech = make(max_characters=100, max_duration_s=3)
    await expect_error(speech, "language", "unknown language xx", language="xx")
    await expect_error(speech, "engine", "unknown voice robot", voice="robot")
    await expect_error(speech, "engine", "nothing to say", text=" \0\n")
    await expect_error(speech, "too_large", "101 characters", text="x" * 101)
    await expect_error(speech, "too_large", "more than 3 s", text="one million seven hundred thousand " * 2 + "and eleven")


async def test_an_engine_that_takes_too_long_is_ended(make: Make) -> None:
    await expect_error(make(timeout_s=0.001), "engine", r"within 0\.001 s")


# --- an engine of the operator's ----------------------------------------------------------------------------------


def command(tmp_path: Path, program: str) -> list[str]:
    path = tmp_path / "engine.py"
    path.write_text("import sys, wave, time\nlanguage, voice, output = sys.argv[1:]\ntext = sys.stdin.read()\n" + dedent(program))
    return [sys.executable, str(path), "{language}", "{voice}", "{output}"]


WRITES = """
    with wave.open(output, "wb") as f:
        f.setnchannels(2); f.setsampwidth(2); f.setframerate(16000)
        f.writeframes(b"\\x10\\x10" * 2 * 160 * len(text + language + voice))
"""


async def test_a_command_speaks_instead(make: Make, tmp_path: Path) -> None:
    speech = make(command=command(tmp_path, WRITES))
    file = await speech.say("hello", "woman", "tlh")
    assert file.duration_ms == 10 * len("hello" + "tlh" + "woman"), "any language is the engine's business"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("sys.exit('no such voice')", "exited with status 1: no such voice"),
        ("open(output, 'w').write('<html>')", "neither WAV"),
        ("pass", "FileNotFoundError"),
        ("time.sleep(60)", "takes longer than 1 s"),
    ],
)
async def test_a_command_that_fails_is_said_so(make: Make, tmp_path: Path, program: str, words: str) -> None:
    await expect_error(make(command=command(tmp_path, program), timeout_s=1), "engine", words)
    assert list((tmp_path / "speech").iterdir()) == []


async def test_a_command_that_is_not_there(make: Make) -> None:
    await expect_error(make(command=["/nowhere/engine"]), "engine", "/nowhere/engine: No such file")


async def test_speech_markup_makes_a_difference(make: Make) -> None:
    """Pauses last as long as they are written, and the rate is heard (docs/rcml.md, Say)."""
    speech = make()

    async def lasts(text: str) -> int:
        return (await speech.say(f"<speak>{text}</speak>")).duration_ms

    plain, slow, fast = [await lasts(f'<prosody rate="{rate}">one two three</prosody>') for rate in ("medium", "50%", "200%")]
    assert slow > 1.4 * plain and plain > 1.2 * fast
    assert await lasts('one<break time="2500ms"/>two') - await lasts('one<break time="500ms"/>two') == pytest.approx(2000, abs=20)
