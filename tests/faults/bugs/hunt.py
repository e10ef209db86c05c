"""`PYTHONPATH=<copy>:. python -m tests.faults.bugs.hunt`: the rig's parts against the operator that is imported, the
cheapest first, until one of them finds something. Prints what was found, and where, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.faults import play
from tests.faults.plan import Plan, parse, told
from tests.faults.properties.run import every
from tests.faults.rig import SORTS, Rig, rig, run_all
from tests.faults.scenarios import ALONE, SCENARIOS
from tests.faults.states.starts import STARTS
from tests.faults.states.walk import Start, walk
from tests.faults.views import DELIVERIES, HISTORIES, LISTS, deliver

PATIENCE = 25.0
"""Seconds: a run that settles later is found."""
AT_ONCE = 4
STARTS_WALKED, HISTORIES_DELIVERED = 600, 1500
DIRECTED: tuple[tuple[str, str, str], ...] = (
    ("first-apply", "crashes", r"kill-after@create:(modelrevisions|jobs:baseline).*"),
    ("first-apply", "crashes", r"kill-before@patch:deployments.*"),
    ("first-apply", "crashes", r"(kill-after|kill-before)@create:events:GatePassed#1"),
    ("first-apply", "crashes", r"kill-(before|after)@update:quantizedmodels/status:chat#.*"),
    ("first-apply", "crashes", r"lost@(create:modelevaluations.*|patch:deployments.*|create:leases.*)"),
    ("first-apply", "answers", r"409@update:(quantizedmodels|modelrevisions)/status:.*"),
    ("first-apply", "answers", r"(503|429=1)@create:jobs:quantize.*"),
    ("first-apply", "answers", r"409@patch:deployments.*"),
    ("change-evaluating", "answers", r"(repeat|409|500)@delete:.*"),
    ("change-evaluating", "crashes", r"(lost|kill-after)@delete:.*"),
    ("shared-baseline", "answers", r"409@patch:.*"),
    ("first-apply", "views", r"(gone|drop|duplicate|reorder|delay=0.5)@event:jobs:MODIFIED:quantize.*"),
    ("first-apply", "views", r"(reorder|drop)@event:deployments:MODIFIED.*"),
)
"""Scenario, sort and what a plan looks like: of those that fit, the first and the last one are run."""
CHANGED = ("serving.pod.nodeSelector", "jobs.ttlSeconds")
LATE = ("first-apply", "change-evaluating"), "delay=4@update:leases:lowbit-operator#2"
"""The Lease is renewed too late while there is something to write."""


def views() -> str | None:
    """Events late, twice, out of order."""
    return _found(given(HISTORIES, DELIVERIES, LISTS)(deliver), HISTORIES_DELIVERED)


def states() -> str | None:
    """Starts that no run would make."""

    def run(start: Start) -> None:
        try:
            walk(start)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}: --example '{start.text()}'") from error

    return _found(given(STARTS)(run), STARTS_WALKED)


def _found(test: Callable[[], None], examples: int) -> str | None:
    """The first example that fails, as it is: nobody waits for a smaller one."""
    quick = settings(
        max_examples=examples, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    try:
        seed(0)(quick(test))()
    except Exception as error:
        return str(error)
    return None


def runs() -> str | None:
    """The scenarios without faults, then the plans that are directed at what is most often wrong."""
    return asyncio.run(_runs())


async def _runs() -> str | None:
    async with rig() as made:
        first = asyncio.Semaphore(AT_ONCE)

        async def clean(scenario: str) -> str | None:
            async with first:
                try:
                    await made.clean(scenario)
                except AssertionError as error:
                    return f"{scenario} without faults: {str(error)[:400]}"
                return None

        found = [each for each in await asyncio.gather(*map(clean, [*ALONE, *SCENARIOS])) if each is not None]
        if found:
            return found[0]
        plans = [plan for each in DIRECTED for plan in await _fitting(made, *each)]
        plans += [(scenario, parse(LATE[1])) for scenario in LATE[0]]
        async for result in run_all(made, plans, AT_ONCE):
            if result.wrong:
                return str(result)
    return None


def properties() -> str | None:
    """A few changes of a live object."""

    async def changes() -> str | None:
        return next((str(each) for each in [each async for each in every(CHANGED, AT_ONCE)] if each.wrong), None)

    return asyncio.run(changes())


async def _fitting(made: Rig, scenario: str, sort: str, looks: str) -> list[tuple[str, Plan]]:
    plans = [plan for plan in SORTS[sort](await made.clean(scenario)) if re.fullmatch(looks, told(plan))]
    return [(scenario, plan) for plan in dict.fromkeys([*plans[:1], *plans[-1:]])]


PARTS: dict[str, Callable[[], str | None]] = {"views": views, "states": states, "runs": runs, "properties": properties}


def hunt() -> Iterator[tuple[str, str]]:
    """The part that found something, and what."""
    play.PATIENCE = PATIENCE
    for name, part in PARTS.items():
        if said := part():
            yield name, said
            return


if __name__ == "__main__":
    json.dump(next(hunt(), None), sys.stdout)
