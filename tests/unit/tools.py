"""Programs that a few unit tests need, and that a fresh checkout has not built yet."""

from __future__ import annotations

import os

import pytest

from hack.cluster import paths


def needs(program: str) -> None:
    """Skips the test, and says so, where the program is missing; under CI that is a failure."""
    if (paths.tools() / program).exists():
        return
    message = f"{program} is not built: make tools"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
