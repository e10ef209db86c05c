"""Records a figure: mean and deviation, the machine, what else it did meanwhile, the commit and the date."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")
PODS = Path("/sys/fs/cgroup/cpuacct/kubepods/cpuacct.usage")
"""Nanoseconds of all pods on the machine (cgroup v1)."""
LOOK_SECONDS = 5.0
"""How long the machine is looked at before a measurement begins."""


@dataclass(frozen=True)
class Figure:
    """One measured thing. Deviation is the sample standard deviation; None where there is one run only."""

    name: str
    unit: str
    runs: int
    mean: float
    deviation: float | None
    minimum: float
    median: float
    maximum: float
    percentiles: dict[str, float] = field(default_factory=dict)
    samples: list[float] = field(default_factory=list)


def figure(name: str, unit: str, samples: Sequence[float], percentiles: Sequence[int] = ()) -> Figure:
    """The samples, in the order in which they were taken, and what is said about them."""
    return Figure(
        name=name,
        unit=unit,
        runs=len(samples),
        mean=_short(statistics.fmean(samples)),
        deviation=_short(statistics.stdev(samples)) if len(samples) > 1 else None,
        minimum=_short(min(samples)),
        median=_short(statistics.median(samples)),
        maximum=_short(max(samples)),
        percentiles={f"p{each}": _short(percentile(samples, each)) for each in percentiles},
        samples=[_short(each) for each in samples],
    )


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear between the two nearest samples."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass
class Surroundings:
    """What the machine did besides."""

    load_before: tuple[float, float, float]
    """Load averages over 1, 5 and 15 minutes."""
    busy_before: float
    """Cores that were busy in the seconds before."""
    load_after: tuple[float, float, float] = (0.0, 0.0, 0.0)
    niced_during: float = 0.0
    """Cores that worked for niced processes (nice > 0): never the measured ones."""
    pods_during: float = 0.0
    """Cores that worked for pods of a cluster on the machine: the measured ones only where that is what is measured."""
    priority: str = ""
    """Of the measured processes."""


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Looks at the machine before, during and after the block."""
    begin = _cpu()
    time.sleep(LOOK_SECONDS)
    end = _cpu()
    seen = Surroundings(os.getloadavg(), round((end["busy"] - begin["busy"]) / LOOK_SECONDS, 2))
    seen.priority = priority()
    before, started = _cpu(), time.monotonic()
    yield seen
    after, seconds = _cpu(), time.monotonic() - started
    seen.niced_during = round((after["nice"] - before["nice"]) / seconds, 2)
    seen.pods_during = round((after["pods"] - before["pods"]) / seconds, 2)
    seen.load_after = os.getloadavg()


def write(
    name: str,
    figures: Sequence[Figure],
    seen: Surroundings,
    *,
    about: str,
    setting: dict[str, Any] | None = None,
    versions: dict[str, str] | None = None,
) -> Path:
    """Write results/<name>.json and print the figures. `about` says what was measured, from where to where."""
    record = {
        "name": name,
        "about": about,
        "command": command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **revision(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **(versions or {})},
        "surroundings": asdict(seen),
        "setting": setting or {},
        "figures": [asdict(each) for each in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    for each in figures:
        more = "".join(f" {key} {value:g}" for key, value in each.percentiles.items())
        deviation = "" if each.deviation is None else f" ± {each.deviation:g}"
        print(f"{each.name}: {each.mean:g}{deviation} {each.unit} ({each.runs} runs{more})")
    print(
        f"load before {seen.load_before}, busy before {seen.busy_before} cores, "
        f"others {seen.niced_during} cores, pods {seen.pods_during}"
    )
    print(path.relative_to(ROOT))
    return path


def priority() -> str:
    """This process's scheduling class, which its children inherit."""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        return f"real-time (SCHED_RR {os.sched_getparam(0).sched_priority})"
    return f"nice {os.getpriority(os.PRIO_PROCESS, 0)}"


def command() -> str:
    """This process's command line, as it would be typed in the repository."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name if spec is not None else Path(sys.argv[0]).name
    return " ".join(["PYTHONPATH=operator .venv/bin/python -m", module, *sys.argv[1:]])


def revision() -> dict[str, Any]:
    """The commit, and whether the operator's code was changed since."""
    commit = _git("rev-parse", "HEAD")
    return {
        "commit": commit,
        "changed": bool(_git("status", "--porcelain", "--", "operator", "images", "requirements")),
    }


def machine() -> dict[str, Any]:
    """CPU model, cores, memory, kernel, distribution."""
    cpu = next(line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    memory = int(next(line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")))
    release = dict(line.split("=", 1) for line in _lines("/etc/os-release") if "=" in line)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**2, 1),
        "kernel": platform.release().split("-")[0],
        "system": release.get("PRETTY_NAME", platform.system()).strip('"'),
        "virtual": any("hypervisor" in line for line in _lines("/proc/cpuinfo") if line.startswith("flags")),
    }


def memory_of(pid: int, field_name: str) -> int:
    """A field of /proc/<pid>/status in KiB: VmRSS, VmHWM (its largest so far), RssAnon."""
    return int(next(line.split()[1] for line in _lines(f"/proc/{pid}/status") if line.startswith(f"{field_name}:")))


@contextmanager
def others() -> Iterator[list[float]]:
    """Cores that worked for niced processes and for pods during the block; in the list after it."""
    begin, started = _cpu(), time.monotonic()
    found: list[float] = []
    yield found
    end, seconds = _cpu(), time.monotonic() - started
    found.append(round(sum(end[name] - begin[name] for name in ("nice", "pods")) / seconds, 2))


def _cpu() -> dict[str, float]:
    """Seconds of all cores so far: busy, and among them those of niced processes, and those of pods."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, _lines("/proc/stat")[0].split()[1:9])
    pods = int(PODS.read_text()) / 1e9 if PODS.exists() else 0.0
    return {"busy": (user + nice + system + irq + softirq + steal) / TICKS, "nice": nice / TICKS, "pods": pods}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _short(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
