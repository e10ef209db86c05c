"""What an event of a watch puts on the queue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lowbit.app.operator import Operator
from lowbit.app.queue import Lane
from lowbit.observe.cache import Cache
from tests.unit import world
from tests.unit.world import World


def test_only_a_model_that_was_added_is_new() -> None:
    lanes: list[Lane] = []
    operator: Any = SimpleNamespace(
        resync=SimpleNamespace(noticed=lambda _: None), cache=Cache(), touch=lambda _, lane: lanes.append(lane)
    )
    state = World()
    for type_ in ("ADDED", "MODIFIED", "DELETED", None):
        state.apply_model("chat", world.spec())
        Operator.on_event(operator, type_, state.model("chat"))
    job = {"kind": "Job", "metadata": {"name": "quantize-1", "namespace": "models", "uid": "1", "resourceVersion": "1"}}
    Operator.on_event(operator, "ADDED", job)
    assert lanes == [Lane.NEW, *[Lane.CHANGED] * 4]
