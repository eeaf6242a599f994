"""What is judged by time: a stall that was measured is an excuse, a few times; a fault without one, or one that stays, is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import sleeper
from tests.support.pace import PART_TRIES, TRIES, HeldUp, Pace, in_time, judged_by_time

ROOT = Path(__file__).parents[3]


def wrong() -> None:
    raise AssertionError("heard twice")


def test_a_failure_without_a_stall_is_a_failure() -> None:
    pace = Pace()
    with pytest.raises(AssertionError) as failure, judged_by_time(pace=pace):
        wrong()
    assert not isinstance(failure.value, HeldUp)


def test_a_failure_that_a_stall_has_met_says_nothing() -> None:
    pace = Pace()
    began = time.monotonic()
    pace.note(0.03, "a phone")
    with pytest.raises(HeldUp, match=r"heard twice(?s:.*)a phone for 30 ms, 1 times"), judged_by_time(began, pace=pace):
        wrong()


def test_what_was_before_and_what_is_short_is_no_excuse() -> None:
    pace = Pace()
    pace.note(0.03, "a phone")
    pace.begin()
    pace.note(0.006, "a phone")
    with pytest.raises(AssertionError) as failure, judged_by_time(pace=pace):
        wrong()
    assert not isinstance(failure.value, HeldUp)
    pace.note(0.08, "a phone")
    with pytest.raises(AssertionError) as failure, judged_by_time(allowed_s=0.1, pace=pace):
        wrong()
    assert not isinstance(failure.value, HeldUp)


def test_what_holds_is_not_asked_about_stalls() -> None:
    pace = Pace()
    pace.note(1.0, "a phone")
    with judged_by_time(pace=pace):
        pass


class Attempt:
    """Fails so often, each time with or without a stall."""

    def __init__(self, pace: Pace, failures: int, stalled: bool) -> None:
        self.pace, self.failures, self.stalled, self.made = pace, failures, stalled, 0

    async def __call__(self) -> int:
        self.made += 1
        if self.stalled:
            self.pace.note(0.05, "a phone")
        if self.made <= self.failures:
            wrong()
        return self.made


@pytest.mark.parametrize(("failures", "stalled", "made"), [(0, False, 1), (1, True, 2), (PART_TRIES - 1, True, PART_TRIES)])
async def test_an_attempt_that_was_held_up_is_made_again(failures: int, stalled: bool, made: int) -> None:
    pace = Pace()
    assert await in_time(Attempt(pace, failures, stalled), pace=pace) == made


@pytest.mark.parametrize(("stalled", "made"), [(False, 1), (True, PART_TRIES)])
async def test_a_fault_is_found_at_once_or_is_one_for_the_whole_test_to_try_again(stalled: bool, made: int) -> None:
    pace = Pace()
    attempt = Attempt(pace, 100, stalled)
    with pytest.raises(AssertionError, match=f"heard twice(?s:.*)try {made} of {PART_TRIES}") as failure:
        await in_time(attempt, pace=pace)
    assert attempt.made == made
    assert isinstance(failure.value, HeldUp) == stalled


# --- tests that are done anew -------------------------------------------------------------------------------------------

TESTS = f"""
import time
from tests.support.pace import PACE, judged_by_time

made = {{}}

def once_more(name):
    made[name] = made.get(name, 0) + 1
    return made[name]

def test_held_up_twice():
    PACE.note(0.05, "a phone")
    with judged_by_time():
        assert once_more("twice") == 3

def test_held_up_always():
    PACE.note(0.05, "a phone")
    once_more("always")
    with judged_by_time():
        assert not "heard twice"

def test_wrong_though_held_up():
    PACE.note(0.05, "a phone")
    once_more("wrong")
    assert not "outside of the block"

def test_wrong_and_not_held_up():
    once_more("fault")
    with judged_by_time():
        assert not "nobody stalled"

def test_how_often():
    assert made == {{"twice": 3, "always": {TRIES}, "wrong": 1, "fault": 1}}
"""


def run_of(tests: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """A run of these tests alone, which does not rest before it does one anew."""
    (directory / "test_it.py").write_text(tests)
    (directory / "conftest.py").write_text("from tests.support import held_up\n\nheld_up.REST_S = 0.0\n")
    command = [sys.executable, "-m", "pytest", "--rootdir", str(directory), "-c", os.devnull, "-p", "tests.support.held_up"]
    command += ["-p", "no:cacheprovider", str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_test_is_done_anew_when_it_was_held_up_and_only_then(tmp_path: Path) -> None:
    ran = run_of(TESTS, tmp_path)
    assert "3 failed, 2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert f"done anew, because this machine held somebody up: {2 + TRIES - 1}" in ran.stdout
    assert "test_held_up_twice (try 1)" in ran.stdout and "a phone for 50 ms" in ran.stdout


REAL_TIME = """
import pytest

made = []

@pytest.mark.sipp
def test_fails_once():
    made.append("once")
    assert len(made) == 2, "heard nothing"

@pytest.mark.sipp
def test_fails_next():
    made.append("next")
    assert len(made) == 4

def test_how_often():
    assert made == ["once", "once", "next"]
"""


def test_the_first_failure_in_real_time_that_nothing_explains_is_done_once_more_and_told(tmp_path: Path) -> None:
    ran = run_of(REAL_TIME, tmp_path)
    assert "1 failed, 2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "nobody knows why it failed: test_it.py::test_fails_once (call)" in ran.stdout
    assert "AssertionError: heard nothing" in ran.stdout


def test_a_sleeper_says_by_how_much_it_woke_late() -> None:
    late = sleeper.stalls(-1.0)  # any time at all
    assert all(0 <= next(late) < 10 for _ in range(3))
