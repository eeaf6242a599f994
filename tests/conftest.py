"""The fixtures of all tests with a running server, here so that they share one. Pure tests do not ask for them."""

from tests.support.fixtures import app, scene, server

__all__ = ["app", "scene", "server"]
