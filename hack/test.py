"""`make test`: all tests but the long ones, unit to end to end, from nothing. `make test-long`: those too.

Prints how long each part took; pytest's summary comes last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS: tuple[tuple[str, list[str]], ...] = (
    ("format", [str(BIN / "ruff"), "format", "--check", "-q", "operator", "tests", "images", "hack"]),
    ("lint", [str(BIN / "ruff"), "check", "-q", "operator", "tests", "images", "hack"]),
    ("types", [str(BIN / "mypy")]),
    ("rooms", [str(BIN / "lint-imports"), "--no-cache"]),
)
PARTS: tuple[tuple[str, list[str]], ...] = (
    ("Debian packages", [sys.executable, "-m", "hack.cluster.packages"]),
    ("cluster's programs", [sys.executable, "-m", "hack.cluster.build"]),
    ("the guard's program", ["sh", "hack/envoy.sh"]),
    ("images", [sys.executable, "-m", "images", "build"]),
    ("models", [sys.executable, "-m", "images", "models"]),
    ("cluster", [sys.executable, "-m", "hack.cluster", "up"]),
    ("images into the cluster", [sys.executable, "-m", "images", "load"]),
)


TESTS = ("unit", "security", "report", "guard", "engine", "api", "faults", "cluster", "e2e", "last")
"""Folders of tests/, in this order: the last takes the cluster down."""
AT_ONCE = ("-n", "2")
"""pytest's option for two processes: tests/conftest.py says which tests each of them has."""
WITHOUT_LONG = ("-m", "not long")
"""pytest's option that leaves the tests marked `long` out."""


def pytest_command(arguments: Sequence[str]) -> list[str]:
    """All tests in one run of pytest, by two processes. All arguments but --long go to pytest.

    Without --long the tests marked `long` are left out.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--long", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    paths = [f"tests/{each}" for each in TESTS]
    selection = () if options.long else WITHOUT_LONG
    return [sys.executable, "-m", "pytest", *paths, *AT_ONCE, "--durations=20", *selection, *rest]


def run(name: str, command: list[str], took: list[tuple[str, float, bool]]) -> bool:
    """Run one part; its output is shown as it comes."""
    print(f"\n--- {name}: {' '.join(command)}", flush=True)
    began = time.monotonic()
    passed = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode == 0
    took.append((name, time.monotonic() - began, passed))
    return passed


def environment() -> dict[str, str]:
    """The source roots, and the virtualenv's programs first."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT}", "PATH": path, "PYTHONUNBUFFERED": "1"}


def table(took: list[tuple[str, float, bool]]) -> None:
    """How long each part took."""
    print("\nPart                          seconds")
    for name, seconds, passed in took:
        print(f"{name:28} {seconds:8.0f}{'' if passed else '   FAILED'}")
    sys.stdout.flush()


def main() -> int:
    """Checks first, then what the tests need, then all tests in one run of pytest."""
    if os.geteuid() != 0:
        print("make test brings up a cluster and needs root; `make test-unit` does not.", file=sys.stderr)
        return 1
    took: list[tuple[str, float, bool]] = []
    checks = all([run(name, command, took) for name, command in CHECKS])  # noqa: C419 - every check is run
    ready = all(run(name, command, took) for name, command in PARTS)
    if not ready:
        table(took)
        return 1
    table(took)
    tests = run("tests", pytest_command(sys.argv[1:]), took)
    failed = [name for name, _, passed in took if not passed]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 0 if checks and tests else 1


if __name__ == "__main__":
    sys.exit(main())
