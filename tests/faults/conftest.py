"""The figures of a sample: how many plans, and how long."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def share() -> int:
    """The sample is one plan of so many ($LOWBIT_FAULTS_SHARE; 1 for all of them)."""
    return int(os.environ.get("LOWBIT_FAULTS_SHARE", "20"))
