"""Progress as JSON lines on stdout, with percent and estimated remaining time.

One Progress belongs to one stage. part() gives a step its share of the whole, so that the step counts from 0 to 1
without knowing the other steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lowbit.api.documents import ProgressLine

INTERVAL_SECONDS = 5.0
"""Lines come no closer than this, except the first of a step and the last."""
LEAST_FRACTION = 0.01
"""Below this share of the work, no remaining time is estimated."""


def write_line(text: str) -> None:
    """Print a line to stdout, unbuffered."""
    print(text, flush=True)


class _Pace:
    """State that all parts of one stage share: its start, its last line, its progress."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.write, self.clock = write, clock
        self.started = clock()
        self.written: float | None = None
        self.fraction = 0.0


class Progress:
    """Counts one stage, or a part of it, from 0 to 1."""

    def __init__(
        self,
        stage: str,
        *,
        write: Callable[[str], None] = write_line,
        clock: Callable[[], float] = time.time,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self.stage, self.interval = stage, interval
        self._pace = _Pace(write, clock)
        self._begin, self._end = 0.0, 1.0

    def part(self, begin: float, end: float) -> Progress:
        """The share from begin to end (fractions of this one) as a Progress of its own."""
        part = Progress(self.stage, interval=self.interval, write=self._pace.write, clock=self._pace.clock)
        part._pace = self._pace
        width = self._end - self._begin
        part._begin, part._end = self._begin + begin * width, self._begin + end * width
        return part

    def report(self, fraction: float, message: str, *, force: bool = False) -> None:
        """Report the share of this part that is done (0 to 1): at most every interval seconds, unless forced.

        The reported percentage never goes back.
        """
        pace = self._pace
        fraction = min(max(fraction, 0.0), 1.0)
        pace.fraction = max(pace.fraction, self._begin + fraction * (self._end - self._begin))
        now = pace.clock()
        if not force and pace.written is not None and now - pace.written < self.interval:
            return
        pace.written = now
        line = ProgressLine(
            stage=self.stage,
            percent=round(100 * pace.fraction, 1),
            eta_seconds=self._remaining(now),
            message=message,
            time=round(now, 3),
        )
        pace.write(line.model_dump_json(by_alias=True, exclude_none=True))

    def write_to(self, write: Callable[[str], None]) -> Callable[[str], None]:
        """Send lines of all parts to write from now on; returns where they went before."""
        before, self._pace.write = self._pace.write, write
        return before

    def step(self, message: str) -> None:
        """Report the begin of a step, at once."""
        self.report(0.0, message, force=True)

    def _remaining(self, now: float) -> float | None:
        done = self._pace.fraction
        if done < LEAST_FRACTION:
            return None
        return round((now - self._pace.started) * (1.0 - done) / done, 1)
