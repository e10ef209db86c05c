"""The images of engine and worker as root file systems to run programs in, without a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from images.build import build
from images.buildah import buildah
from images.model import prepare_models
from tests.cluster.fixtures import need_root

TESTS = Path(__file__).resolve().parents[1]
MODEL = "smollm2-2layers"


@pytest.fixture(scope="session")
def engine_image() -> Iterator[str]:
    """A container of the CPU engine's image."""
    yield from container_of("engine")


@pytest.fixture(scope="session")
def worker_image() -> Iterator[str]:
    """A container of the worker's image."""
    yield from container_of("worker")


def container_of(image: str) -> Iterator[str]:
    """A container of an image that is built from what is checked out; it goes with the tests."""
    need_root(f"the {image}'s image")
    reference = build((image,))[image]
    made = subprocess.check_output(buildah("from", "--pull-never", reference), text=True).strip()
    yield made
    subprocess.run(buildah("rm", made), check=False, capture_output=True)


def run_inside(
    container: str, program: str, *words: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a program of this folder in the container; its last line, which is JSON."""
    options = ["--isolation", "chroot", "--user", "0:0", "-v", f"{TESTS}:/app/tests:ro", "--env", "HOME=/tmp"]
    # The engine's image has nothing of ours; the worker's has the same files already.
    options += ["-v", f"{TESTS.parent / 'operator/lowbit'}:/app/lowbit:ro"]
    options += ["-v", f"{prepare_models()[MODEL].parent}:/models:ro", "--env", "PYTHONPATH=/app"]
    options += [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
    line = buildah("run", *options, container, "--", "python3", "-m", f"tests.engine.{program}", *words)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
