"""Topology and rollout are seams: one member each, found through their registries."""

from __future__ import annotations

import pytest

from lowbit.api.modelrevision import ModelRevision
from lowbit.decide.serving.rollout import ROLLOUTS, Progress, rollout_of
from lowbit.decide.serving.target import Target
from lowbit.desired.topology import TOPOLOGIES, EnginePod, Topology, topology_of, workload_kinds
from lowbit.desired.topology.one_pod import OnePod
from lowbit.state.snapshot import Metadata, Observed
from tests.unit import desired_inputs as inputs
from tests.unit.life import NAME, condition
from tests.unit.toys import toy_engine
from tests.unit.world import World, spec


def target(name: str) -> Target:
    meta = Metadata(name, "models", f"uid-{name}", "1", 1, "2026-01-01T00:00:00Z", deleting=False)
    return Target(Observed(meta, ModelRevision(spec=inputs.revision_spec())))


@pytest.mark.parametrize(
    ("shown", "done"),
    [
        (Progress(None, rolled_out=False), False),
        (Progress("old", rolled_out=True), False),
        (Progress("new", rolled_out=False), False),
        (Progress("new", rolled_out=True), True),
    ],
)
def test_a_rolling_change_applies_the_new_revision_at_once_and_ends_when_all_pods_are_of_it(
    shown: Progress, done: bool
) -> None:
    serving = inputs.spec().serving
    assert serving is not None
    old, new = target("old"), target("new")
    for before in (None, old, new):
        step = rollout_of(serving).next_step(before, new, shown, None)
        assert (step.serve, step.done) == (new, done)


def test_an_engine_is_in_one_pod_with_all_its_gpus() -> None:
    engine = inputs.revision_spec().engine
    assert topology_of(engine).pods(engine) == (EnginePod("engine", 2),)
    assert workload_kinds() == ("Deployment",)


def test_what_is_judged_is_of_the_topology_that_serves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topology that only this test knows holds the toy's engines."""
    asked: list[str] = []

    class Heap(OnePod):
        name = "heap"

        def holds(self, engine: object) -> bool:
            return getattr(engine, "toy", None) is not None

        def workloads(self, *arguments: object) -> list[dict[str, object]]:
            asked.append("serving")
            return super().workloads(*arguments)  # type: ignore[arg-type]

        def evaluation(self, *arguments: object) -> dict[str, object]:
            asked.append("evaluation")
            return super().evaluation(*arguments)  # type: ignore[arg-type]

    heap: Topology = Heap()
    monkeypatch.setattr(TOPOLOGIES, "_kinds", {"heap": heap, **TOPOLOGIES._kinds})
    with toy_engine():
        world.apply_model(NAME, spec(engine={"toy": {}}))
        world.settle(NAME)
        assert condition(world, "Ready")["status"] == "True"
    assert set(asked) == {"evaluation", "serving"}
    assert ROLLOUTS.names() == ("rollingChange",)
