"""What is deleted stays deleted, in whatever order the operator is told of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.plan import parse
from tests.faults.rig import rig
from tests.faults.scenarios import SCENARIOS

DELETED = [each for each in SCENARIOS if each.startswith("delete-")]


@pytest.mark.parametrize("fault", ["delay=0.5", "drop"])
async def test_a_deleted_model_brings_nothing_back_while_no_watch_has_told_that_it_is_gone(fault: str) -> None:
    plan = parse(f"{fault}@event:quantizedmodels:DELETED:chat#1")
    async with rig() as made:
        results = await asyncio.gather(*(made.run(scenario, plan) for scenario in DELETED))
    wrong = [result for result in results if result.wrong or result.missed]
    assert not wrong, "\n".join(f"{result}\n{result.log}" for result in wrong)
