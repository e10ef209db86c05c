"""With two processes (`make test`): one has the cluster and the engine's images, the other all that needs neither."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

HEAVY = ("engine", "cluster", "e2e", "last")
"""Folders of tests/ that share the cluster, and follow each other in this order."""


class ByMachine(LoadScopeScheduling):  # type: ignore[misc]
    """Each half stays in one process, in the order in which it was collected."""

    def _split_scope(self, nodeid: str) -> str:
        return "heavy" if nodeid.split("/")[1] in HEAVY else "light"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByMachine:
    """What distributes the tests."""
    return ByMachine(config, log)
