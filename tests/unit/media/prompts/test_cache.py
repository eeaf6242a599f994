"""The cache of decoded audio: whole files only, the oldest out first, nothing that was just handed out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from media.prompts.cache import HOLD_S, STALE_TEMPORARY_S, AudioCache, PromptFile

KEYS = [character * 64 for character in "abcdef"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache(tmp_path: Path, clock: Clock, max_bytes: int = 10_000, max_age_s: float = 86400.0) -> AudioCache:
    return AudioCache(tmp_path / "cache", max_bytes, max_age_s, clock)


def put(into: AudioCache, key: str, size: int = 3000) -> PromptFile:
    temporary = into.temporary("wav")
    temporary.write_bytes(bytes(size))
    return into.keep(key, temporary)


def kept(of: AudioCache) -> list[str]:
    return sorted(path.stem[0] for path in of.directory.glob("*.wav"))


def test_a_kept_file_is_found_with_its_duration(tmp_path: Path, clock: Clock) -> None:
    c = cache(tmp_path, clock)
    file = put(c, KEYS[0], 44 + 16_000)
    assert file == PromptFile(str(tmp_path / "cache" / f"{KEYS[0]}.wav"), 1000)
    assert c.find(KEYS[0]) == file
    assert c.find(KEYS[1]) is None
    assert not list(c.directory.glob("*.tmp"))


def test_an_empty_file_counts_as_absent(tmp_path: Path, clock: Clock) -> None:
    c = cache(tmp_path, clock)
    with pytest.raises(FileNotFoundError):
        put(c, KEYS[0], 44)
    assert c.find(KEYS[0]) is None


def test_the_least_recently_used_goes_first(tmp_path: Path, clock: Clock) -> None:
    c = cache(tmp_path, clock)
    for key in KEYS[:4]:
        put(c, key)
        clock.now += 1
    c.find(KEYS[0])  # used again
    clock.now += HOLD_S + 1
    c.trim()
    assert kept(c) == ["a", "c", "d"]


def test_what_was_just_handed_out_stays_though_the_limit_is_passed(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    c = cache(tmp_path, clock, max_bytes=3000)
    put(c, KEYS[0])
    clock.now += HOLD_S - 1
    put(c, KEYS[1])
    c.trim()
    assert kept(c) == ["a", "b"]
    assert [record.message for record in caplog.records] == ["audio_cache_over_limit"]
    clock.now += 2
    c.trim()
    assert kept(c) == ["b"]


def test_what_nobody_used_for_long_goes(tmp_path: Path, clock: Clock) -> None:
    c = cache(tmp_path, clock, max_age_s=3600)
    put(c, KEYS[0])
    clock.now += 1800
    put(c, KEYS[1])
    clock.now += 1801
    c.trim()
    assert kept(c) == ["b"]


def test_half_made_files_of_an_earlier_run_are_removed_and_younger_ones_left(tmp_path: Path, clock: Clock) -> None:
    c = cache(tmp_path, clock)
    c.directory.mkdir()
    for name, age_s in (("old.wav.tmp", STALE_TEMPORARY_S + 1), ("young.wav.tmp", 10)):
        (c.directory / name).touch()
        os.utime(c.directory / name, (clock.now - age_s, clock.now - age_s))
    c.temporary("wav")
    assert [path.name for path in c.directory.iterdir()] == ["young.wav.tmp"]


def test_trimming_a_cache_that_was_never_used(tmp_path: Path, clock: Clock) -> None:
    cache(tmp_path, clock).trim()


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "a/b"])
def test_keys_are_digests_only(tmp_path: Path, clock: Clock, key: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        cache(tmp_path, clock).find(key)
