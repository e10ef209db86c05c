"""Two versions of the operator in turns, on one API server: within hours a machine's speed may change by half.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.scale.turns cold|wave [--count 150] [--runs 3] TREE TREE ...

TREE: a checkout of Lowbit, whose operator/ is run. Nothing is kept; each line says what one turn came to.

- wave: so many new QuantizedModels, from the first apply to the last Ready; and the milliseconds of a core for each, by
  part. The actor does the same for every one of them, so its share tells how fast the machine was.
- cold: a cold start beside so many settled ones, from the start of the process until it is synced.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from tests.bench.record import ROOT
from tests.bench.scale.rig import Rig, Watch, pid_of, resident, rig, seconds_of, until_ready, until_rest, watching


async def wave(bench: Rig, watch: Watch, tree: Path, count: int) -> str:
    """One wave by one version."""
    with bench.operator(tree=tree) as operator:
        await until_ready(operator, bench)
        await until_rest(operator)
        before = bench.processor()
        seconds = await bench.wave(watch, count)
        after = bench.processor()
        used = {name: 1e3 * (after[name] - before[name]) / count for name in after}
        parts = ", ".join(f"{name} {each:.1f}" for name, each in used.items())
        return (
            f"{seconds:.1f} s, half after {bench.half:.1f} s; ms of a core each: {parts}; {resident(operator):.0f} MiB"
        )


async def cold(bench: Rig, _: Watch, tree: Path, __: int) -> str:
    """One cold start of one version."""
    began = time.monotonic()
    with bench.operator(tree=tree) as operator:
        await until_ready(operator, bench)
        seconds, used = time.monotonic() - began, seconds_of(pid_of(operator))
        await until_rest(operator)
        at_rest = seconds_of(pid_of(operator))
        memory = resident(operator)
        return f"synced after {seconds:.2f} s, {used:.2f} s of a core; at rest {at_rest:.2f} s; {memory:.0f} MiB"


WHAT = {"wave": wave, "cold": cold}


async def compare(what: str, trees: list[Path], count: int, runs: int) -> None:
    """All versions, so many times; every other time in the reverse order."""
    async with rig() as bench, watching(bench, "QuantizedModel") as watch:
        if what == "cold":
            print(f"settled: {await wave(bench, watch, ROOT, count)}", flush=True)
        for number in range(runs):
            for tree in trees if number % 2 == 0 else reversed(trees):
                print(f"{tree}: {await WHAT[what](bench, watch, tree, count)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("trees", type=Path, nargs="+", metavar="TREE")
    parser.add_argument("--count", type=int, default=150, help="QuantizedModels")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(compare(arguments.what, [each.resolve() for each in arguments.trees], arguments.count, arguments.runs))


if __name__ == "__main__":
    main()
