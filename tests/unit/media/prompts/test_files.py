"""Prompts by URL: fetched once, decoded once, asked for again with their validators, refused with a code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from media.errors import PromptError
from media.prompts import music
from media.prompts.files import PromptFile, PromptStore
from media.settings import PromptSettings
from tests.unit.media.prompts.audio import canonical, encoded, level_db, tone, wav

URL = "http://app.example/ring.wav"
BEEP = wav([tone(1000, 16000, 0.5)], 16000)
OTHER = wav([tone(400, 16000, 0.25)], 16000)


@dataclass
class Answer:
    status: int = 200
    etag: str = ""
    url: str = ""
    content_type: str = ""
    last_modified: str = ""
    error: str = ""
    detail: str = ""
    body: bytes = b""


@dataclass
class Web:
    """The downloader: answers by URL, and what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, int, str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    raises: Exception | None = None

    async def __call__(self, url: str, max_bytes: int, to: Path, etag: str = "", last_modified: str = "", /) -> Answer:
        self.asked.append((url, max_bytes, etag, last_modified))
        if self.gate is not None:
            await self.gate.wait()
        if self.raises is not None:
            raise self.raises
        answer = self.answers[url]
        if etag and etag == answer.etag:
            return Answer(304, etag)
        if answer.status == 200 and not answer.error:
            write(to, answer.body)
        return answer


def write(path: Path, body: bytes) -> None:
    path.write_bytes(body)


def remove(path: str) -> None:
    Path(path).unlink()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


Make = Callable[..., PromptStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web() -> Web:
    return Web({URL: Answer(etag='"1"', last_modified="yesterday", body=BEEP)})


@pytest.fixture
async def make(tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    stores: list[PromptStore] = []

    def build(**settings: object) -> PromptStore:
        values = {"cache_dir": str(tmp_path / "prompts"), "decoders": 1} | settings
        stores.append(PromptStore(PromptSettings.model_validate(values), clock=clock))
        return stores[-1]

    yield build
    for store in stores:
        await store.close()


def leftovers(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "prompts").glob("*.tmp")]


def names(tmp_path: Path) -> str:
    return " ".join(path.name + path.read_text() for path in (tmp_path / "prompts").glob("*.json"))


async def expect_error(store: PromptStore, web: Web, code: str, words: str) -> None:
    with pytest.raises(PromptError, match=words) as raised:
        await store.prepare(URL, web)
    assert raised.value.code == code


# --- fetching -----------------------------------------------------------------------------------------------------


async def test_a_file_becomes_canonical(make: Make, web: Web, tmp_path: Path) -> None:
    file = await make(max_download_bytes=50_000).prepare(URL, web)
    assert file.duration_ms == 500
    assert level_db(canonical(file.path), 1000) == pytest.approx(-6.02, abs=0.2)
    assert web.asked == [(URL, 50_000, "", "")]
    assert leftovers(tmp_path) == []


async def test_a_fresh_file_is_not_asked_for_again(make: Make, web: Web, clock: Clock) -> None:
    store = make(fresh_s=60)
    file = await store.prepare(URL, web)
    clock.now += 59
    assert await store.prepare(URL, web) == file
    assert len(web.asked) == 1


async def test_concurrent_requests_share_one_fetch(make: Make, web: Web) -> None:
    web.gate = asyncio.Event()
    store = make()
    waiting = [asyncio.create_task(store.prepare(URL, web)) for _ in range(5)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    web.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert len({result.path for result in results[1:] if isinstance(result, PromptFile)}) == 1
    assert len(web.asked) == 1


async def test_a_stale_file_is_asked_for_with_its_validators(make: Make, web: Web, clock: Clock) -> None:
    store = make(fresh_s=60)
    file = await store.prepare(URL, web)
    clock.now += 61
    assert await store.prepare(URL, web) == file
    assert web.asked[1][2:] == ('"1"', "yesterday")
    clock.now += 59
    await store.prepare(URL, web)
    assert len(web.asked) == 2, "a 304 makes it fresh again"


async def test_a_changed_file_is_decoded_anew(make: Make, web: Web, clock: Clock) -> None:
    store = make(fresh_s=60)
    before = await store.prepare(URL, web)
    web.answers[URL] = Answer(etag='"2"', body=OTHER)
    clock.now += 61
    after = await store.prepare(URL, web)
    assert (before.duration_ms, after.duration_ms) == (500, 250)
    assert canonical(before.path).size == 4000, "who plays the old one may go on"


async def test_the_same_content_under_two_urls_is_one_file(make: Make, web: Web) -> None:
    web.answers["http://b/"] = Answer(body=BEEP)
    store = make()
    assert await store.prepare(URL, web) == await store.prepare("http://b/", web)


async def test_the_cache_outlives_the_process(make: Make, web: Web) -> None:
    first = make()
    file = await first.prepare(URL, web)
    await first.close()
    assert await make().prepare(URL, web) == file
    assert len(web.asked) == 1


async def test_a_file_that_vanished_is_fetched_again_without_validators(make: Make, web: Web, tmp_path: Path) -> None:
    store = make()
    file = await store.prepare(URL, web)
    remove(file.path)
    assert await store.prepare(URL, web) == file
    assert web.asked[1][2:] == ("", "")


async def test_a_damaged_index_is_no_obstacle(make: Make, web: Web, tmp_path: Path) -> None:
    store = make()
    await store.prepare(URL, web)
    for content in ("garbage", '{"content": "../../x", "fetched_at": 0}'):
        for path in (tmp_path / "prompts").glob("*.json"):
            path.write_text(content)
        assert (await store.prepare(URL, web)).duration_ms == 500


async def test_urls_with_secrets_are_not_written_down(make: Make, web: Web, tmp_path: Path) -> None:
    secret = "http://user:hunter2@app/x.wav"
    web.answers[secret] = Answer(body=BEEP)
    await make().prepare(secret, web)
    assert "content" in names(tmp_path)
    assert "hunter2" not in names(tmp_path)


# --- failing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer(0, error="timeout", detail="nothing within 5 s"), "fetch", "nothing within 5 s"),
        (Answer(0, error="blocked", detail="10.0.0.1"), "blocked", "10.0.0.1"),
        (Answer(0, error="too_large", detail="more than 1000"), "too_large", "more than 1000"),
        (Answer(0, error="redirects"), "fetch", "redirects"),
        (Answer(404), "fetch", "HTTP status 404"),
        (Answer(204), "fetch", "HTTP status 204"),
        (Answer(304), "fetch", "HTTP status 304"),
        (Answer(200, body=b"<html>Log in</html>"), "format", "neither WAV"),
        (Answer(200, body=b""), "format", "neither WAV"),
        (Answer(200, body=wav([tone(1, 8000, 0)], 8000)), "format", "holds no audio"),
        (Answer(200, body=wav([tone(1, 8000, 3.0)], 8000)), "too_large", "longer than 2 s"),
    ],
)
async def test_what_cannot_be_played_has_a_code(make: Make, web: Web, tmp_path: Path, answer: Answer, code: str, words: str) -> None:
    web.answers[URL] = answer
    await expect_error(make(max_duration_s=2), web, code, words)
    assert leftovers(tmp_path) == []


