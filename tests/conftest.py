"""The fixtures of all tests with a running server, here so that they share one. Pure tests do not ask for them."""

from hypothesis import HealthCheck, settings

from tests.support.fixtures import app, scene, server

__all__ = ["app", "scene", "server"]

# How long an example takes says more of the machine's other work than of ours.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
