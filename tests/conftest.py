"""The fixtures of all tests with a running server or worker, here so that they share one server. Pure tests do not ask for them."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fixtures import app, media, scene, server, worker
from tests.support.held_up import pytest_runtest_makereport, pytest_runtest_protocol, pytest_runtest_setup, pytest_terminal_summary

__all__ = [
    "app",
    "media",
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the server go first: at its end it waits until SIP has forgotten the last call (32 s), which passes meanwhile."""
    items.sort(key=lambda item: "server" not in getattr(item, "fixturenames", ()))
