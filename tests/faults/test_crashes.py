"""A sample of the crashes, and of the stale LISTs: `make faults` runs all of them, and the other sorts."""

from __future__ import annotations

import asyncio

from tests.faults.rig import all_plans, rig, run_all, sample
from tests.faults.scenarios import ALONE, SCENARIOS

SORTS = ("crashes", "twice", "stale")


async def test_a_crash_at_any_write_and_another_after_it_or_a_stale_list_changes_nothing_in_the_end(share: int) -> None:
    async with rig() as made:
        plans = sample([plan for sort in SORTS for plan in await all_plans(made, SCENARIOS, sort)], share)
        results = [result async for result in run_all(made, plans, at_once=4)]
    assert results, "no plan was chosen"
    failed = [result for result in results if result.wrong]
    assert not failed, "\n".join(f"{result}\n{result.log}" for result in failed)
    missed = [result for result in results if result.missed]
    assert len(missed) <= len(results) // 10, "\n".join(map(str, missed))


async def test_what_a_person_does_beside_the_operator_is_put_right_and_told_by_its_watches_alone() -> None:
    async with rig() as made:
        await asyncio.gather(*(made.clean(scenario) for scenario in ALONE))
