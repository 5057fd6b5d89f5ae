"""What the tests of agents need."""

from collections.abc import Iterator

import pytest

from agents_app import liveness


@pytest.fixture(autouse=True)
def no_signs_of_life_after_a_test() -> Iterator[None]:
    """Set up after the database, and so taken down before it."""
    yield
    liveness.stop()
