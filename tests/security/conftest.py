"""The cluster in memory that the unit tests use."""

from tests.unit.conftest import world

__all__ = ["world"]
