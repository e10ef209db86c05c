"""A model store on a mounted volume. A folder appears by one rename, a file by a rename of a synced copy."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lowbit.naming.store_keys import Kind, file_list_key, folder_key
from lowbit.worker.model.file_list import Advance, FileList, check_path, hash_file, list_files, scan, silent
from lowbit.worker.refuse import LaterError
from lowbit.worker.store.base import SPARE, STALE_SECONDS, Store, damaged, no_space

FILE_MODE = 0o644
NO_LOCK = (errno.EWOULDBLOCK, errno.EACCES, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of a lock that another process holds, or of a volume without locks."""
FOLDER_MODE = 0o755


class PVCStore(Store):
    """A folder on a volume; root is the store's own folder there."""

    mounted = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.partial = root / "partial"
        self._locks: dict[str, IO[str]] = {}

    def read(self, key: str) -> bytes | None:
        try:
            return (self.root / check_path(key)).read_bytes()
        except FileNotFoundError:
            return None

    def has(self, key: str) -> bool:
        return (self.root / check_path(key)).is_file()

    def local(self, key: str) -> Path | None:
        path = self.root / check_path(key)
        return path if path.is_file() else None

    def write(self, key: str, data: bytes) -> None:
        with self._temporary() as temporary:
            temporary.write_bytes(data)
            self._place(temporary, key)

    def write_file(self, key: str, path: Path) -> None:
        with self._temporary() as temporary:
            shutil.copyfile(path, temporary)
            self._place(temporary, key)

    def names(self, folder: str) -> list[str]:
        path = self.root / check_path(folder)
        return sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []

    def workspace(self, name: str) -> Path:
        make_folders(self.partial)
        folder = self.partial / check_path(name)
        if not self._lock(name):
            # Another pod writes there, or the volume has no locks: do not resume an earlier attempt.
            folder = self.partial / f"{name}-{uuid.uuid4().hex[:8]}"
        make_folders(folder)
        return folder

    def commit(self, kind: Kind, workspace: Path, file_list: FileList, advance: Advance = silent) -> None:
        target = self.root / folder_key(kind, file_list.digest)
        if self.file_list(kind, file_list.digest) is None:
            settle(workspace, file_list)
            make_folders(target.parent)
            self._move_folder(workspace, target, file_list)
            self.write(file_list_key(kind, file_list.digest), file_list.to_json())
        advance(file_list.size)
        shutil.rmtree(workspace, ignore_errors=True)

    def folder(self, kind: Kind, digest: str, advance: Advance = silent) -> Path:
        file_list = self.require(kind, digest)
        folder = self.root / folder_key(kind, digest)
        for file in file_list.files:
            path = folder / file.path
            if not path.is_file() or path.stat().st_size != file.size:
                raise damaged(kind, digest, f"{file.path} is missing or has another size")
            if hash_file(path, advance) != file.sha256:
                raise damaged(kind, digest, f"{file.path} has other content")
        return folder

    def check_space(self, needed: int, what: str) -> None:
        make_folders(self.root)
        free = shutil.disk_usage(self.root).free
        if needed * SPARE > free:
            raise no_space(needed, free, what)

    def remove_stale(self, now: float) -> list[str]:
        removed = []
        for path in sorted(self.partial.iterdir()) if self.partial.is_dir() else []:
            if now - last_written(path) > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                removed.append(path.name)
        return removed

    def _lock(self, name: str) -> bool:
        """Lock the name until this process ends; False if another process has it."""
        if name in self._locks:
            return True
        file = (self.partial / f"{name}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno not in NO_LOCK:
                raise
            return False
        self._locks[name] = file
        return True

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A path for an unfinished file. It is removed in the end: on a full volume it would take room from others."""
        make_folders(self.partial)
        path = self.partial / f"file-{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _place(self, temporary: Path, key: str) -> None:
        target = self.root / check_path(key)
        make_folders(target.parent)
        temporary.chmod(FILE_MODE)
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)

    def _move_folder(self, workspace: Path, target: Path, file_list: FileList) -> None:
        """Move the folder into place.

        A folder already there, without a file list, is from a killed commit, or from a process that is about to write
        the same list. It stays if its files are right.
        """
        if target.exists():
            if scan(target) == file_list:
                return
            target.rename(self.partial / f"replaced-{uuid.uuid4().hex}")
        workspace.rename(target)
        sync(target.parent)


def settle(workspace: Path, file_list: FileList) -> None:
    """Make files readable for every user and sync them to disk, before anything refers to them."""
    names = list_files(workspace)
    if names != [file.path for file in file_list.files]:
        raise LaterError(
            "ContentDiffers",
            f"the store's {workspace.name} changed after it was hashed",
            "let nothing but Lowbit write into the store",
        )
    for path in [workspace, *(p for p in workspace.rglob("*") if p.is_dir())]:
        path.chmod(FOLDER_MODE)
    for name in names:
        (workspace / name).chmod(FILE_MODE)
        sync(workspace / name)


def make_folders(folder: Path) -> None:
    """Make a folder and its parents, readable for every user whatever the umask says."""
    for path in reversed([folder, *folder.parents]):
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(FOLDER_MODE)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_written(path: Path) -> float:
    """The newest modification time of a file or of anything in a folder; 0 where it just went away."""
    times = []
    for item in [path, *path.rglob("*")]:
        try:
            times.append(item.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=0.0)
