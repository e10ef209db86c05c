"""A wave: so many QuantizedModels at once, from the first apply until the last is Ready; and what it costs.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.wave [--count 1000] [--runs 5]

Each run has an API server and an operator of its own. Nothing is shared between two lives. The operator, the API
server, etcd, the actor and the applying client share the machine's cores: how many seconds of a core each has used is
written beside the result.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict

from tests.bench.record import Figure, figure, surroundings, write
from tests.bench.scale.rig import (
    calls,
    got,
    largest,
    reconciles,
    resident,
    rig,
    until_ready,
    until_rest,
    watching,
    written,
)

PARTS = ("kube-apiserver", "etcd", "operator", "actor", "bench")


async def run(count: int) -> dict[str, float]:
    """One wave: figures by name."""
    async with rig() as bench, watching(bench, "QuantizedModel") as watch:
        speed = await bench.speed()
        with bench.operator() as operator:
            await until_ready(operator, bench)
            await until_rest(operator)
            empty, before = resident(operator), bench.processor()
            calls_before, reconciles_before = calls(operator), reconciles(operator)
            seconds = await bench.wave(watch, count)
            after = bench.processor()
            await until_rest(operator)
            made = {name: value - calls_before.get(name, 0) for name, value in calls(operator).items()}
            found = {
                "bare applies a second before it": speed,
                "from the first apply to the last Ready": seconds,
                "from the first apply to half of them Ready": bench.half,
                "from the first apply to the last one": bench.applied,
                "writes of one life": written(made) / count,
                "GETs of one life": got(made) / count,
                "reconciles of one life": (reconciles(operator) - reconciles_before) / count,
                "resident memory, empty": empty,
                "resident memory, settled": resident(operator),
                "resident memory, the most": largest(operator),
                "resident memory for 1,000": (resident(operator) - empty) * 1000 / count,
            }
            found |= {f"processor, {name}": after[name] - before[name] for name in PARTS}
            print({name: round(value / count, 2) for name, value in sorted(made.items())}, flush=True)
            print({name: round(value, 2) for name, value in found.items()}, flush=True)
            return found


UNITS = {"bare": "/s", "writes": "", "GETs": "", "reconciles": "", "resident": "MiB"}


def figures(count: int, runs: list[dict[str, float]]) -> list[Figure]:
    """One per name."""
    samples: defaultdict[str, list[float]] = defaultdict(list)
    for each in runs:
        for name, value in each.items():
            samples[name].append(value)
    return [
        figure(f"a wave of {count:,}: {name}", UNITS.get(name.split()[0], "s"), values)
        for name, values in samples.items()
    ]


async def measure(count: int, runs: int) -> list[dict[str, float]]:
    """One run after the other."""
    return [await run(count) for _ in range(runs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="QuantizedModels")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with surroundings() as seen:
        found = asyncio.run(measure(arguments.count, arguments.runs))
    about = (__doc__ or "").strip()
    write(f"scale-wave-{arguments.count}", figures(arguments.count, found), seen, about=about)


if __name__ == "__main__":
    main()
