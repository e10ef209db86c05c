"""The store: sources, artifacts, datasets and results under names that follow from their content.

A folder of model files counts only once its file list (manifests/<kind>/<digest>.json) exists, which is written last.
Unfinished files lie under partial/, which nobody reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from lowbit.naming.store_keys import (
    Kind,
    dataset_key,
    file_list_key,
    folder_key,
    hexadecimal,
)
from lowbit.worker.model.file_list import Advance, FileList, hash_file, parse, silent
from lowbit.worker.refuse import LaterError, RefusalError

STALE_SECONDS = 6 * 3600
"""Entries under partial/ that were not written to for this long are abandoned."""
SPARE = 1.05
"""File systems need a little more than the files' sizes."""


class Store(ABC):
    """A model store of any kind. Keys are paths below its root, with forward slashes."""

    mounted: ClassVar[bool]
    """Whether folder() is free, because the files are on a mounted volume."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The content of a key, or None if it does not exist."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write a key atomically: a reader sees all of it or nothing."""

    @abstractmethod
    def write_file(self, key: str, path: Path) -> None:
        """Write a key atomically from a file, which stays."""

    @abstractmethod
    def local(self, key: str) -> Path | None:
        """A local path with the content of a key, only for reading; None if the key does not exist."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether a key exists."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of the keys directly below a folder, sorted; none if there is no such folder."""

    @abstractmethod
    def workspace(self, name: str) -> Path:
        """A local folder to write a model's files into, made if needed; the same name gives the same folder."""

    @abstractmethod
    def commit(self, kind: Kind, workspace: Path, file_list: FileList, advance: Advance = silent) -> None:
        """Move the workspace's files, those of the list, into the store, and remove the workspace."""

    @abstractmethod
    def folder(self, kind: Kind, digest: str, advance: Advance = silent) -> Path:
        """A local folder with a model's files, only for reading. Raises RefusalError if the store lacks the model."""

    @abstractmethod
    def check_space(self, needed: int, what: str) -> None:
        """Refuse unless this many bytes can be written."""

    @abstractmethod
    def remove_stale(self, now: float) -> list[str]:
        """Remove abandoned entries under partial/; returns their names."""

    def file_list(self, kind: Kind, digest: str) -> FileList | None:
        """The file list of a model in the store, or None. Raises RefusalError if it has another digest."""
        data = self.read(file_list_key(kind, digest))
        if data is None:
            return None
        try:
            file_list = parse(data)
        except ValueError as error:
            raise damaged(kind, digest, str(error)) from error
        if file_list.digest != digest:
            raise damaged(kind, digest, f"its manifest has the digest {file_list.digest}")
        return file_list

    def require(self, kind: Kind, digest: str) -> FileList:
        """The file list of a model. Raises RefusalError if the store lacks the model."""
        file_list = self.file_list(kind, digest)
        if file_list is None:
            raise RefusalError(
                "NotInStore",
                f"the store holds no model {digest} under {kind}/",
                "use the digest of an artifact that this store holds, or give the place where the files are",
            )
        return file_list

    def write_dataset(self, path: Path, digest: str) -> None:
        """Store a dataset under its digest, unless it is there."""
        if not self.has(dataset_key(digest)):
            self.write_file(dataset_key(digest), path)

    def dataset(self, digest: str) -> Path:
        """A local file with a dataset. Raises RefusalError if the store lacks it, or holds another one there."""
        path = self.local(dataset_key(digest))
        if path is None:
            raise RefusalError(
                "NotInStore",
                f"the store holds no dataset {digest}: it was removed after it had been prepared",
                "change the QuantizedModel (or make it anew) so that the dataset is prepared again",
            )
        if hash_file(path) != hexadecimal(digest):
            raise RefusalError(
                "Damaged",
                f"the store's copy of the dataset {digest} has other content",
                f"find out who writes to the store; then remove {dataset_key(digest)} and the prepare Job, so that it "
                "is copied again",
            )
        return path


def damaged(kind: Kind, digest: str, why: str) -> RefusalError:
    """The refusal of a model whose files are not what their digest says."""
    return RefusalError(
        "Damaged",
        f"the store's copy of {digest} is damaged: {why}",
        f"remove {folder_key(kind, digest)} and {file_list_key(kind, digest)} from the store, so that it is made again",
    )


def no_space(needed: int, free: int, what: str) -> LaterError:
    """The refusal of work that would fill the volume."""
    return LaterError(
        "NoSpace",
        f"{what} needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free",
        "grow the store's claim, or remove models from it that nobody uses",
    )
