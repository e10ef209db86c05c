"""Steps with a name and a duration, printed as they go, and the error that names the step that failed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOG_LINES = 20
POLL_SECONDS = 0.1


class StepError(Exception):
    """A step did not come to its end: which, why, and the last lines of the log that matters."""

    def __init__(self, step: str, why: str, log: Path | None = None) -> None:
        self.step, self.why, self.log = step, why, log
        super().__init__(self._text())

    def _text(self) -> str:
        lines = tail(self.log) if self.log else ""
        shown = f"\nThe last lines of {self.log}:\n{lines}" if lines else ""
        return f"{self.step}: {self.why}{shown}"


def tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log, or nothing where there is none."""
    if not log.exists():
        return ""
    return "\n".join("  " + line for line in log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the name, on a terminal with the seconds running, and at the end how long it took."""
    start = time.monotonic()
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(name, start, done), daemon=True)
    if sys.stdout.isatty():
        ticker.start()
    else:
        print(f"... {name}", flush=True)
    mark = "failed"
    try:
        yield
        mark = "ok"
    finally:
        done.set()
        if ticker.is_alive():
            ticker.join()
        clear = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{clear}{mark:6} {name} ({time.monotonic() - start:.1f} s)", flush=True)


def _tick(name: str, start: float, done: threading.Event) -> None:
    while not done.wait(1):
        print(f"\r\033[K...    {name} ({time.monotonic() - start:.0f} s)", end="", flush=True)


def wait_until(
    step_name: str,
    check: Callable[[], str | None],
    *,
    timeout: float,
    alive: Callable[[], bool] = lambda: True,
    log: Path | None = None,
) -> None:
    """Poll `check` until it returns None; a string says what is still missing.

    Raises StepError when the time (seconds) is over, or at once when the process behind it has ended.
    """
    deadline = time.monotonic() + timeout
    while (missing := check()) is not None:
        if not alive():
            raise StepError(step_name, "the process ended", log)
        if time.monotonic() > deadline:
            raise StepError(step_name, f"not there after {timeout:.0f} s: {missing}", log)
        time.sleep(POLL_SECONDS)
