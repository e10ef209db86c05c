"""Tests marked `long` run with `make test-long` only."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hack.test import WITHOUT_LONG, pytest_command
from tests.unit.docs_pages import ROOT

FILE = """
import pytest

def test_always(): pass

@pytest.mark.{marker}
def test_marked(): pass
"""


def collect(folder: Path, marker: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """What pytest would run of a file with two tests, with this project's settings and the options of `make test`."""
    file = folder / "test_two.py"
    file.write_text(FILE.format(marker=marker))
    program = [word for word in pytest_command(arguments) if not word.startswith("tests/")]
    options = ["-c", str(ROOT / "pyproject.toml"), "--collect-only", "-q", "-p", "no:cacheprovider", str(file)]
    return subprocess.run([*program, *options], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arguments", "chosen"), [([], {"test_always"}), (["--long"], {"test_always", "test_marked"})])
def test_only_make_test_long_runs_what_is_marked_long(tmp_path: Path, arguments: list[str], chosen: set[str]) -> None:
    collected = collect(tmp_path, "long", arguments)
    assert collected.returncode == 0, collected.stdout
    assert {line.rpartition("::")[2] for line in collected.stdout.splitlines() if "::" in line} == chosen


def test_a_misspelt_marker_is_refused(tmp_path: Path) -> None:
    collected = collect(tmp_path, "lnog", [])
    assert collected.returncode != 0
    assert "'lnog' not found in `markers`" in collected.stdout


def test_the_make_targets_differ_in_the_long_tests_only() -> None:
    def recipe(target: str) -> str:
        command = ["make", "--dry-run", "--no-print-directory", target]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert recipe("test-long").rstrip() == recipe("test").rstrip() + " --long"
    everything = pytest_command(["--long", "-x"])
    assert pytest_command(["-x"]) == [*everything[:-1], *WITHOUT_LONG, "-x"]
