"""What simulations share."""

from __future__ import annotations

import pytest

from tests.simulation.hall import Hall, conference


@pytest.fixture
def hall() -> Hall:
    hall = Hall(1)
    hall.open(conference())
    return hall
