"""Where models come from: the hub, a volume, a bucket. All end as a folder in the store, under its digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from lowbit.api.paths import SECRETS_PATH, VOLUMES_PATH
from lowbit.api.recipes.artifact import ArtifactRecipe
from lowbit.api.references import Source
from lowbit.worker.model.choose import WEIGHTS
from lowbit.worker.model.file_list import FileList, scan
from lowbit.worker.model.inspect_model import choose_files
from lowbit.worker.progress import Progress
from lowbit.worker.sources.base import Origin, RemoteFile
from lowbit.worker.store import Kind, Store
from lowbit.worker.store.indexes import read_index, write_index

__all__ = ["Origin", "RemoteFile", "import_model", "open_origin"]


DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Check = Callable[[Path, FileList, list[str]], None]
Look = Callable[[Path, int], None]
"""Gets the folder with all files but the weights, and the size of the weights in bytes, before they are copied."""


def open_origin(
    source: Source | ArtifactRecipe, *, volumes: Path = Path(VOLUMES_PATH), secrets: Path = Path(SECRETS_PATH)
) -> Origin:
    """The origin that a source or an artifact candidate names. Raises ValueError if it names none."""
    if source.hugging_face is not None:
        from lowbit.worker.sources.hub import HubOrigin

        return HubOrigin(source.hugging_face, secrets)
    if source.pvc is not None:
        from lowbit.worker.sources.pvc import PVCOrigin

        return PVCOrigin(source.pvc, volumes)
    if source.s3 is not None:
        from lowbit.worker.sources.s3 import S3Origin, client_of

        return S3Origin(source.s3, client_of(source.s3, secrets))
    raise ValueError("a source is exactly one of huggingFace, pvc and s3")


def import_model(
    store: Store,
    kind: Kind,
    origin: Origin,
    progress: Progress,
    check: Check = lambda _folder, _file_list, _left_behind: None,
    look: Look = lambda _folder, _weight_bytes: None,
) -> FileList:
    """Copy a model's files into the store, resuming an earlier attempt. Returns their list.

    look is called before the weights are copied. check gets the files before they are part of the store, and the names
    of those that were left behind. Both may raise RefusalError.
    """
    known = _known(store, kind, origin)
    if known is not None:
        progress.report(1.0, f"{origin.name} is in the store already", force=True)
        return known
    progress.step(f"listing {origin.name}")
    listed = origin.files()
    chosen = choose_files([file.path for file in listed], origin.name)
    files = [file for file in listed if file.path in set(chosen.kept)]
    total = sum(file.size for file in files)
    workspace = store.workspace(f"import-{_identity(origin.identity or origin.name)}")
    present = sum(path.stat().st_size for path in workspace.rglob("*") if path.is_file())
    store.check_space(max(total - present, 0), origin.name)
    weights = [file for file in files if file.path.endswith(WEIGHTS)]
    counter = _Counter(progress.part(0.0, 0.8), total, f"copying {origin.name}")
    _tidy(workspace, {file.path for file in files})
    _fetch(origin, [file for file in files if file not in weights], workspace, counter)
    look(workspace, sum(file.size for file in weights))
    _fetch(origin, weights, workspace, counter)
    _remove_hidden(workspace)
    file_list = _hash(workspace, total, progress.part(0.8, 0.9))
    check(workspace, file_list, chosen.left_behind)
    counter = _Counter(progress.part(0.9, 1.0), total, f"committing {origin.name}")
    store.commit(kind, workspace, file_list, counter)
    if origin.identity is not None:
        write_index(store, _index_key(kind, origin.identity), origin.identity, {"digest": file_list.digest})
    return file_list


class _Counter:
    """An Advance that reports bytes as progress."""

    def __init__(self, progress: Progress, total: int, message: str) -> None:
        self.progress, self.total, self.message, self.done = progress, max(total, 1), message, 0
        progress.step(message)

    def __call__(self, size: int) -> None:
        self.done += size
        self.progress.report(
            self.done / self.total, f"{self.message}: {self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB"
        )


def _tidy(workspace: Path, wanted: set[str]) -> None:
    """Remove what an earlier attempt left and is no longer listed."""
    for path in [path for path in workspace.rglob("*") if path.is_file()]:
        if not path.name.startswith(".") and path.relative_to(workspace).as_posix() not in wanted:
            path.unlink()


def _fetch(origin: Origin, files: list[RemoteFile], workspace: Path, counter: _Counter) -> None:
    """Fetch missing files. A file has its name only once it is complete."""
    for file in files:
        target = workspace / file.path
        # Name and size identify a file only if the origin can never change.
        if origin.identity is not None and target.is_file() and target.stat().st_size == file.size:
            counter(file.size)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        origin.fetch(file, target, counter)


def _remove_hidden(workspace: Path) -> None:
    """Remove files that were begun and are no longer listed."""
    for path in [path for path in workspace.rglob(".*") if path.is_file()]:
        path.unlink()


def _hash(workspace: Path, total: int, progress: Progress) -> FileList:
    return scan(workspace, _Counter(progress, total, "hashing"))


def _known(store: Store, kind: Kind, origin: Origin) -> FileList | None:
    """The model's file list in the store, for an origin whose content cannot change."""
    if origin.identity is None:
        return None
    digest = read_index(store, _index_key(kind, origin.identity), origin.identity).get("digest")
    return store.file_list(kind, digest) if isinstance(digest, str) and DIGEST.fullmatch(digest) else None


def _index_key(kind: Kind, identity: str) -> str:
    return f"index/{kind}/{_identity(identity)}.json"


def _identity(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
