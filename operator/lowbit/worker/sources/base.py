"""What a place that files come from can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lowbit.worker.model.manifest import Advance


@dataclass(frozen=True)
class RemoteFile:
    """A file where it is now: path below the model's folder, size in bytes."""

    path: str
    size: int
    version: str = ""
    """What changes with the content: an ETag or a hash; empty where the place has none."""


class Place(Protocol):
    """A folder of model files somewhere."""

    name: str
    """For messages: hub repository org/name at 0123abc."""
    identity: str | None
    """What the content follows from for ever (repository and commit); None where it may change under the same name."""

    def files(self) -> list[RemoteFile]:
        """Every file, hidden ones left out. Raises RefusalError where the place is not there or may not be read."""

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        """Bring one file to target, going on with what an earlier attempt left there under partial_path(target)."""


def partial_path(target: Path) -> Path:
    """Where a file lies until it is whole."""
    return target.with_name(f".{target.name}.partial")


def is_hidden(path: str) -> bool:
    """Whether a path has a part that begins with a dot: .git, .cache, .gitattributes."""
    return any(part.startswith(".") for part in path.split("/"))
