"""A World with a store. Properties assert behaviour, never duration: a busy machine makes no test fail."""

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.world import World

settings.register_profile("lowbit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lowbit")


@pytest.fixture
def world() -> World:
    """A cluster in which a ModelStore is ready, and nothing else."""
    world = World()
    world.add_store()
    return world
