"""The engine's log, in a folder that only the engine writes: untrusted, so a plain file, bounded, and read as text."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LOG_LIMIT = 4 * 1024 * 1024
"""Bytes of the engine's log that are read."""


def read_log(path: Path) -> str:
    """The beginning of the engine's log, which names its kernels; empty if the engine writes none.

    Links are not followed, and pipes and devices not read: the engine could name a Secret of ours, or never end.
    """
    try:
        # O_NONBLOCK: to open a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        with open(descriptor, "rb", closefd=False) as log:
            return log.read(LOG_LIMIT).decode(errors="replace")
    finally:
        os.close(descriptor)
