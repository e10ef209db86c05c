"""A folder on a mounted volume."""

from __future__ import annotations

from pathlib import Path

from lowbit.api.references import PVCLocation
from lowbit.worker.model.file_list import CHUNK, Advance, check_path
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import RemoteFile, is_hidden, partial_path


class PVCOrigin:
    """A folder on a claim, read only. volumes: where the claims are mounted, each under its name."""

    identity: str | None = None

    def __init__(self, location: PVCLocation, volumes: Path) -> None:
        self.name = f"claim {location.claim_name}, folder {location.path or '/'}"
        self.folder = resolve(location, volumes)

    def files(self) -> list[RemoteFile]:
        if not self.folder.is_dir():
            raise RefusalError(
                "SourceMissing", f"{self.name} is not a folder", "give the path of the folder below the volume's root"
            )
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        files = [RemoteFile(path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in paths]
        return sorted((file for file in files if not is_hidden(file.path)), key=lambda file: file.path)

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        source = self.folder / check_path(file.path)
        if not source.resolve().is_relative_to(self.folder.resolve()):
            raise RefusalError(
                "LinkOutside",
                f"{self.name}: {file.path} is a link to outside of the folder",
                "copy the file itself there",
            )
        partial = partial_path(target)
        with source.open("rb") as reader, partial.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
                advance(len(chunk))
        partial.replace(target)


def resolve(location: PVCLocation, volumes: Path) -> Path:
    """The local path of a location. Raises RefusalError if it leaves the volume."""
    root = volumes / location.claim_name
    path = root / location.path if location.path else root
    if not path.resolve().is_relative_to(root.resolve()):
        raise RefusalError(
            "PathOutside",
            f"{location.path} leads out of the claim {location.claim_name}",
            "give a path below the volume's root",
        )
    return path
