"""A wiped status comes back the same, even with every Job collected: no GPU is asked for, and no pod ends."""

from __future__ import annotations

import pytest

from lowbit.api.status import ArtifactRecord
from tests.unit.world import World, spec


def wipe(world: World, *kinds: str) -> None:
    """Every Job is collected with its pod; the status of every object of the kinds is empty."""
    for kind, name in list(world.objects):
        if kind in ("Job", "Pod"):
            world.objects.pop((kind, name))
        elif kind in kinds:
            world.objects[kind, name] = world.objects[kind, name] | {"status": {}}


def verdicts(world: World) -> dict[str, str]:
    revisions = [each for (kind, _), each in world.objects.items() if kind == "ModelRevision"]
    return {each["metadata"]["name"]: each["status"].get("verdict", {}).get("verdict", "") for each in revisions}


@pytest.mark.parametrize(
    "kinds", [("ModelRevision",), ("ModelEvaluation",), ("QuantizedModel", "ModelRevision", "ModelEvaluation")]
)
def test_wiped_status_and_collected_jobs_bring_the_same_verdicts_without_a_gpu(kinds: tuple[str, ...]) -> None:
    world = World(kl=lambda evaluation: 0.9 if len(world.stored) < 2 else 0.05)
    world.add_store()
    world.apply_model("chat", spec())
    world.settle("chat")
    before = verdicts(world)
    assert sorted(before.values()) == ["Failed", "Passed"]
    for (kind, _), each in world.objects.items():
        if kind == "ModelRevision":
            record = ArtifactRecord.model_validate(each["status"]["artifact"])
            world.found[each["spec"]["artifactHash"]] = record
    evaluations = {
        name: each["metadata"]["uid"] for (kind, name), each in world.objects.items() if kind == "ModelEvaluation"
    }
    wipe(world, *kinds)
    world.created.clear()
    world.settle("chat")
    assert verdicts(world) == before
    assert [kind for kind, _ in world.created] in ([], ["Job"]), "at most prepare, which runs on a CPU"
    assert all("prepare" in name for _, name in world.created)
    after = {name: each["metadata"]["uid"] for (kind, name), each in world.objects.items() if kind == "ModelEvaluation"}
    assert after == evaluations
    assert world.model("chat")["status"]["stage"] == "Serving"
