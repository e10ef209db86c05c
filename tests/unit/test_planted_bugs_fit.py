"""An edit of the operator shows in seconds which planted bugs have to be written anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.api.manifests import ROOT
from tests.faults.bugs.planted import StalePatchError, apply, bugs


def test_every_planted_bug_fits_the_operator(tmp_path: Path) -> None:
    stale = []
    for bug in bugs():
        folder = tmp_path / bug.name
        for line in bug.patch.read_text().splitlines():
            if line.startswith("+++ "):
                file = line.split()[1].partition("/")[2]
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, folder / file)
        try:
            apply(bug, folder)
        except StalePatchError as error:
            stale.append(str(error))
    assert not stale, "\n".join(stale)
