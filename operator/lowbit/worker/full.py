"""A full volume: which one, and what to do about it. Somebody has to make room; the Job is retried later."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from lowbit.api.paths import SCRATCH_PATH, STORE_PATH
from lowbit.worker.refuse import LaterError, causes

FULL = (errno.ENOSPC, errno.EDQUOT)
SAID = tuple(os.strerror(number) for number in FULL)
"""Texts of these errors: libraries not written in Python give only the text."""
STORE = "the store's volume"
PLACES: dict[str, Path] = {
    STORE: Path(STORE_PATH),
    "the pod's scratch volume": Path(SCRATCH_PATH),
    "the pod's /tmp": Path("/tmp"),  # noqa: S108 - a mount of its own
}
"""The volumes that a worker writes to."""
GROW = "grow the store's claim, or remove models from it that nobody uses"
NODE = (
    "it is on the node's own disk: make room there, or ask for ephemeral-storage in the Job's resources, "
    "so that the pod gets to a node that has it"
)


def is_full(error: BaseException) -> bool:
    """Whether the error, or one of its causes, is a full volume."""
    return any(
        (isinstance(each, OSError) and each.errno in FULL) or any(words in str(each) for words in SAID)
        for each in causes(error)
    )


def full(error: BaseException) -> LaterError:
    """The refusal for such an error: which volume, how full it is, and what to do."""
    there = {name: path for name, path in PLACES.items() if path.is_dir()}
    name = _named(error, there) or min(there, key=lambda each: _room(there[each]), default=None)
    if name is None:
        return LaterError("NoSpace", f"a volume of the pod is full: {error}", NODE)
    disk = os.statvfs(there[name])
    free, whole = disk.f_bavail * disk.f_frsize / 1e9, disk.f_blocks * disk.f_frsize / 1e9
    files = ", and no more files can be made" if disk.f_files and not disk.f_favail else ""
    message = f"{name} is full: {free:.2f} of {whole:.2f} GB are free{files} ({type(error).__name__}: {error})"
    return LaterError("NoSpace", message, GROW if name == STORE else NODE)


def _named(error: BaseException, places: Mapping[str, Path]) -> str | None:
    """The volume of the file that the error names; None for a failed write, which names no file."""
    errors = [each for each in causes(error) if isinstance(each, OSError)]
    files = [Path(name) for each in errors for name in (each.filename2, each.filename) if isinstance(name, str)]
    # The error of a copy names the source (filename) and the target (filename2): the target comes first here.
    found = [(len(path.parts), name) for name, path in places.items() if files and files[0].is_relative_to(path)]
    return max(found)[1] if found else None


def _room(path: Path) -> float:
    """The share that is free, of bytes or of files."""
    disk = os.statvfs(path)
    return min(disk.f_bavail / max(disk.f_blocks, 1), disk.f_favail / disk.f_files if disk.f_files else 1.0)
