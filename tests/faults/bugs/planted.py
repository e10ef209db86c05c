"""Bugs as patch files: what each breaks, of which kind it is, and a copy of the operator that has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.api.manifests import ROOT

FOLDER = Path(__file__).parent
KINDS = ("stale view", "death between two writes", "state nobody thought of")
"""The three ways in which operators fail."""


class StalePatchError(Exception):
    """A patch does not fit the operator as it is now."""


@dataclass(frozen=True)
class Bug:
    """One bug."""

    name: str
    breaks: str
    kind: str
    patch: Path


def bugs() -> list[Bug]:
    """All of them, by name. Raises ValueError where a patch does not say what it breaks, and of which kind."""
    return [read(path) for path in sorted(FOLDER.glob("*.patch"))]


def read(path: Path) -> Bug:
    """A patch, whose first lines are `Breaks: ...` and `Kind: ...`."""
    header = dict(line.split(": ", 1) for line in path.read_text().splitlines()[:2] if ": " in line)
    if header.get("Kind") not in KINDS or not header.get("Breaks"):
        raise ValueError(f"{path.name} has to begin with `Breaks: ...` and `Kind: ...`, one of {', '.join(KINDS)}")
    return Bug(path.stem, header["Breaks"], header["Kind"], path)


@contextmanager
def planted(bug: Bug | None) -> Iterator[Path]:
    """A copy of the operator's source root, with the bug. Raises StalePatchError."""
    with TemporaryDirectory(prefix="lowbit-bug-") as folder:
        copy = Path(folder) / "operator"
        shutil.copytree(ROOT / "operator", copy)
        if bug is not None:
            apply(bug, Path(folder))
        yield copy


def apply(bug: Bug, folder: Path) -> None:
    """Patch what is in a folder. Raises StalePatchError."""
    command = ["patch", "--strip=1", "--fuzz=0", "--batch", "--forward", f"--input={bug.patch}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StalePatchError(
            f"{bug.patch.name} does not fit the operator any more. Write it anew, so that it still breaks this: "
            f"{bug.breaks}\n{done.stdout}{done.stderr}"
        )
