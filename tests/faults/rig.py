"""Runs scenarios under plans, and says what came out."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.apiserver import ApiServer
from tests.api.manifests import ROOT
from tests.faults.client import Admin
from tests.faults.compare import Summary, breaches, more_than, summary
from tests.faults.mirror import Mirror
from tests.faults.plan import CRASHES, Call, Fault, Plan, told
from tests.faults.play import USUAL, Cast, Play
from tests.faults.scenarios import ALONE, SCENARIOS
from tests.faults.sorts import SORTS, WHOLE


@dataclass(frozen=True)
class Clean:
    """A run without faults: what every other run is compared with."""

    outcome: Summary
    calls: Sequence[Call]
    events: Sequence[str]
    own: frozenset[str]
    """Points that came after the user's last act: before it a scenario is as others are."""


@dataclass(frozen=True)
class Result:
    """What came of one plan."""

    scenario: str
    plan: Plan
    seconds: float
    wrong: Sequence[str] = ()
    missed: Sequence[Fault] = ()
    """Faults whose point never came: the plan shows nothing."""
    log: str = field(default="", repr=False)

    def __str__(self) -> str:
        verdict = "FAILED" if self.wrong else "missed" if self.missed else "passed"
        again = f"python -m tests.faults {self.scenario} '{told(self.plan)}'"
        return "\n".join((f"{verdict} {self.seconds:5.1f} s  {again}", *(f"    {each}" for each in self.wrong)))


NEVER = 3600.0
"""Seconds between two comparisons with LISTs: without faults the watches tell everything."""


class Rig:
    """One API server for many runs."""

    def __init__(self, admin: Admin, mirror: Mirror, folder: Path) -> None:
        self._admin, self._mirror, self._folder = admin, mirror, folder
        self._numbers = itertools.count(1)
        self._clean: dict[str, Clean] = {}

    async def clean(self, scenario: str) -> Clean:
        """The run without faults, made once."""
        if scenario not in self._clean:
            async with self._play(cast=Cast(compared=NEVER)) as play:
                try:
                    await (SCENARIOS | ALONE)[scenario](play)
                    await play.settle()
                except AssertionError as error:
                    raise AssertionError(f"{scenario} without faults: {error}\n{play.log.read_text()}") from error
                if wrong := [*breaches(play.space), *play.proxy.wire.wrong]:
                    raise AssertionError(f"{scenario} without faults: {wrong}")
                self._clean[scenario] = Clean(
                    summary(play.space), tuple(play.proxy.calls), tuple(play.proxy.events), play.after_last_act()
                )
        return self._clean[scenario]

    async def run(self, scenario: str, plan: Plan) -> Result:
        """One plan, compared with the run without faults."""
        clean = (await self.clean(scenario)).outcome
        began = time.monotonic()
        async with self._play(plan) as play:
            wrong: list[str] = []
            try:
                await SCENARIOS[scenario](play)
                await play.settle(clean.state, clean.told if tells(plan) else frozenset())
            except AssertionError as error:
                wrong += str(error).splitlines()
            run = summary(play.space)
            wrong += [f"created {each}" for each in more_than(clean.created, run.created)]
            wrong += [f"deleted {each}" for each in more_than(clean.deleted, run.deleted)]
            wrong += [*breaches(play.space), *play.proxy.wire.wrong]
            log = play.log.read_text() if play.log.exists() else ""
            log += "\n".join(f"{call.number} {call.point}" for call in play.proxy.calls if not call.asked.lease)
            return Result(scenario, plan, time.monotonic() - began, wrong, play.proxy.missed, log)

    def _play(self, plan: Plan = (), cast: Cast = USUAL) -> Play:
        return Play(self._admin, self._mirror, f"plan-{next(self._numbers):06}", self._folder, plan, cast)


def tells(plan: Plan) -> bool:
    """Whether every Event must come: one that the API server did not take is not sent again."""
    return not any(":events:" in fault.point and fault.action not in CRASHES for fault in plan)


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """An API server of its own, with Lowbit's kinds."""
    with ApiServer() as server, tempfile.TemporaryDirectory(prefix="lowbit-faults-") as folder:
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        admin = Admin(server)
        mirror = Mirror(admin)
        try:
            await mirror.start()
            yield Rig(admin, mirror, Path(folder))
        finally:
            await mirror.stop()
            await admin.close()


def sample(plans: Sequence[tuple[str, Plan]], share: int) -> list[tuple[str, Plan]]:
    """About one plan of `share`, spread evenly over scenarios, points and actions, and the same ones each time."""
    chosen = []
    for scenario, plan in plans:
        number = hashlib.sha256(f"{scenario} {told(plan)}".encode()).digest()[0]
        if number * share < 256:
            chosen.append((scenario, plan))
    return chosen


async def all_plans(rig: Rig, scenarios: Iterable[str], sort: str = "crashes") -> list[tuple[str, Plan]]:
    """All plans of these scenarios of one of SORTS, each with its scenario's name. All of those that are WHOLE; of the
    others what comes after the user's last act, and what comes before it in the first scenario that has it."""
    plans: list[tuple[str, Plan]] = []
    known: set[Plan] = set()
    for scenario in scenarios:
        clean = await rig.clean(scenario)
        for plan in SORTS[sort](clean.calls, clean.events):
            if sort in WHOLE or plan not in known or any(fault.point in clean.own for fault in plan):
                plans.append((scenario, plan))
                known.add(plan)
    return plans


async def run_all(rig: Rig, plans: Iterable[tuple[str, Plan]], at_once: int) -> AsyncIterator[Result]:
    """Results in the order in which they come."""
    waiting = iter(plans)
    running: set[asyncio.Task[Result]] = set()
    while True:
        for scenario, plan in itertools.islice(waiting, at_once - len(running)):
            running.add(asyncio.create_task(rig.run(scenario, plan)))
        if not running:
            return
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            yield task.result()
