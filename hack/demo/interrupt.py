"""Ctrl-C: remembered from the first line of the demo on. Imports nothing that takes time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """What happens at SIGINT. Each one raises KeyboardInterrupt, until the last words begin."""

    def __init__(self) -> None:
        self.came = False
        """An error that arrives after it comes from it: the programs that the demo runs get the same SIGINT."""
        self.closing = False

    def install(self) -> None:
        """Take SIGINT over."""
        signal.signal(signal.SIGINT, self._arrived)

    def ignore(self) -> None:
        """From here on SIGINT does nothing, neither here nor in programs that are started from here on."""
        self.closing = True
        # Blocked first: Python tells of a SIGINT that it got before, and handles after, the change with a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _arrived(self, *_: object) -> None:
        if not self.closing:
            self.came = True
            raise KeyboardInterrupt


@contextmanager
def deferred() -> Iterator[None]:
    """Hold SIGINT back to the end of the block; programs that the block runs ignore it.

    Linux keeps a blocked signal even where it is ignored. Blocking alone is not enough for programs: sh unblocks it.
    """
    handler = signal.getsignal(signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
