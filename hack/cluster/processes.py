"""Programs in the background: started with a log, known by a file with their process id, stopped for certain."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.progress import POLL_SECONDS, StepError

STOP_SECONDS = 10


@dataclass(frozen=True)
class Process:
    """One program in the background. Its process id is kept in a file: any later command finds it again."""

    name: str
    run: Path
    logs: Path

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.run / f"{self.name}.pid"

    def start(self, line: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
        """Start it in a session of its own, unless it runs. Raises StepError when the program is not there."""
        if self.alive():
            return
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            try:
                child = subprocess.Popen(
                    [str(word) for word in line],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd="/",
                    env={**os.environ, **(environment or {})},
                )
            except FileNotFoundError as error:
                why = f"{line[0]} is missing: run python3 -m hack.cluster.packages and python3 -m hack.cluster.build"
                raise StepError(f"start {self.name}", why) from error
        child.returncode = 0  # ours to watch by its id, so that it outlives this interpreter without a warning
        self._pid_file.write_text(f"{child.pid} {started_at(child.pid)}")

    def pid(self) -> int | None:
        """Its process id while it runs. An id that the system has given to another program is not taken for it."""
        try:
            pid, start = (int(word) for word in self._pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if started_at(pid) == start else None

    def alive(self) -> bool:
        return self.pid() is not None

    def signal(self, number: int) -> None:
        """Send it a signal, SIGSTOP and SIGCONT included, if it runs."""
        if (pid := self.pid()) is not None:
            os.kill(pid, number)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, and after `seconds` end it. Returns when it is gone."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, STOP_SECONDS)):
            self.signal(number)
            if self._gone_within(patience):
                self._pid_file.unlink(missing_ok=True)
                return
        raise StepError(f"stop {self.name}", f"process {self.pid()} outlived SIGKILL", self.log)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self.stop()

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS / 2)
        return True


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone (or dead and only not yet waited for)."""
    _reap(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19]) if _any_thread_lives(pid) else None


def _any_thread_lives(pid: int) -> bool:
    """The first thread may be dead while others still hold the sockets."""
    for status in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = status.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            return True
    return False


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # not a child of this interpreter
        os.waitpid(pid, os.WNOHANG)
