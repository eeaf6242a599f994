"""Open files: how many there are, and for how many calls."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from config.settings import Settings
from server import limits


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        limits.raise_soft_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits.hard_limit(), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_limit_at_all_is_more_than_anybody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert limits.hard_limit() == limits.MOST


def test_the_worker_wants_three_for_each_leg() -> None:
    assert limits.wanted_by_worker(settings(server={"max_calls": 100})) == 64 + 600
    assert [limits.calls_of_worker(limit) for limit in (0, 64, 69, 70, 664, 1024)] == [0, 0, 0, 1, 100, 160]


def test_the_control_process_wants_one_for_each_connection() -> None:
    http = {"max_concurrent": 100, "max_events": 20, "max_downloads": 3}
    assert limits.wanted_by_control(settings(sip={"transport": {"max_connections": 2000}}, http=http)) == 64 + 2123
