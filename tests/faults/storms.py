"""Another writer at everything that is ours, all the time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from lowbit.naming.names import MODEL_LABEL
from tests.api.calls import CallError
from tests.faults.play import Play
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import LIFE, Stage


async def conflict_storm(stage: Stage) -> list[str]:
    """Another writer never stops to write annotations on everything that is ours."""
    clean = await stage.clean(LIFE)
    async with stage.play() as play:
        storm = asyncio.create_task(
            _storm(stage, play, lambda kind, number: {"metadata": {"annotations": {"storm": f"{number}"}}})
        )
        try:
            await SCENARIOS[LIFE](play)
            written = play.proxy.writes
        except AssertionError as error:
            return str(error).splitlines()
        finally:
            storm.cancel()
            await asyncio.gather(storm, return_exceptions=True)
        for kind, name in list(play.space.objects):
            await _patch(stage, play, kind, name, {"metadata": {"annotations": {"storm": None}}})
        wrong = await stage.judge(play, LIFE)
        most = len(clean.writes) + len(clean.writes) // 2
        return [*wrong, *([f"{written} writes, {most} would do"] if written > most else [])]


SPECS: dict[str, Callable[[int], Any]] = {
    "Deployment": lambda number: {"replicas": 3 + number % 5},
    "Service": lambda number: {"selector": {MODEL_LABEL: f"other-{number}"}},
    "PodDisruptionBudget": lambda number: {"maxUnavailable": 5 + number % 3},
}
"""What somebody else would have where the specs of our children declare something."""


async def fight(stage: Stage) -> list[str]:
    """Another writer edits the specs of what is ours: each edit is undone, once."""
    await stage.clean("first-apply")
    async with stage.play() as play:
        await SCENARIOS["first-apply"](play)
        await play.settle()
        before, edits = play.proxy.writes, 0

        def edit(kind: str, number: int) -> Any:
            nonlocal edits
            if kind not in SPECS:
                return None
            edits += 1
            return {"spec": SPECS[kind](number)}

        storm = asyncio.create_task(_storm(stage, play, edit))
        try:
            await play.until("it has fought", lambda: play.proxy.writes - before >= 30)
        finally:
            storm.cancel()
            await asyncio.gather(storm, return_exceptions=True)
        wrong = await stage.judge(play, "first-apply")
        # An edit is undone by one apply; the status that tells of a roll-out is written at its begin and its end.
        written, most = play.proxy.writes - before, 3 * edits + 10
        return [*wrong, *([f"{written} writes for {edits} edits"] if written > most else [])]


async def _storm(stage: Stage, play: Play, patch: Callable[[str, int], Any]) -> None:
    for number in itertools.count(1):
        for kind, name in list(play.space.objects):
            if (change := patch(kind, number)) is not None:
                await _patch(stage, play, kind, name, change)
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.005)


async def _patch(stage: Stage, play: Play, kind: str, name: str, change: Any) -> None:
    try:
        await stage.admin.patch(kind, play.space.name, name, change)
    except CallError as error:
        if error.status != 404:
            raise
