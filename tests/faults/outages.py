"""python -m tests.faults.outages: every outage in its full length, 20 minutes; with a NAME, that one."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from hack.cluster.apiserver import ApiServer
from tests.faults.away import gone, killed, unavailable
from tests.faults.lost_lease import lease_deleted, lease_taken
from tests.faults.pair import MISSED, leader_stopped, points, standby_waits
from tests.faults.restored import restored, restored_before_a_change, restored_before_a_deletion
from tests.faults.rights import all_rights_taken, one_right_taken
from tests.faults.stage import Stage, build, on_stage
from tests.faults.storms import conflict_storm, fight

Run = Callable[[], Awaitable[list[str]]]
SCENARIOS = ("first-apply", "failed-gate", "change-evaluating", "change-serving", "rollback", "delete-serving")
"""Lives in which the leader is stopped at every write."""


async def together(stage: Stage) -> AsyncIterator[tuple[str, Run]]:
    """Outages of one operator: the others do not notice."""
    yield "503", partial(unavailable, stage, 600.0)
    yield "standby", partial(standby_waits, stage)
    yield "storm", partial(conflict_storm, stage)
    yield "fight", partial(fight, stage)
    for point in await points(stage, "first-apply"):
        yield f"lease-taken {point}", partial(lease_taken, stage, point)
        yield f"lease-deleted {point}", partial(lease_deleted, stage, point)
    for scenario in SCENARIOS:
        for point in await points(stage, scenario):
            for late in (False, True):
                name = f"stopped {scenario} {point}{' late' if late else ''}"
                yield name, partial(leader_stopped, stage, scenario, point, late=late)


async def alone(stage: Stage) -> AsyncIterator[tuple[str, Run]]:
    """Outages of the API server, or of rights that all share."""
    yield "killed", partial(killed, stage, 10)
    yield "gone", partial(gone, stage, 120.0)
    writes = [point.rpartition("#")[0] for point in await points(stage, "first-apply")]
    for begin, end in zip(writes[::4], writes[6::4], strict=False):
        yield f"restored {begin} {end}", partial(restored, stage, begin, end)
    yield "restored-change", partial(restored_before_a_change, stage)
    yield "restored-deletion", partial(restored_before_a_deletion, stage)
    yield "rights", partial(all_rights_taken, stage)
    yield "right", partial(one_right_taken, stage)


async def carry_out(name: str, run: Run, came_out: dict[str, list[str]]) -> None:
    began = time.monotonic()
    wrong = await run()
    verdict = "missed" if wrong == [MISSED] else "FAILED" if wrong else "passed"
    print(
        f"{verdict} {time.monotonic() - began:6.1f} s  {name}", *(f"    {each}" for each in wrong), sep="\n", flush=True
    )
    came_out.setdefault(verdict, []).append(name)


async def every(server: ApiServer, folder: Path, wanted: str, at_once: int) -> int:
    began, came_out = time.monotonic(), dict[str, list[str]]()
    async with on_stage(build(server, folder)) as stage:
        slots = asyncio.Semaphore(at_once)

        async def one(name: str, run: Run) -> None:
            async with slots:
                await carry_out(name, run, came_out)

        async with asyncio.TaskGroup() as group:
            async for name, run in together(stage):
                if name.startswith(wanted):
                    group.create_task(one(name, run))
        async for name, run in alone(stage):
            if name.startswith(wanted):
                await carry_out(name, run, came_out)
    counts = {verdict: len(names) for verdict, names in came_out.items()}
    print(f"\n{sum(counts.values())} outages in {time.monotonic() - began:.0f} s: {counts}")
    print(*came_out.get("FAILED", ()), sep="\n")
    return 1 if "FAILED" in came_out else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.outages", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="the beginning of an outage's name")
    parser.add_argument(
        "--at-once", type=int, default=4, help="outages of single operators at the same time (default 4)"
    )
    words = parser.parse_args()
    with ApiServer() as server, tempfile.TemporaryDirectory(prefix="lowbit-outages-") as folder:
        return asyncio.run(every(server, Path(folder), words.name, words.at_once))


if __name__ == "__main__":
    sys.exit(main())
