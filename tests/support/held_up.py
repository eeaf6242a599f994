"""Tests whose judgement hangs on time are done anew when the machine held them up, a few times; `tests/conftest.py` takes these hooks.

Only a `HeldUp` counts (`pace.py`): an assertion in a block that says it is about time, which failed while a stall was measured. Anything
else that fails is a failure at once, but for one: the first test of a run with real sockets and real time that fails without such a cause
is done once more, since no measure sees everything. A fault shows again; what does not is told in full, as a question that is open.
What was done anew is told at the end, for who would know how busy the machine was.
"""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest
from _pytest.runner import runtestprotocol

from tests.support.pace import PACE, TRIES, HeldUp

# What holds a machine up passes, as a rule: so long is waited for that, and each time longer.
REST_S = 1.0
_REASON = pytest.StashKey[str]()
_TOLD = pytest.StashKey[list[str]]()
_UNEXPLAINED = pytest.StashKey[list[pytest.TestReport]]()
REAL_TIME = ("sipp", "interop", "driver", "worker")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    PACE.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(HeldUp):
        item.stash[_REASON] = str(call.excinfo.value)
    if report.failed:
        report.sections.append(("the pace of this machine", PACE.told()))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """As pytest's own, but that a test which was held up is not reported and comes again."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for number in range(1, TRIES + 1):
        item.stash[_REASON] = ""
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if number == TRIES or not _comes_again(item, reports, number):
            break
        time.sleep(REST_S * number)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _comes_again(item: pytest.Item, reports: list[pytest.TestReport], number: int) -> bool:
    # What was broken off leaves something behind, which the end of the test complains of: that goes with it.
    failed = [report for report in reports if report.failed]
    if not any(report.when == "call" for report in failed):
        return False
    if item.stash[_REASON]:
        item.config.stash.setdefault(_TOLD, []).append(f"{item.nodeid} (try {number}): {item.stash[_REASON]}")
        return True
    unexplained = item.config.stash.setdefault(_UNEXPLAINED, [])
    if unexplained or not any(item.get_closest_marker(marker) for marker in REAL_TIME):
        return False
    unexplained += failed
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    told = config.stash.get(_TOLD, [])
    if told:
        terminalreporter.section(f"done anew, because this machine held somebody up: {len(told)}")
        for one in told:
            terminalreporter.line("\n    ".join(one.splitlines()[:1] + one.splitlines()[-1:]))
    for report in config.stash.get(_UNEXPLAINED, []):
        terminalreporter.section(f"done once more, and nobody knows why it failed: {report.nodeid} ({report.when})")
        terminalreporter.line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.line(f"{title}: {text}")