async def test_a_failure_is_remembered_for_a_moment(make: Make, web: Web, clock: Clock) -> None:
    store = make(negative_s=5)
    good, web.answers[URL] = web.answers[URL], Answer(404)
    await expect_error(store, web, "fetch", "404")
    web.answers[URL] = good
    clock.now += 4
    await expect_error(store, web, "fetch", "404")
    assert len(web.asked) == 1
    clock.now += 2
    assert (await store.prepare(URL, web)).duration_ms == 500


@pytest.mark.parametrize("outage", [Answer(0, error="connect"), Answer(0, error="timeout"), Answer(503)])
async def test_an_outage_leaves_the_file_at_hand_in_use(make: Make, web: Web, clock: Clock, outage: Answer) -> None:
    store = make(fresh_s=60, stale_if_error_s=600)
    file = await store.prepare(URL, web)
    web.answers[URL] = outage
    clock.now += 599
    assert await store.prepare(URL, web) == file
    clock.now += 2
    await expect_error(store, web, "fetch", ".")


@pytest.mark.parametrize("refusal", [Answer(404), Answer(410), Answer(0, error="blocked"), Answer(0, error="too_large")])
async def test_a_refusal_is_no_outage(make: Make, web: Web, clock: Clock, refusal: Answer) -> None:
    store = make(fresh_s=60)
    await store.prepare(URL, web)
    web.answers[URL] = refusal
    clock.now += 61
    with pytest.raises(PromptError):
        await store.prepare(URL, web)


async def test_a_bug_of_the_downloader_is_not_taken_for_an_answer(make: Make, web: Web, tmp_path: Path) -> None:
    web.raises = RuntimeError("bug")
    store = make()
    with pytest.raises(RuntimeError):
        await store.prepare(URL, web)
    web.raises = None
    assert (await store.prepare(URL, web)).duration_ms == 500
    assert leftovers(tmp_path) == []


async def test_a_cache_that_cannot_be_written_is_said_so(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = PromptStore(PromptSettings(cache_dir=str(tmp_path / "file")))
    await expect_error(store, web, "fetch", "prompt cache")
    await store.close()


async def test_closing_breaks_off_what_is_under_way(make: Make, web: Web, tmp_path: Path) -> None:
    web.gate = asyncio.Event()
    store = make()
    waiting = asyncio.create_task(store.prepare(URL, web))
    await asyncio.sleep(0.05)
    await store.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert leftovers(tmp_path) == []


def test_an_empty_cache_directory_is_the_callers_bug() -> None:
    with pytest.raises(ValueError, match="cache_dir"):
        PromptStore(PromptSettings())


@pytest.mark.parametrize(
    ("url", "content_type", "redirected", "played"),
    [
        ("http://app.example/a", "audio/mpeg", "", True),
        ("http://app.example/a", "Audio/MP3; charset=x", "", True),
        ("http://app.example/a", "audio/x-mpeg", "", True),
        ("http://app.example/a.MP3?token=1", "application/octet-stream", "", True),
        ("http://app.example/a", "", "http://cdn.example/b.mp3", True),
        ("http://app.example/a.wav", "audio/wav", "", False),
        ("http://app.example/a", "", "", False),
        ("http://app.example/a?x=.mp3", "text/html", "", False),
    ],
)
async def test_mp3_that_begins_within_a_frame_is_played_when_it_is_called_one(
    make: Make, url: str, content_type: str, redirected: str, played: bool
) -> None:
    body = bytes(137) + encoded("mp3", "libmp3lame", tone(1000, 16000, 0.5), 16000, "fltp")
    web = Web({url: Answer(body=body, content_type=content_type, url=redirected or url)})
    if played:
        assert (await make().prepare(url, web)).duration_ms >= 400
    else:
        with pytest.raises(PromptError, match="neither WAV"):
            await make().prepare(url, web)


async def test_our_own_music_is_made_once_and_again_when_it_has_vanished(make: Make, web: Web) -> None:
    store = make()
    file, same = await asyncio.gather(store.prepare(music.URL, web), store.prepare(music.URL, web))
    assert file == same and 10_000 < file.duration_ms < 30_000
    remove(file.path)
    again = await store.prepare(music.URL, web)
    assert web.asked == []
    assert again == file
