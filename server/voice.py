"""A speech engine of the operator's behind HTTP: a text goes there, and audio comes back (`media.speech.url`).

The operator has named it, so it may be anywhere; what it sends is bounded by octets and time, and decoded as any application's audio is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from media.errors import SpeechError
from media.settings import SpeechSettings
from server.applications.failures import failure_of

_CHUNK = 65_536


class HttpVoice:
    """Made and closed inside a running event loop."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    async def close(self) -> None:
        await self._session.close()

    async def speak(self, text: str, voice: str, language: str, target: Path) -> None:
        """Have a text spoken into a file of any audio format. text: SSML when it begins with `<speak`. Raises SpeechError."""
        settings = self._settings
        request = {"text": text, "ssml": text.startswith("<speak"), "voice": voice, "language": language}
        token = settings.token.get_secret_value()
        headers = {"Accept": "audio/*"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            async with self._session.post(settings.url, json=request, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise SpeechError("engine", f"{settings.url} answered {answer.status}, not 200 (media.speech.url)")
                await self._store(answer, target)
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise SpeechError("engine", f"{settings.url}: {failure_of(problem, [], settings.timeout_s).detail}") from problem

    async def _store(self, answer: aiohttp.ClientResponse, target: Path) -> None:
        size, most = 0, self._settings.max_answer_bytes
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise SpeechError("too_large", f"more than {most} octets of audio (media.speech.max_answer_bytes)")
                await asyncio.to_thread(file.write, chunk)
        if not size:
            raise SpeechError("engine", f"{self._settings.url} answered without audio")
