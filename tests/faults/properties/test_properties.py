"""A sample of the properties, each changed and changed back; `python -m tests.faults.properties` does them all."""

from __future__ import annotations

import pytest

from tests.faults.properties.base import MODELS, STORES, model_changes, store_changes
from tests.faults.properties.run import every
from tests.faults.properties.schema import Property, properties
from tests.faults.properties.values import NoValueError, is_leaf, others


def test_every_leaf_has_a_change() -> None:
    """One whose values nothing knows raises NoValueError: whoever adds a property adds a line to values.py."""
    for schema, changes in ((MODELS, model_changes()), (STORES, store_changes())):
        changed = {each.property.path for each in changes}
        leaves = [each for each in properties(schema) if is_leaf(each.schema) and not only_one(each)]
        assert [str(each) for each in leaves if each.path not in changed] == []


def only_one(each: Property) -> bool:
    """There is but one valid value."""
    return len(each.schema.get("enum", "..")) == 1


def test_a_newcomer_that_nothing_knows_a_value_for_fails() -> None:
    with pytest.raises(NoValueError, match="add one to PATTERNS or NAMED"):
        others(("engine", "vllm", "colour"), {"type": "string"}, None)


def test_a_change_differs_from_what_was_before() -> None:
    assert all(each.before != after for each in model_changes() for after in each.after)


async def test_what_serves_follows_each_change_and_goes_back_with_it(share: int) -> None:
    words = ("serving.pod.nodeSelector", "serving.replicas", "calibration.seed", "candidates[].gptq.bits", "ModelStore")
    outcomes = [each async for each in every(() if share == 1 else words)]
    assert len(outcomes) >= 6
    failed = [each for each in outcomes if each.wrong]
    assert not failed, "\n".join(map(str, failed))
