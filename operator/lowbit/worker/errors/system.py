"""Errors of files and of the node, by errno: what happened to what, and whether it may pass."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.paths import CONFIG_MAPS_PATH, MODEL_PATH, SECRETS_PATH, VOLUMES_PATH
from lowbit.worker.full import PLACES
from lowbit.worker.refuse import LaterError, RefusalError, causes

BY_NAME = {VOLUMES_PATH: "claim", CONFIG_MAPS_PATH: "ConfigMap", SECRETS_PATH: "Secret"}
"""Folders whose folders are mounts, each under the name of an object."""
MODEL = "the model's folder in the store"


class MissingFileError(RefusalError):
    """A file is not there. It may have been moved, or come back: the Job tries again a few times."""


@dataclass(frozen=True)
class Kind:
    """What some errnos mean."""

    reason: str
    errnos: frozenset[int]
    happened: str
    action: str
    error: type[RefusalError] = RefusalError


KINDS = (
    Kind(
        "NotPermitted", frozenset({errno.EACCES, errno.EPERM}), "the pod's user may not use it",
        "let the user of Lowbit's pods (platform.runAsUser) read it, and for the store also write it; then delete the "
        "Job to try again",
    ),
    Kind(
        "VolumeReadOnly", frozenset({errno.EROFS}), "its file system is read-only",
        "mount the volume so that it can be written: a file system turns read-only after errors of its disk; then "
        "delete the Job to try again",
    ),
    Kind(
        "VolumeFailed",
        frozenset(
            {
                errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT,
                errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
                errno.ENOLINK, errno.EUCLEAN, errno.EBUSY, errno.ENOLCK, errno.EDEADLK, errno.ENOMEDIUM,
            }
        ),
        "its volume failed", "look at the volume, at its server, and at the node's kernel log (dmesg)", LaterError,
    ),
    Kind(
        "NodeExhausted",
        frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS}),
        "the node, or the pod's limits, allow no more", "look at the node's memory, processes and open files",
        LaterError,
    ),
    Kind(
        "FileMissing", frozenset({errno.ENOENT}), "it is not there",
        "find out who has removed it while it was read; put it back, then delete the Job to try again",
        MissingFileError,
    ),
    Kind(
        "BadPath",
        frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ}),
        "its file system takes no such path", "give it a shorter or other name, or use another volume",
    ),
)  # fmt: skip


def of_system(error: BaseException) -> RefusalError | None:
    """The error of a file or of the node; None if none is behind it."""
    found = next((each for each in causes(error) if isinstance(each, OSError) and each.errno is not None), None)
    if found is None or found.errno is None:
        return None
    what, words = named(found), f"{errno.errorcode.get(found.errno, found.errno)}, {os.strerror(found.errno)}"
    for kind in KINDS:
        if found.errno in kind.errnos:
            return kind.error(kind.reason, f"{what}: {kind.happened} ({words})", kind.action)
    return RefusalError(
        "SystemCallFailed",
        f"{what}: {words}",
        "look up what this error means for this volume and this node; then delete the Job to try again",
    )


def named(error: OSError) -> str:
    """The file that the error names, in words that a person can find: small/config.json on claim models."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return " and ".join(place(Path(os.fsdecode(name))) for name in names) or "a file"


def place(path: Path) -> str:
    """A path of the pod, by the volume that it is on."""
    for root, kind in BY_NAME.items():
        if path != Path(root) and path.is_relative_to(root):
            name, *below = path.relative_to(root).parts
            return f"{'/'.join(below) or 'the root'} of {kind} {name}"
    for name, folder in {**PLACES, MODEL: Path(MODEL_PATH)}.items():
        if path.is_relative_to(folder):
            return f"{path.relative_to(folder)} on {name}"
    return str(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of reads and writes by a descriptor name no file: give them this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def hides_system_error(error: BaseException) -> bool:
    """Whether an error that a library gave for bad content has a failed volume or node behind it."""
    found = of_system(error)
    return found is not None and not isinstance(found, MissingFileError)
