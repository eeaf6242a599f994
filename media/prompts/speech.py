"""Text to speech for `<Say>`: a text becomes a canonical WAV, once; after that it is a file like any other prompt.

Three engines: espeak-ng in a child process (offline, from its wheel), a command of the operator's, or a service that whoever makes this
reaches (`Voice`). Each writes audio of any kind, which the decoder makes canonical. What was spoken is kept under the digest of all that
shapes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from media.errors import PromptError, SpeechError
from media.prompts.cache import AudioCache, PromptFile, remove
from media.prompts.children import ChildFailed, ChildPool
from media.prompts.decoder import Decoder
from media.prompts.flights import Flights
from media.prompts.trimmer import Trimmer
from media.settings import SpeechSettings

__all__ = ["LANGUAGES", "VOICES", "Speech", "SpeechError", "find_language"]

log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("espeak_child.py")
_FORMAT = "1"  # part of every key: a change of how the engine is used gives new keys

VOICES = {"man": "+m3", "woman": "+f3"}

# What RCML's language attribute may say → espeak-ng's name (a file of its `lang` folder). bf, bp, cf and dan are RCML's own;
# other names are language tags.
LANGUAGES = {
    "ar": "ar",
    "bf": "fr-be",
    "bg": "bg",
    "bp": "pt-br",
    "ca": "ca",
    "cf": "fr",  # no Canadian French in the engine
    "cs": "cs",
    "da": "da",
    "dan": "da",
    "de": "de",
    "el": "el",
    "en": "en-us",
    "en-gb": "en",
    "en-us": "en-us",
    "es": "es",
    "es-mx": "es-419",
    "es-us": "es-419",
    "et": "et",
    "fa": "fa",
    "fi": "fi",
    "fr": "fr",
    "fr-be": "fr-be",
    "fr-ch": "fr-ch",
    "ga": "ga",
    "he": "he",
    "hi": "hi",
    "hr": "hr",
    "hu": "hu",
    "id": "id",
    "is": "is",
    "it": "it",
    "ko": "ko",
    "lt": "lt",
    "lv": "lv",
    "nb": "nb",
    "nl": "nl",
    "no": "nb",
    "pl": "pl",
    "pt": "pt",
    "pt-br": "pt-br",
    "ro": "ro",
    "ru": "ru",
    "sk": "sk",
    "sl": "sl",
    "sr": "sr",
    "sv": "sv",
    "tr": "tr",
    "uk": "uk",
    "vi": "vi",
    "zh": "cmn",
}


def find_language(language: str) -> str | None:
    """The engine's name of a language attribute: exact, else by its primary tag (`es-AR` is `es`); None when unknown."""
    tag = language.strip().lower().replace("_", "-")
    return LANGUAGES.get(tag) or LANGUAGES.get(tag.partition("-")[0])


class Voice(Protocol):
    """An engine elsewhere."""

    async def speak(self, text: str, voice: str, language: str, target: Path) -> None:
        """Have a text spoken into a file of any audio format. text: SSML when it begins with `<speak`. Raises SpeechError."""


