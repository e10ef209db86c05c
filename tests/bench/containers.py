"""Programs run in the root file systems of the worker and engine images, on the host's network, without a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.progress import tail
from images.buildah import buildah, folder
from tests.bench.record import others

HERE = Path(__file__).parent
SCRIPTS = "tests.bench.inside"
USAGE = "usage.json"
MARKS = "marks.json"
STARTS_WITHIN = 600.0
"""Seconds until an engine counts as broken."""


@dataclass(frozen=True)
class Usage:
    """What one process took, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    """Largest resident memory, mapped files included."""
    others: float
    """Cores that worked for niced processes and for pods meanwhile."""
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds of the parts that it has told of."""
    cpu_parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Container:
    """A root file system to run programs in. Volumes are host folders by their path inside."""

    name: str
    reference: str
    volumes: Mapping[str, Path]

    def command(self, environment: Mapping[str, str], words: Sequence[str]) -> list[str]:
        """The command line."""
        mounts = {**self.volumes, "/bench/tests/bench": HERE}
        options = [word for inside, outside in mounts.items() for word in ("-v", f"{outside}:{inside}")]
        options += [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        return buildah("run", "--isolation", "chroot", "--user", "0:0", *options, self.name, "--", *words)

    def script(self, scratch: Path, environment: Mapping[str, str], name: str) -> Usage:
        """Run one of the scripts in inside/ to its end. scratch is the host's folder behind /lowbit/scratch."""
        for each in (USAGE, MARKS):
            (scratch / each).unlink(missing_ok=True)
        line = self.command(
            environment,
            ["python3", "-m", f"{SCRIPTS}.timed", f"/lowbit/scratch/{USAGE}", "python3", "-m", f"{SCRIPTS}.{name}"],
        )
        log = scratch.parent / "run.log"
        with log.open("wb") as output, others() as meanwhile:
            done = subprocess.run(line, stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}\n{tail(log, 40)}")
        usage = json.loads((scratch / USAGE).read_text())
        marks = json.loads((scratch / MARKS).read_text()) if (scratch / MARKS).exists() else {}
        return Usage(**usage, others=meanwhile[0], **marks)


@contextmanager
def container(image: str, volumes: Mapping[str, Path]) -> Iterator[Container]:
    """A container of the image that was built last under this name (worker, engine, ...); it goes with the block."""
    references: dict[str, str] = json.loads((folder() / "refs.json").read_text())
    reference = references[image]
    name = subprocess.run(
        buildah("from", "--pull-never", reference), check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield Container(name, reference, volumes)
    finally:
        subprocess.run(buildah("rm", name), check=False, capture_output=True)


@contextmanager
def engine(
    made: Container, scratch: Path, words: Sequence[str], environment: Mapping[str, str], url: str
) -> Iterator[float]:
    """vLLM while the block runs. Yields the seconds from its start until /health answered 200."""
    pid_file = scratch / "engine.pid"
    pid_file.unlink(missing_ok=True)
    line = made.command(environment, ["/bin/sh", "-c", 'echo $$ >/lowbit/scratch/engine.pid; exec "$@"', "sh", *words])
    log = scratch.parent / "engine.log"
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT)
    try:
        while not healthy(url):
            if process.poll() is not None or time.monotonic() - begin > STARTS_WITHIN:
                raise RuntimeError(f"the engine did not start\n{tail(log, 40)}")
            time.sleep(0.1)
        yield time.monotonic() - begin
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
        process.wait(timeout=120)


def healthy(url: str) -> bool:
    """Whether /health answers 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False
