"""The store: sources, artifacts, datasets and results under names that follow from their content.

A folder of model files counts only once its manifest is there, and the manifest is written last. Everything that is
being written lies under partial/, which nobody reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from lowbit.worker.model.manifest import Advance, Manifest, parse, silent
from lowbit.worker.refuse import RefusalError

Kind = Literal["sources", "artifacts"]
STALE_SECONDS = 6 * 3600
"""What was not written to for so long under partial/ belongs to nobody any more."""
SPARE = 1.05
"""File systems need a little more than the files' sizes."""


def hexadecimal(digest: str) -> str:
    """The 64 digits of sha256:<64 digits>."""
    return digest.removeprefix("sha256:")


def folder_key(kind: Kind, digest: str) -> str:
    """Where a model's files are, below the store's root."""
    return f"{kind}/{hexadecimal(digest)}"


def manifest_key(kind: Kind, digest: str) -> str:
    """Where the manifest is that makes the folder count."""
    return f"manifests/{kind}/{hexadecimal(digest)}.json"


def dataset_key(digest: str) -> str:
    """Where a dataset is."""
    return f"datasets/{hexadecimal(digest)}/data.jsonl"


def artifact_index_key(artifact_hash: str) -> str:
    """Where the report of the quantizer is, by what the artifact was made from."""
    return f"index/artifacts/{artifact_hash}.json"


def facts_index_key(digest: str) -> str:
    """Where the facts of a model are, so that nobody has to download it to read them."""
    return f"index/facts/{hexadecimal(digest)}.json"


class Store(ABC):
    """What every kind of store can do. Keys are paths below the store's root, with forward slashes."""

    mounted: ClassVar[bool]
    """Whether folder() costs nothing because the files are there already."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The content of a key, or None where there is none."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write a key as a whole: a reader sees all of it or nothing."""

    @abstractmethod
    def write_file(self, key: str, path: Path) -> None:
        """As write, from a file (which stays)."""

    @abstractmethod
    def local(self, key: str) -> Path | None:
        """A local path with the content of a key, to be read only; None where there is none."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether a key is there."""

    @abstractmethod
    def workspace(self, name: str) -> Path:
        """A local folder to write a model's files into, made if needed; the same name gives the same folder."""

    @abstractmethod
    def commit(self, kind: Kind, workspace: Path, manifest: Manifest, advance: Advance = silent) -> None:
        """Make the workspace's files, which are those of the manifest, part of the store; the workspace goes away."""

    @abstractmethod
    def folder(self, kind: Kind, digest: str, advance: Advance = silent) -> Path:
        """A local folder with a model's files, to be read only. Raises RefusalError where the store does not hold it."""

    @abstractmethod
    def check_space(self, needed: int, what: str) -> None:
        """Refuse unless so many bytes can be written."""

    @abstractmethod
    def remove_stale(self, now: float) -> list[str]:
        """Remove what others left under partial/ long ago; returns the names."""

    def manifest(self, kind: Kind, digest: str) -> Manifest | None:
        """The manifest of a model that the store holds, or None. Raises RefusalError where it is not its digest's."""
        data = self.read(manifest_key(kind, digest))
        if data is None:
            return None
        try:
            manifest = parse(data)
        except ValueError as error:
            raise damaged(kind, digest, str(error)) from error
        if manifest.digest != digest:
            raise damaged(kind, digest, f"its manifest has the digest {manifest.digest}")
        return manifest

    def require(self, kind: Kind, digest: str) -> Manifest:
        """As manifest. Raises RefusalError where the store does not hold the model."""
        manifest = self.manifest(kind, digest)
        if manifest is None:
            raise RefusalError(
                "NotInStore",
                f"the store holds no model {digest} under {kind}/",
                "use the digest of an artifact that this store holds, or give the place where the files are",
            )
        return manifest

    def write_dataset(self, path: Path, digest: str) -> None:
        """Put a dataset under its digest, unless it is there."""
        if not self.has(dataset_key(digest)):
            self.write_file(dataset_key(digest), path)

    def dataset(self, digest: str) -> Path:
        """A local file with a dataset. Raises RefusalError where the store does not hold it."""
        path = self.local(dataset_key(digest))
        if path is None:
            raise RefusalError(
                "NotInStore",
                f"the store holds no dataset {digest}: it was removed after it had been prepared",
                "change the QuantizedModel (or make it anew) so that the dataset is prepared again",
            )
        return path


def damaged(kind: Kind, digest: str, why: str) -> RefusalError:
    """The refusal of a model whose files are not what their digest says."""
    return RefusalError(
        "Damaged",
        f"the store's copy of {digest} is damaged: {why}",
        f"remove {folder_key(kind, digest)} and {manifest_key(kind, digest)} from the store, so that it is made again",
    )


def no_space(needed: int, free: int, what: str) -> RefusalError:
    """The refusal of work that would fill the volume."""
    return RefusalError(
        "NoSpace",
        f"{what} needs {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free",
        "grow the store's claim, or remove models from it that nobody uses",
    )