class Speech:
    """The voices of this server. Close it before the loop ends.

    decoder: shared with others, or None for one of its own. clock: wall time in seconds. voice: an engine elsewhere, which rules over the
    others.
    """

    def __init__(
        self,
        settings: SpeechSettings,
        decoder: Decoder | None = None,
        clock: Callable[[], float] = time.time,
        voice: Voice | None = None,
    ) -> None:
        if not settings.cache_dir:
            raise ValueError("speech.cache_dir is empty")
        self._settings = settings
        self._cache = AudioCache(Path(settings.cache_dir), settings.cache_max_bytes, settings.cache_max_age_s, clock)
        self._children = ChildPool(_PROGRAM, settings.processes)
        self._commands = asyncio.Semaphore(settings.processes)
        self._decoder = decoder or Decoder(settings.processes, settings.timeout_s)
        self._own_decoder = decoder is None
        self._voice = voice
        self._flights: Flights[PromptFile] = Flights("speech")
        self._trimmer = Trimmer("speech", self._cache.trim)

    async def say(self, text: str, voice: str = "man", language: str = "en") -> PromptFile:
        """Have a text spoken. SSML is understood when the text begins with `<speak`.

        Args:
            text: what to say, at most `speech.max_characters`.
            voice: man or woman.
            language: as in `<Say language>`.
        Raises:
            SpeechError: language (unknown), too_large, or engine (all else).
        """
        text = " ".join(text.replace("\0", " ").split())
        if not text:
            raise SpeechError("engine", "nothing to say")
        if len(text) > self._settings.max_characters:
            raise SpeechError(
                "too_large", f"{len(text)} characters, at most {self._settings.max_characters} are spoken (speech.max_characters)"
            )
        if voice not in VOICES:
            raise SpeechError("engine", f"unknown voice {voice}; known are {', '.join(VOICES)}")
        if self._voice is None and not self._settings.command and find_language(language) is None:
            raise SpeechError("language", f"unknown language {language}")
        key = self._key(text, voice, language)
        return await self._flights.share(key, lambda: self._obtain(key, text, voice, language))

    async def close(self) -> None:
        """Break off what is under way and end the children."""
        await self._flights.close()
        await self._trimmer.close()
        await self._children.close()
        if self._own_decoder:
            await self._decoder.close()

    def _key(self, text: str, voice: str, language: str) -> str:
        how = [_FORMAT, self._settings.command, self._settings.url, self._settings.words_per_minute, voice, language.strip().lower()]
        return hashlib.sha256(json.dumps([*how, text]).encode()).hexdigest()

    async def _obtain(self, key: str, text: str, voice: str, language: str) -> PromptFile:
        try:
            if (file := await asyncio.to_thread(self._cache.find, key)) is not None:
                return file
            spoken = await asyncio.to_thread(self._cache.temporary, "spoken")
            target = await asyncio.to_thread(self._cache.temporary, "wav")
            try:
                if self._voice is not None:
                    await self._voice.speak(text, voice, language, spoken)
                elif self._settings.command:
                    await self._run_command(text, voice, language, spoken)
                else:
                    await self._ask_espeak(text, voice, language, spoken)
                await self._decoder.decode(spoken, target, self._settings.max_duration_s)
            finally:
                await asyncio.to_thread(remove, spoken)
            file = await asyncio.to_thread(self._cache.keep, key, target)
            self._trimmer.wake()
        except PromptError as error:
            raise SpeechError("too_large" if error.code == "too_large" else "engine", f"what the engine wrote: {error.detail}") from error
        except OSError as error:
            log.error("speech_cache_failed", extra={"directory": self._settings.cache_dir, "error": str(error)})
            raise SpeechError("engine", f"the speech cache fails: {error.strerror or error}") from error
        return file

    async def _ask_espeak(self, text: str, voice: str, language: str, target: Path) -> None:
        request = {
            "text": text,
            "voice": f"{find_language(language)}{VOICES[voice]}",
            "words_per_minute": self._settings.words_per_minute,
            "ssml": text.startswith("<speak"),
            "target": str(target),
            "max_ms": round(self._settings.max_duration_s * 1000),
        }
        try:
            answer = await self._children.ask(request, self._settings.timeout_s)
        except ChildFailed as failed:
            raise SpeechError("engine", f"the speech engine {failed.detail}") from failed
        if error := answer.get("error"):
            code = {"voice": "language", "too_large": "too_large"}.get(error, "engine")
            raise SpeechError(code, str(answer.get("detail", "")))

    async def _run_command(self, text: str, voice: str, language: str, target: Path) -> None:
        """The operator's engine: the text on its standard input, a WAV at {output}."""
        values = {"{language}": language, "{voice}": voice, "{output}": str(target)}
        arguments = [_fill(argument, values) for argument in self._settings.command]
        async with self._commands:
            try:
                process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise SpeechError("engine", f"{arguments[0]}: {error.strerror or error}") from error
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    _, words = await process.communicate(text.encode())
            except TimeoutError:
                raise SpeechError("engine", f"{arguments[0]} takes longer than {self._settings.timeout_s:g} s") from None
            finally:
                with contextlib.suppress(ProcessLookupError):  # with all that it started
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
        if process.returncode:
            last = words.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise SpeechError(
                "engine", f"{arguments[0]} exited with status {process.returncode}{': ' if last else ''}{''.join(last)[:200]}"
            )


def _fill(argument: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        argument = argument.replace(name, value)
    return argument
