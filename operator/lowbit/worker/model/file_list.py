"""The list of a model's files, with size and SHA-256 of each. Its digest names the model in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowbit.api.facts import Coverage
from lowbit.api.status import ArtifactRecord
from lowbit.worker.refuse import RefusalError

CHUNK = 4 * 1024 * 1024
Advance = Callable[[int], None]
"""Called with the number of bytes that were just processed."""


def silent(_: int) -> None:
    """An Advance that does nothing."""


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file: path below the folder with forward slashes, size in bytes, SHA-256 (hex)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileList:
    """Every file of a folder, sorted by path."""

    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files)

    def as_artifact(self, source_bytes: int, coverage: Coverage | None = None) -> ArtifactRecord:
        """The record of an artifact for a status. source_bytes: size of the original's weights."""
        ratio = f"{source_bytes / max(self.size, 1):.2f}"
        return ArtifactRecord(
            digest=self.digest, bytes=self.size, source_bytes=source_bytes, ratio=ratio, coverage=coverage
        )

    def to_json(self) -> bytes:
        """The canonical JSON, which the digest covers."""
        entries = [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in self.files]
        return json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        """sha256: and 64 hexadecimal digits."""
        return "sha256:" + hashlib.sha256(self.to_json()).hexdigest()


def file_list_of(entries: Iterable[FileEntry]) -> FileList:
    """The list of these files. Raises ValueError if a path leaves the folder or comes twice."""
    files = tuple(sorted(entries))
    for file in files:
        check_path(file.path)
    if len({file.path for file in files}) != len(files):
        raise ValueError("a path comes twice in the manifest")
    return FileList(files)


def parse(data: bytes) -> FileList:
    """The list from its canonical JSON. Raises ValueError if it is not one."""
    try:
        file_list = file_list_of(FileEntry(str(e["path"]), int(e["size"]), str(e["sha256"])) for e in json.loads(data))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a manifest: {error}") from error
    if file_list.to_json() != data:
        raise ValueError("the manifest is not in its canonical form")
    return file_list


def check_path(path: str) -> str:
    """The path itself. Raises ValueError unless it stays below the folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} is not a path below the model's folder")
    return path


def hash_file(path: Path, advance: Advance = silent) -> str:
    """SHA-256 (hex) of a file, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
            advance(len(chunk))
    return sha.hexdigest()


def list_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted, with forward slashes. Links are followed to files only."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():
            raise RefusalError(
                "LinkedFolder",
                f"{path.name} is a link to a folder",
                "copy the files themselves into the model's folder",
            )
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def scan(folder: Path, advance: Advance = silent) -> FileList:
    """Hash every file below a folder."""
    return file_list_of(
        FileEntry(name, (folder / name).stat().st_size, hash_file(folder / name, advance))
        for name in list_files(folder)
    )
