"""python -m tests.faults [SCENARIO [PLAN]]: every plan, a scenario's plans, or one plan with the operator's log."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.plan import Plan, parse, told
from tests.faults.rig import Result, Rig, all_plans, rig, run_all, sample
from tests.faults.scenarios import ALONE, SCENARIOS
from tests.faults.sorts import SORTS

SLOW = 15.0
"""Seconds after which a plan is worth a look, though it has passed."""


async def one(scenario: str, plan: Plan) -> int:
    async with rig() as made:
        result = await made.run(scenario, plan)
        print(result.log, file=sys.stderr)
        print(result)
        return 1 if result.wrong or result.missed else 0


@dataclass(frozen=True)
class Choice:
    """Which plans."""

    scenarios: Sequence[str]
    sort: str
    matching: str
    share: int

    async def plans(self, made: Rig) -> list[tuple[str, Plan]]:
        """Scenario and plan of each that was asked for."""
        plans = await all_plans(made, self.scenarios, self.sort)
        asked = [(scenario, plan) for scenario, plan in plans if re.search(self.matching, told(plan))]
        chosen = sample(asked, self.share)
        print(f"{len(chosen)} of {len(plans)} plans", flush=True)
        return chosen


async def every(choice: Choice, at_once: int, logs: Path | None) -> int:
    began = time.monotonic()
    results: list[Result] = []
    async with rig() as made:
        for alone in ALONE if len(choice.scenarios) > 1 and choice.sort == "crashes" else ():
            await made.clean(alone)
            print(f"passed without faults: {alone}", flush=True)
        async for result in run_all(made, await choice.plans(made), at_once):
            results.append(result)
            print(result, flush=True)
            if logs is not None and (result.wrong or result.missed or result.seconds > SLOW):
                (logs / f"{len(results)}.log").write_text(f"{result}\n\n{result.log}")
    verdicts = Counter("failed" if each.wrong else "missed" if each.missed else "passed" for each in results)
    print(f"\n{len(results)} plans in {time.monotonic() - began:.0f} s: {dict(verdicts)}")
    for result in results:
        if result.wrong:
            print(result)
    return 1 if verdicts["failed"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument("plan", nargs="?", type=parse)
    parser.add_argument("--at-once", type=int, default=4, help="plans that run at the same time (default 4)")
    parser.add_argument("--sort", choices=SORTS, default="crashes", help="which plans (default crashes)")
    parser.add_argument("--share", type=int, default=1, help="run one plan of so many")
    parser.add_argument("--matching", default="", help="run only plans in whose text this regular expression is found")
    parser.add_argument("--logs", type=Path, help="folder for the operator's logs of plans that failed or were slow")
    words = parser.parse_args()
    if words.logs is not None:
        words.logs.mkdir(parents=True, exist_ok=True)
    if words.plan is not None:
        return asyncio.run(one(words.scenario, words.plan))
    scenarios = [words.scenario] if words.scenario else list(SCENARIOS)
    choice = Choice(scenarios, words.sort, words.matching, words.share)
    return asyncio.run(every(choice, words.at_once, words.logs))


if __name__ == "__main__":
    sys.exit(main())
