"""Every planted bug still applies, and the operator still starts with it. `python -m tests.faults.bugs` hunts them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.api.manifests import ROOT
from tests.faults.bugs.planted import KINDS, Bug, bugs, planted

BUGS = bugs()


def by_name(bug: Bug) -> str:
    return bug.name


@pytest.mark.parametrize("bug", BUGS, ids=by_name)
def test_a_planted_bug_fits_and_can_be_imported(bug: Bug) -> None:
    files = [line.split()[1] for line in bug.patch.read_text().splitlines() if line.startswith("+++ ")]
    modules = [file.partition("/operator/")[2].removesuffix(".py").replace("/", ".") for file in files]
    with planted(bug) as copy:
        command = [sys.executable, "-c", f"import {', '.join(modules)}, lowbit.app.operator"]
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_enough_of_each_kind() -> None:
    assert len(BUGS) >= 20
    assert {bug.kind for bug in BUGS} == set(KINDS)
