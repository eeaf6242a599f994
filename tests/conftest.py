"""The fixtures of all tests with a running server or worker, here so that they share one server. Pure tests do not ask for them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fixtures import alice, app, bob, media, own, own_server, phones, scene, server, worker
from tests.support.held_up import pytest_runtest_makereport, pytest_runtest_protocol, pytest_runtest_setup, pytest_terminal_summary

__all__ = [
    "alice",
    "app",
    "bob",
    "media",
    "own",
    "own_server",
    "phones",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "scene",
    "server",
    "worker",
]

# How long an example takes says more of the machine's other work than of ours.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


# Where the tests of a marker stand, and no others; `.ci/test` looks for them there.
FOLDERS = {marker: Path(__file__).parent / marker for marker in ("sipp", "interop", "driver", "worker", "load")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the server go first: at its end it waits until SIP has forgotten the last call (32 s), which passes meanwhile."""
    for item in items:
        marked = {marker for marker in FOLDERS if item.get_closest_marker(marker)}
        placed = {marker for marker, folder in FOLDERS.items() if item.path.is_relative_to(folder)}
        if marked != placed:
            raise pytest.UsageError(f"{item.nodeid} has the markers {sorted(marked)} and stands in the folder of {sorted(placed)}")
    items.sort(key=lambda item: "server" not in getattr(item, "fixturenames", ()))
