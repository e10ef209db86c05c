"""Interface of the places that model files come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lowbit.worker.model.file_list import Advance


@dataclass(frozen=True)
class RemoteFile:
    """A file where it is now: path below the model's folder, size in bytes."""

    path: str
    size: int
    version: str = ""
    """Changes with the content: an ETag or a hash; empty if the origin has none."""


class Origin(Protocol):
    """A folder of model files somewhere."""

    name: str
    """For messages: hub repository org/name at 0123abc."""
    identity: str | None
    """Identifies the content for ever (repository and commit); None if it may change under the same name."""

    def files(self) -> list[RemoteFile]:
        """Every file but hidden ones. Raises RefusalError if the origin does not exist or may not be read."""

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        """Copy one file to target, resuming what an earlier attempt left under partial_path(target)."""


def partial_path(target: Path) -> Path:
    """Path of a file until it is complete."""
    return target.with_name(f".{target.name}.partial")


def is_hidden(path: str) -> bool:
    """Whether a path has a part that begins with a dot: .git, .cache, .gitattributes."""
    return any(part.startswith(".") for part in path.split("/"))
