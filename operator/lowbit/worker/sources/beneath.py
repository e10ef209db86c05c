"""Opens what lies below a folder, and never anything outside of it, however links are swapped meanwhile.

Every step of a path is opened from the folder before it, without following links; links are read and walked in the same
way. What is read is what this descriptor is of. (openat2 with RESOLVE_BENEATH does the same; Python does not have it.)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lowbit.worker.errors.system import naming
from lowbit.worker.model.file_list import CHUNK, Advance
from lowbit.worker.sources.base import is_hidden, partial_path

LINKS_LIMIT = 40
"""Links on the way to one file, as in Linux."""
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Errors of a link that leads nowhere."""
LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OutsideError(Exception):
    """A path, or a link on its way, leads out of the folder."""


@dataclass(frozen=True)
class Found:
    """A file below the folder."""

    path: str
    size: int | None
    """None for a link that leads to no file that may be read."""


class Beneath:
    """A folder as a root: paths are below it, with forward slashes; links may lead anywhere in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> int:
        """A descriptor of a regular file, for reading. Raises OutsideError, or OSError where there is no such file."""
        for _ in range(LINKS_LIMIT):
            with self._walk(path) as (folder, name, found):
                if not stat.S_ISREG(os.fstat(found).st_mode):
                    raise OSError(errno.EISDIR, "not a regular file", str(self.root / path))
                try:
                    descriptor = self._open(name, READ, folder, path)
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise
                    continue  # a link is there since
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.root / path))

    def status(self, path: str) -> os.stat_result:
        """What a path leads to. Raises as read() does."""
        with self._walk(path) as (_, _, found):
            return os.fstat(found)

    def is_folder(self, path: str) -> bool:
        """Whether a path leads to a folder. Raises OutsideError."""
        try:
            return stat.S_ISDIR(self.status(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def files(self, folder: str) -> list[Found]:
        """Every file below a folder but hidden ones; paths are below that folder. Links to folders are followed."""
        return sorted(self._files(folder, "", ()), key=lambda found: found.path)

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted; nothing if there is no such folder."""
        try:
            with self._walk(folder) as (_, _, found):
                return sorted(entry.name for entry in _entries(found))
        except (OutsideError, FileNotFoundError, NotADirectoryError):
            return []

    def copy(self, path: str, target: Path, advance: Advance) -> None:
        """Copy a file to target, which has its name only once it is complete. Raises as read() does."""
        partial, source = partial_path(target), self.root / path
        with os.fdopen(self.read(path), "rb") as reader, partial.open("wb") as writer:
            while True:
                with naming(source):
                    chunk = reader.read(CHUNK)
                if not chunk:
                    break
                with naming(partial):
                    writer.write(chunk)
                advance(len(chunk))
        partial.replace(target)

    def _files(self, folder: str, below: str, inside: tuple[tuple[int, int], ...]) -> Iterator[Found]:
        """inside: the folders on the way here, by device and number: a link to one of them is a loop."""
        with self._walk(f"{folder}/{below}") as (_, _, found):
            about = os.fstat(found)
            here = (about.st_dev, about.st_ino)
            entries = [] if here in inside else _entries(found)
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if is_hidden(entry.name):
                continue
            try:
                leads_to = self.status(f"{folder}/{path}")
            except (OutsideError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in NOTHING_THERE:
                    raise
                yield Found(path, None)
                continue
            if stat.S_ISDIR(leads_to.st_mode):
                yield from self._files(folder, path, (*inside, here))
            elif stat.S_ISREG(leads_to.st_mode):
                yield Found(path, leads_to.st_size)

    def _open(self, name: str, flags: int, folder: int, path: str) -> int:
        """A step of a path. An error names the whole path: one step of it tells nobody anything."""
        try:
            return os.open(name, flags, dir_fd=folder)
        except OSError as error:
            error.filename = str(self.root / path)
            raise

    @contextmanager
    def _walk(self, path: str) -> Iterator[tuple[int, str, int]]:
        """The folder that holds what the path leads to, its name there, and a descriptor of it that cannot be read."""
        opened = [os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        name = "."
        rest, links = _parts(path), 0
        try:
            while rest:
                step = rest.pop()
                if step == "..":
                    if len(opened) == 1:
                        raise OutsideError(path)
                    os.close(opened.pop())
                    name = "."
                    continue
                found = self._open(step, LOOK, opened[-1], path)
                if not stat.S_ISLNK(os.fstat(found).st_mode):
                    opened.append(found)
                    name = step
                    continue
                try:
                    # Of the link that was opened, not of what has its name by now.
                    target = os.readlink("", dir_fd=found)
                finally:
                    os.close(found)
                links += 1
                if target.startswith("/"):
                    raise OutsideError(path)
                if links > LINKS_LIMIT:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.root / path))
                rest += _parts(target)
            yield opened[-2 if len(opened) > 1 else -1], name, opened[-1]
        finally:
            for each in opened:
                os.close(each)


def _parts(path: str) -> list[str]:
    """The steps of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _entries(folder: int) -> list[os.DirEntry[str]]:
    """What a folder holds."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(readable) as entries:
            return list(entries)
    finally:
        os.close(readable)
