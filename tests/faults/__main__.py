"""python -m tests.faults: every plan; with SCENARIO, its plans; with SCENARIO and PLAN, that one, with the operator's log."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter

from tests.faults.plan import Plan, parse
from tests.faults.rig import Result, Rig, crash_plans, rig, run_all
from tests.faults.scenarios import SCENARIOS


async def one(scenario: str, plan: Plan) -> int:
    async with rig() as made:
        result = await made.run(scenario, plan)
        print(result.log, file=sys.stderr)
        print(result)
        return 1 if result.wrong or result.missed else 0


async def every(scenarios: list[str], at_once: int, step: int) -> int:
    began = time.monotonic()
    results: list[Result] = []
    async with rig() as made:
        plans = await all_plans(made, scenarios)
        print(f"{len(plans[::step])} plans", flush=True)
        async for result in run_all(made, plans[::step], at_once):
            results.append(result)
            print(result, flush=True)
    told = Counter("failed" if each.wrong else "missed" if each.missed else "passed" for each in results)
    print(f"\n{len(results)} plans in {time.monotonic() - began:.0f} s: {dict(told)}")
    for result in results:
        if result.wrong:
            print(result)
    return 1 if told["failed"] else 0


async def all_plans(made: Rig, scenarios: list[str]) -> list[tuple[str, Plan]]:
    """All plans of these scenarios, each with its scenario's name."""
    return [(scenario, plan) for scenario in scenarios for plan in crash_plans(await made.clean(scenario))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument("plan", nargs="?", type=parse)
    parser.add_argument("--at-once", type=int, default=4, help="plans that run at the same time (default 4)")
    parser.add_argument("--step", type=int, default=1, help="run every so-manieth plan only")
    words = parser.parse_args()
    if words.plan is not None:
        return asyncio.run(one(words.scenario, words.plan))
    return asyncio.run(every([words.scenario] if words.scenario else list(SCENARIOS), words.at_once, words.step))


if __name__ == "__main__":
    sys.exit(main())
