"""Cold starts beside more and more settled QuantizedModels, on one API server and in one hour, by who works in them.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.starts [--counts 1000 2500 5000] [--runs 5]
        [--profiles FOLDER]

From the start of the operator's process until it is ready and leads; of each process the seconds of a core that it used
meanwhile. With --profiles one start more at each number is profiled: FOLDER/apiserver-N.pb.gz, for `go tool pprof
-top`.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hack.cluster import paths
from tests.bench.record import Figure, figure, surroundings, write
from tests.bench.scale.rig import Rig, Watch, rig, until_ready, until_rest, watching

PARTS = ("operator", "kube-apiserver", "etcd")
Samples = dict[int, dict[str, list[float]]]


async def start(bench: Rig) -> dict[str, float]:
    """One cold start: its seconds, and of each part the seconds of a core."""
    bench.latest = None  # the one before has ended
    before, began = bench.processor(), time.monotonic()
    with bench.operator() as operator:
        await until_ready(operator, bench)
        seconds, after = time.monotonic() - began, bench.processor()
        await until_rest(operator)
    used = {part: after[part] - before.get(part, 0.0) for part in PARTS}
    return {"to synced": seconds} | used


async def profile(bench: Rig, seconds: float, into: Path) -> None:
    """kube-apiserver's processor in a start that takes so long."""
    address = f"/debug/pprof/profile?seconds={max(2, int(seconds))}"
    command: list[str | Path] = [
        paths.tools() / "kubectl",
        "--kubeconfig",
        bench.server.kubeconfig,
        "get",
        "--raw",
        address,
    ]
    with into.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*map(str, command), stdout=file)
    await start(bench)
    if await process.wait():
        raise subprocess.CalledProcessError(process.returncode or 1, command)


async def grow(bench: Rig, watch: Watch, count: int) -> None:
    """Settle QuantizedModels until there are so many."""
    with bench.operator() as operator:
        await until_ready(operator, bench)
        print(f"{count:,} settled after {await bench.wave(watch, count - bench.count):.0f} s", flush=True)
        await until_rest(operator)


async def measure(counts: list[int], runs: int, profiles: Path | None) -> Samples:
    """So many starts at each number, the smallest first."""
    found: Samples = {}
    more = ("--profiling=true",) if profiles else ()
    async with rig(arguments=more) as bench, watching(bench, "QuantizedModel") as watch:
        for count in sorted(counts):
            await grow(bench, watch, count)
            samples: defaultdict[str, list[float]] = defaultdict(list)
            for _ in range(runs):
                for name, value in (await start(bench)).items():
                    samples[name].append(value)
                print(
                    f"{count:,}: " + ", ".join(f"{name} {each[-1]:.2f} s" for name, each in samples.items()), flush=True
                )
            found[count] = dict(samples)
            if profiles is not None:
                await profile(bench, min(samples["to synced"]), profiles / f"apiserver-{count}.pb.gz")
    return found


def figures(samples: Samples) -> Iterator[Figure]:
    """One per number and part."""
    for count, each in samples.items():
        for name, values in each.items():
            words = name if name not in PARTS else f"processor, {name}"
            yield figure(f"a cold start beside {count:,}: {words}", "s", values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 2500, 5000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profiles", type=Path, help="folder for profiles of kube-apiserver")
    arguments = parser.parse_args()
    if arguments.profiles is not None:
        arguments.profiles.mkdir(parents=True, exist_ok=True)
    with surroundings() as seen:
        samples = asyncio.run(measure(arguments.counts, arguments.runs, arguments.profiles))
    write("scale-starts", list(figures(samples)), seen, about=(__doc__ or "").strip())


if __name__ == "__main__":
    main()
