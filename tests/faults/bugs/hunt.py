"""`PYTHONPATH=<copy>:. python -m tests.faults.bugs.hunt [PART ...]`: the rig's parts against the operator that is
imported, the cheapest first, until one of them finds something. Prints what was found, and where, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from hack.cluster.apiserver import ApiServer
from tests.faults import play
from tests.faults.pair import standby_waits
from tests.faults.plan import Fault, Plan, parse, told
from tests.faults.properties.run import every
from tests.faults.rig import Rig, rig
from tests.faults.sorts import SORTS, Calls, Events
from tests.faults.stage import build, on_stage
from tests.faults.states.starts import STARTS, directed
from tests.faults.states.walk import Start, walk
from tests.faults.views import DELIVERIES, HISTORIES, LISTS, deliver

PATIENCE = 20.0
"""Seconds: a run that settles later counts as found. Periodic looks, every 30 s, would otherwise hide a lost event."""
AT_ONCE = 3
STARTS_WALKED, HISTORIES_DELIVERED = 600, 1500
CLEAN = (
    "first-apply", "wiped", "by-hand", "by-hand-changing", "foreign-service", "change-evaluating", "shared-baseline",
    "change-serving", "delete-serving",
)  # fmt: skip
"""Scenarios that are played without faults."""
DIRECTED: tuple[tuple[str, str, str], ...] = (
    ("first-apply", "crashes", r"kill-(before|after)@update:quantizedmodels/status:chat#.*"),
    ("first-apply", "crashes", r"kill-after@create:(modelrevisions|jobs:baseline|events:GatePassed).*"),
    ("first-apply", "crashes", r"lost@(create:modelevaluations|patch:deployments).*"),
    ("first-apply", "answers", r"409@update:modelrevisions/status:.*"),
    ("first-apply", "answers", r"409@update:modelevaluations/status:.*"),
    ("first-apply", "answers", r"409@update:quantizedmodels/status:.*"),
    ("first-apply", "answers", r"(503|409)@(create:jobs:quantize|patch:deployments).*"),
    ("change-evaluating", "answers", r"(repeat|409)@delete:.*"),
    ("shared-baseline", "answers", r"409@patch:.*"),
    ("first-apply", "views", r"(gone|drop|duplicate|reorder)@event:jobs:MODIFIED:quantize.*"),
    ("first-apply", "views", r"(reorder|drop)@event:deployments:MODIFIED.*"),
    ("delete-preparing", "views", r"(drop|delay=0.5)@event:quantizedmodels:DELETED.*"),
)
"""Scenario, sort and what a plan looks like: of those that fit, the first and the last one are run."""
LATE = ("change-serving", "rollback"), ",".join(f"503@update:leases:lowbit-operator#{each}" for each in range(2, 40))
"""The Lease is not renewed for seconds in which there is something to write."""
SLOW = ("first-apply", "slow", r"delay=4@create:jobs:chat-prepare.*")
"""A write takes so long that the Lease has ended when the next one of the same reconcile is due."""
CHANGED = ("serving.pod.nodeSelector", "jobs.ttlSeconds")
"""Properties that are changed on a live object."""


def slow_plans(calls: Calls, _: Events) -> list[Plan]:
    """For every write: it takes four seconds."""
    return [(Fault("delay", call.point, 4.0),) for call in calls if call.asked.write]


MORE = {"slow": slow_plans}


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

    for start in directed():
        try:
            run(start)
        except AssertionError as error:
            return str(error)
    return _found(given(STARTS)(run), STARTS_WALKED)


def _found(test: Callable[[], None], examples: int) -> str | None:
    """The first example that fails, as it is: nobody waits for a smaller one."""
    quick = settings(
        max_examples=examples, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    try:
        seed(0)(quick(test))()
    except Exception as error:
        return str(error)
    return None


def runs() -> str | None:
    """Scenarios without faults, then the plans that are directed at what is most often wrong."""
    return asyncio.run(_runs())


async def _runs() -> str | None:
    async with rig() as made:
        if found := await _first([_clean(made, each) for each in CLEAN]):
            return found
        plans = [plan for each in DIRECTED for plan in await _fitting(made, *each)]
        plans += [(scenario, parse(LATE[1])) for scenario in LATE[0]]
        plans += [(SLOW[0], (*plan, *parse(LATE[1]))) for _, plan in await _fitting(made, *SLOW)]
        return await _first([_planned(made, *each) for each in plans])


async def _clean(made: Rig, scenario: str) -> str | None:
    try:
        await made.clean(scenario)
    except AssertionError as error:
        return str(error)
    return None


async def _planned(made: Rig, scenario: str, plan: Plan) -> str | None:
    result = await made.run(scenario, plan)
    return str(result) if result.wrong else None


async def _fitting(made: Rig, scenario: str, sort: str, looks: str) -> list[tuple[str, Plan]]:
    clean = await made.clean(scenario)
    plans = [plan for plan in (SORTS | MORE)[sort](clean.calls, clean.events) if re.fullmatch(looks, told(plan))]
    return [(scenario, plan) for plan in dict.fromkeys([*plans[:1], *plans[-1:]])]


async def _first(work: Iterable[Coroutine[Any, Any, str | None]]) -> str | None:
    """The first thing that one of them has found; the others are not waited for."""
    free = asyncio.Semaphore(AT_ONCE)

    async def limited(each: Coroutine[Any, Any, str | None]) -> str | None:
        async with free:
            return await each

    tasks = [asyncio.create_task(limited(each)) for each in work]
    try:
        for done in asyncio.as_completed(tasks):
            if found := await done:
                return found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return None


def outages() -> str | None:
    """Two operators, one of which leads."""

    async def beside() -> str | None:
        with ApiServer() as server, tempfile.TemporaryDirectory(prefix="lowbit-hunt-") as folder:
            async with on_stage(build(server, Path(folder))) as stage:
                return "; ".join(await standby_waits(stage)) or None

    return asyncio.run(beside())


def properties() -> str | None:
    """A few changes of a live object."""

    async def changes() -> str | None:
        return next((str(each) for each in [each async for each in every(CHANGED, AT_ONCE)] if each.wrong), None)

    return asyncio.run(changes())


PARTS: dict[str, Callable[[], str | None]] = {
    "views": views,
    "states": states,
    "runs": runs,
    "outages": outages,
    "properties": properties,
}


def hunt(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The part that found something, and what."""
    play.PATIENCE = PATIENCE
    for name in parts:
        if said := PARTS[name]():
            yield name, said
            return


if __name__ == "__main__":
    json.dump(next(hunt(sys.argv[1:] or list(PARTS)), None), sys.stdout)
