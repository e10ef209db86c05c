"""Detects dead watch streams: each stream is reopened every few minutes, and one that is not has died."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

REOPENED = 300
"""Seconds after which the API server is asked to end a stream, so that it is reopened."""
OPEN_LIMIT = 420.0
"""Seconds without an opening after which a stream counts as dead."""
RETRY_LIMIT = 90.0
"""Seconds after a refused opening. Without another attempt by then, nobody retries any more."""


@dataclass
class Stream:
    """Times on the clock of WatchStreams."""

    attempted: float
    """Time of the last attempt to open it (initially: when it was first expected)."""
    opened: float
    """Time of the last successful opening (initially: the same)."""
    answered: bool = False
    """Whether it was ever opened."""
    refused: bool = False
    """Whether the last attempt failed."""


class WatchStreams:
    """State of each stream, by the path that it watches. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float], on_open: Callable[[], None] = lambda: None) -> None:
        """on_open is called whenever a stream has been opened."""
        self._clock = clock
        self._on_open = on_open
        self._streams: dict[str, Stream] = {}

    def expect(self, paths: Iterable[str]) -> None:
        """Expect these streams from now on."""
        now = self._clock()
        self._streams = {path: Stream(now, now) for path in paths}

    def attempted(self, path: str) -> None:
        """Note an attempt to open a stream."""
        if stream := self._streams.get(path):
            stream.attempted = self._clock()

    def opened(self, path: str) -> None:
        """Note that a stream was opened."""
        if stream := self._streams.get(path):
            stream.opened, stream.answered, stream.refused = self._clock(), True, False
            self._on_open()

    def refused(self, path: str) -> None:
        """Note that the API server did not answer, or not with a stream."""
        if stream := self._streams.get(path):
            stream.refused = True

    def pending(self) -> str | None:
        """Which streams were never open; None if all were."""
        paths = [path for path, stream in self._streams.items() if not stream.answered]
        return f"not open yet: {', '.join(paths)}" if paths else None

    def open(self, paths: Iterable[str]) -> bool:
        """Whether each of these has been open."""
        return all(path in self._streams and self._streams[path].answered for path in paths)

    def trouble(self, answering_since: float) -> str | None:
        """Which stream has died, although the API server has answered other calls since that time on the clock."""
        now = self._clock()
        for path, stream in self._streams.items():
            silent = now - max(stream.opened, answering_since)
            if silent > OPEN_LIMIT:
                return f"nothing has been streamed from {path} for {silent:.0f} s"
            idle = now - max(stream.attempted, answering_since)
            if stream.refused and idle > RETRY_LIMIT:
                return f"{path} was refused {idle:.0f} s ago, and nobody has tried again"
        return None
