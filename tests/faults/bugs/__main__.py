"""python -m tests.faults.bugs [NAME ...]: is each planted bug found? Prints a table; 1 if fewer than 95 % of them are.

The operator without any bug comes first: what is found there is no finding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.api.manifests import ROOT
from tests.faults.bugs.planted import Bug, bugs, planted

LONGEST = 400.0
"""Seconds: a hunt that takes longer has found nothing. It tells nothing of the bug, as one that ends with an error."""
PARTS = ("views", "states", "runs", "outages", "properties")
ENOUGH = 0.95
SHORT = 100
"""Characters of what was found, in the table."""


@dataclass(frozen=True)
class Hunted:
    """What came of one bug."""

    bug: Bug | None
    part: str
    said: str
    seconds: float

    def row(self) -> str:
        name, kind = (self.bug.name, self.bug.kind) if self.bug else ("(none)", "")
        said = " ".join(self.said.split())[:SHORT].replace("|", "/")
        return f"| {name} | {kind} | {self.part or '-'} | {self.seconds:.0f} | {said} |"


def hunt(bug: Bug | None, parts: Sequence[str] = ()) -> Hunted:
    """Run the rig's parts (all of them where none is named) against a copy of the operator with the bug."""
    began = time.monotonic()
    with planted(bug) as copy:
        environment = os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "tests.faults.bugs.hunt", *parts]
        part, said = _found(command, environment)
    return Hunted(bug, part, said, time.monotonic() - began)


def _found(command: list[str], environment: dict[str, str]) -> tuple[str, str]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return "", f"no end within {LONGEST:.0f} s"
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = done.stderr.strip().splitlines()
        return "", f"the hunt itself broke: {said[-1] if said else done.returncode}"
    found = json.loads(lines[-1])
    return (found[0], found[1]) if found else ("", "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.bugs", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="bugs (names of patch files); all of them, and none, where none is named"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[], help="parts of the rig (default: all)")
    parser.add_argument("--at-once", type=int, default=1, help="hunts at the same time (default 1)")
    parser.add_argument("--table", type=Path, help="write the table into this file, too")
    words = parser.parse_args()
    known = bugs()
    if unknown := set(words.names) - {each.name for each in known}:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    chosen: list[Bug | None] = [None] if not words.names else []
    chosen += [each for each in known if not words.names or each.name in words.names]
    rows = ["| bug | kind | found by | seconds | what was said |", "|---|---|---|---|---|"]
    print("\n".join(rows), flush=True)
    found: list[Hunted] = []
    with ThreadPoolExecutor(words.at_once) as pool:
        for hunted in pool.map(lambda bug: hunt(bug, words.parts), chosen):
            rows.append(hunted.row())
            print(hunted.row(), flush=True)
            if hunted.bug is None and (hunted.part or hunted.said):
                print(f"without any bug: {hunted.part} {hunted.said}", file=sys.stderr)
                pool.shutdown(cancel_futures=True)
                return 1
            found += [hunted] if hunted.bug is not None else []
    caught = sum(bool(each.part) for each in found)
    rows.append(f"\n{caught} of {len(found)} bugs are found.")
    print(rows[-1])
    if words.table is not None:
        words.table.write_text("\n".join(rows) + "\n")
    return 0 if caught >= ENOUGH * len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
