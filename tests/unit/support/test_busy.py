"""What is read from the output of a run of all stages."""

from __future__ import annotations

from tests.load.busy import Run, read

OUTPUT = """
lint
  ruff check                                  ok      1 s
  mypy --strict                               FAIL   12 s

calls
...F. [100%]
============ done anew, because this machine held somebody up: 3 ============
tests/worker/test_digits.py::test_keys[as sent] (try 1): keys
    (the machine held up a phone for 200 ms, 1 times in all)
tests/worker/test_digits.py::test_keys[as sent] (try 2): keys
tests/worker/test_opus.py::test_copies (try 1): assert 3 > 4
FAILED tests/worker/test_digits.py::test_keys[as sent] - AssertionError: keys
  pytest: media                               FAIL  120 s
FAILED after 133 s: mypy --strict; pytest: media;
"""


def test_failures_and_what_was_done_anew_are_told_by_name() -> None:
    keys = "tests/worker/test_digits.py::test_keys[as sent]"
    assert read(OUTPUT, 1, 133.0) == Run(False, 133.0, [keys, "mypy --strict"], [keys, keys, "tests/worker/test_opus.py::test_copies"])


def test_a_run_that_went_well_names_nothing() -> None:
    assert read("  ruff check      ok      1 s\nall good after 3 s: lint\n", 0, 3.0) == Run(True, 3.0, [], [])
