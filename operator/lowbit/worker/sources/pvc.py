"""A folder on a mounted volume."""

from __future__ import annotations

import os
from pathlib import Path

from lowbit.api.problem import some
from lowbit.api.references import PVCLocation
from lowbit.worker.model.file_list import Advance, check_path
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import RemoteFile
from lowbit.worker.sources.beneath import Beneath, OutsideError

SNAPSHOTS, MAIN = "snapshots", "refs/main"
"""In a hub cache's folder of a repository: the models, one for each commit, and the commit of the branch main."""


class PVCOrigin:
    """A folder on a claim, read only. volumes: where the claims are mounted, each under its name.

    Links are followed as far as they stay on the claim: a hub cache holds nothing but links to ../../blobs.
    """

    identity: str | None = None

    def __init__(self, location: PVCLocation, volumes: Path) -> None:
        self.name = f"claim {location.claim_name}, folder {location.path or '/'}"
        self.location, self.claim = location, Beneath(volumes / location.claim_name)
        self.folder = location.path or "."

    def files(self) -> list[RemoteFile]:
        try:
            if not self.claim.is_folder(self.folder):
                raise RefusalError(
                    "SourceMissing",
                    f"{self.name} is not a folder",
                    "give the path of the folder below the volume's root",
                )
        except OutsideError as error:
            raise outside(self.location) from error
        self._refuse_cache()
        return [RemoteFile(found.path, found.size or 0) for found in self.claim.files(self.folder)]

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        path = f"{self.folder}/{check_path(file.path)}"
        try:
            self.claim.copy(path, target, advance)
        except OutsideError as error:
            raise RefusalError(
                "LinkOutside",
                f"{self.name}: {file.path} is a link that leads out of the claim",
                "copy the file itself there; a link has to be relative, and to stay on the claim",
            ) from error
        except FileNotFoundError as error:
            if not self._is_listed(file.path):
                raise
            raise RefusalError(
                "LinkBroken",
                f"{self.name}: {file.path} is a link to a file that is not there",
                "copy or download the model again, with the files that its links lead to: it was cut off",
            ) from error

    def _is_listed(self, path: str) -> bool:
        """Whether there is a link of that name still, whatever it leads to."""
        return any(found.path == path and found.size is None for found in self.claim.files(self.folder))

    def _refuse_cache(self) -> None:
        """Refuse a hub cache's folder of a whole repository: it holds a model for each commit. Say which ones."""
        names = self.claim.names(self.folder)
        if SNAPSHOTS not in names or not {"blobs", "refs"} & set(names):
            return
        commits = self.claim.names(f"{self.folder}/{SNAPSHOTS}")
        main = self._main_commit()
        chosen = main if main in commits else commits[0] if len(commits) == 1 else "<commit>"
        parent = f"{self.location.path.rstrip('/')}/" if self.location.path else ""
        raise RefusalError(
            "NotASnapshot",
            f"{self.name} is a hub cache's folder of a repository, which holds a model for each commit: "
            f"{some(commits) or 'none yet'}",
            f"write the folder of one commit: path: {parent}{SNAPSHOTS}/{chosen}",
        )

    def _main_commit(self) -> str | None:
        """The commit that the cache's branch main was at."""
        path = f"{self.folder}/{MAIN}"
        try:
            with os.fdopen(self.claim.read(path), encoding="utf-8", errors="replace") as file:
                return file.read(100).strip()
        except (OSError, OutsideError):
            return None


def outside(location: PVCLocation) -> RefusalError:
    """The refusal of a path that leaves its claim."""
    return RefusalError(
        "PathOutside",
        f"{location.path} leads out of the claim {location.claim_name}",
        "give a path below the volume's root; links on the way have to be relative, and to stay on the claim",
    )
