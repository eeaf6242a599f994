"""Prompts: audio files that the application names by URL, fetched, decoded once, kept as canonical WAV.

    prepare(url) ─▶ known and fresh? ───────────────────────────────▶ the file
                    known, but stale? ─▶ ask with its validators ─ 304 ▶ the file, fresh again
                    else ─▶ download to disk ─▶ digest ─▶ that content decoded before? ─▶ the file
                                                          else ─▶ decode in a child ─▶ rename ─▶ the file

What is known of a URL lies beside the audio as a small JSON file under the URL's digest; the URL itself, which may hold
secrets, is not written. Concurrent requests for one URL share one flight. A failure is remembered for a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
import wave
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import msgspec

from media.errors import PromptError
from media.prompts import music
from media.prompts.cache import AudioCache, PromptFile, remove
from media.prompts.decoder import Decoder
from media.prompts.flights import Flights
from media.prompts.trimmer import Trimmer
from media.settings import PromptSettings

__all__ = ["Download", "Downloaded", "PromptError", "PromptFile", "PromptStore"]

log = logging.getLogger(__name__)

MAX_REMEMBERED_FAILURES = 1000
_FORMAT = "1"  # part of every content key: a change of the canonical form or of the resampler gives new keys


class Downloaded(Protocol):
    """What the downloader says. error "" means that a response came: then `status` is its status."""

    @property
    def status(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def last_modified(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def detail(self) -> str: ...


class Download(Protocol):
    """The guarded downloader: writes the body of a 200 to the path given, never more than `max_bytes`; does not raise."""

    async def __call__(self, url: str, max_bytes: int, to: Path, etag: str = "", last_modified: str = "", /) -> Downloaded: ...


class _Known(msgspec.Struct, frozen=True):
    """What is known of one URL. content: key of its audio. fetched_at: wall time of the last word from its server."""

    content: str
    fetched_at: float
    etag: str = ""
    last_modified: str = ""


class PromptStore:
    """The prompts of this server. Make it inside the running loop's process, close it before the loop ends.

    decoder: shared with others, or None for one of its own. clock: wall time in seconds.
    """

    def __init__(self, settings: PromptSettings, decoder: Decoder | None = None, clock: Callable[[], float] = time.time) -> None:
        if not settings.cache_dir:
            raise ValueError("prompts.cache_dir is empty")
        self._settings = settings
        self._cache = AudioCache(Path(settings.cache_dir), settings.cache_max_bytes, settings.cache_max_age_s, clock)
        self._decoder = decoder or Decoder(settings.decoders, settings.decode_timeout_s)
        self._own_decoder = decoder is None
        self._clock = clock
        self._flights: Flights[PromptFile] = Flights("prompt")
        self._trimmer = Trimmer("prompts", self._trim)
        self._failures: dict[str, tuple[float, PromptError]] = {}

    async def prepare(self, url: str, download: Download) -> PromptFile:
        """Have the audio of a URL ready to be played; `music.URL` is our own.

        Returns:
            A file that stays for at least ten minutes, and as long as the worker has it open.
        Raises:
            PromptError: fetch, format, too_large, blocked.
        """
        if url == music.URL:
            return await self._wait_music()
        key = _digest(url.encode("utf-8", "surrogateescape"))
        return await self._flights.share(key, lambda: self._remembering(key, self._obtain(key, url, download)))

    async def _wait_music(self) -> PromptFile:
        """Made when it is wanted first."""
        return await self._flights.share(_MUSIC, self._compose)

    async def _compose(self) -> PromptFile:
        try:
            return await asyncio.to_thread(self._keep_music)
        except OSError as error:
            raise PromptError("fetch", f"the prompt cache fails: {error.strerror or error}") from error

    def _keep_music(self) -> PromptFile:
        found = self._cache.find(_MUSIC)
        if found is not None:
            return found
        temporary = self._cache.temporary("wav")
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(music.RATE_HZ)
            file.writeframes(music.compose())
        return self._cache.keep(_MUSIC, temporary)

    async def close(self) -> None:
        """Break off what is under way and end the decoders."""
        await self._flights.close()
        await self._trimmer.close()
        if self._own_decoder:
            await self._decoder.close()

    async def _remembering(self, key: str, flight: Coroutine[Any, Any, PromptFile]) -> PromptFile:
        """A failure is not repeated at once."""
        try:
            file = await flight
        except PromptError as error:
            if len(self._failures) >= MAX_REMEMBERED_FAILURES:
                self._failures.clear()
            self._failures.setdefault(key, (self._clock() + self._settings.negative_s, error))
            raise
        self._failures.pop(key, None)
        return file

    # --- one flight -----------------------------------------------------------------------------------------------

    async def _obtain(self, key: str, url: str, download: Download) -> PromptFile:
        known, file = await asyncio.to_thread(self._look_up, key)
        age_s = self._clock() - known.fetched_at if known else 0.0
        if file is not None and 0 <= age_s < self._settings.fresh_s:
            return file
        until, failure = self._failures.get(key, (0.0, None))
        if failure is not None and self._clock() < until:
            raise PromptError(failure.code, failure.detail)
        self._failures.pop(key, None)
        try:
            body = await asyncio.to_thread(self._cache.temporary, "body")
            try:
                return await self._fetch(key, url, download, body, known if file is not None else None, file)
            finally:
                await asyncio.to_thread(remove, body)
        except OSError as error:
            log.error("prompt_cache_failed", extra={"directory": self._settings.cache_dir, "error": str(error)})
            raise PromptError("fetch", f"the prompt cache fails: {error.strerror or error}") from error

    async def _fetch(self, key: str, url: str, download: Download, body: Path, known: _Known | None, file: PromptFile | None) -> PromptFile:
        etag, last_modified = (known.etag, known.last_modified) if known else ("", "")
        answer = await download(url, self._settings.max_download_bytes, body, etag, last_modified)
        if known is not None and file is not None:
            if answer.status == 304 and not answer.error:
                await asyncio.to_thread(self._write_known, key, msgspec.structs.replace(known, fetched_at=self._clock()))
                return file
            if (answer.error in _OUTAGES or answer.status >= 500) and self._clock() - known.fetched_at < self._settings.stale_if_error_s:
                log.warning("prompt_stale_used", extra={"status": answer.status, "error": answer.error, "detail": answer.detail})
                return file
        if answer.error:
            raise PromptError(answer.error if answer.error in ("blocked", "too_large") else "fetch", answer.detail or answer.error)
        if answer.status != 200:
            raise PromptError("fetch", f"HTTP status {answer.status}")
        content = await asyncio.to_thread(_digest_file, body)
        file = await asyncio.to_thread(self._cache.find, content)
        if file is None:
            target = await asyncio.to_thread(self._cache.temporary, "wav")
            mpeg = _is_called_mpeg(answer.content_type, url, answer.url)
            await self._decoder.decode(body, target, self._settings.max_duration_s, mpeg=mpeg)
            file = await asyncio.to_thread(self._cache.keep, content, target)
        await asyncio.to_thread(self._write_known, key, _Known(content, self._clock(), answer.etag, answer.last_modified))
        self._trimmer.wake()
        return file

    # --- in a thread ----------------------------------------------------------------------------------------------

    def _look_up(self, key: str) -> tuple[_Known | None, PromptFile | None]:
        try:
            known = msgspec.json.decode(self._known_path(key).read_bytes(), type=_Known)
            return known, self._cache.find(known.content)
        except FileNotFoundError:
            return None, None
        except (msgspec.DecodeError, ValueError, OSError) as error:
            log.warning("prompt_index_unreadable", extra={"key": key, "error": str(error)})
            return None, None

    def _write_known(self, key: str, known: _Known) -> None:
        temporary = self._cache.temporary("json")
        temporary.write_bytes(msgspec.json.encode(known))
        os.replace(temporary, self._known_path(key))

    def _trim(self) -> None:
        """Trim the audio, and what is known of URLs that nobody asked for in as long a time."""
        self._cache.trim()
        horizon = self._clock() - self._settings.cache_max_age_s
        for path in self._cache.directory.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    path.unlink()

    def _known_path(self, key: str) -> Path:
        return self._cache.directory / f"{key}.json"


_MUSIC = hashlib.sha256(b"wait music 1").hexdigest()  # the key of our own music; another number when it is another piece

_OUTAGES = ("timeout", "connect", "tls", "protocol")  # of the downloader's errors: the server may be back soon


_MPEG_TYPES = frozenset(
    {*("audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mp3", "audio/x-mpeg", "audio/x-mpeg-3", "audio/mpg", "audio/x-mpg", "audio/mpa")}
)
_MPEG_NAMES = (".mp3", ".mp2", ".mpga")


def _is_called_mpeg(content_type: str, *urls: str) -> bool:
    """Whether its server, or its name, says that a file is MPEG audio (RFC 3003; and as it is written in the field)."""
    if content_type.partition(";")[0].strip().lower() in _MPEG_TYPES:
        return True
    return any(url.partition("#")[0].partition("?")[0].lower().endswith(_MPEG_NAMES) for url in urls)


def _digest(data: bytes) -> str:
    return hashlib.sha256(_FORMAT.encode() + data).hexdigest()


def _digest_file(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256(_FORMAT.encode())
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
