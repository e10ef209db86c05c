"""A name is no proof: Jobs, pods, evaluations and revisions are believed by owner, uid and the whole hash."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.documents import EvaluateResult
from lowbit.api.termination import TerminationMessage
from lowbit.naming.names import INPUT_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL
from tests.unit.life import NAME, condition, served
from tests.unit.world import World, measured, spec_of_one

Metadata = dict[str, Any]
GOOD, BAD = 0.01, 0.9
"""KL divergences; the gate is at 0.15."""


@pytest.fixture
def world() -> World:
    """The candidate is bad: nothing of it may ever be served."""
    world = World(kl=lambda _: BAD)
    world.add_store()
    world.apply_model(NAME, spec_of_one())
    return world


def until(world: World, prefix: str) -> str:
    """The name of the Job of that stage, just created."""
    for _ in range(200):
        found = next((name for name in world.names("Job") if name.startswith(prefix)), None)
        if found is not None:
            return found
        if not world.step(NAME):
            world.act()
    raise AssertionError(f"no Job {prefix}")


def flattering(job: str) -> dict[str, Any]:
    """A pod's status that says the candidate is as good as the original."""
    result = TerminationMessage.of(EvaluateResult(evaluation=job, summary=measured(GOOD), seconds=1))
    text = result.model_dump_json(by_alias=True, exclude_none=True)
    ended = {"exitCode": 0, "message": text, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
    return {"phase": "Succeeded", "containerStatuses": [{"name": "worker", "state": {"terminated": ended}}]}


def plant_pod(world: World, job: str, owners: list[Metadata]) -> None:
    metadata = {
        "name": f"{job}-planted",
        "labels": {"batch.kubernetes.io/job-name": job, MANAGED_BY_LABEL: MANAGED_BY},
        "creationTimestamp": "2027-01-01T00:00:00Z",  # the newest
        "ownerReferences": owners,
    }
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": flattering(job)})


def reference(kind: str, name: str, uid: str, **more: Any) -> Metadata:
    return {"apiVersion": "batch/v1", "kind": kind, "name": name, "uid": uid} | more


def failed(world: World) -> bool:
    return condition(world, "Stalled")["reason"] == "GateFailed" and served(world) is None


@pytest.mark.parametrize("owner", ["none", "a former Job", "another kind", "not its controller"])
def test_a_pod_with_a_jobs_label_does_not_speak_for_the_job(world: World, owner: str) -> None:
    job = until(world, "eval-")
    uid = world.objects["Job", job]["metadata"]["uid"]
    owners = {
        "none": [],
        "a former Job": [reference("Job", job, "uid-former", controller=True)],
        "another kind": [reference("ReplicaSet", job, "uid-other", controller=True)],
        "not its controller": [reference("Job", job, uid)],
    }
    plant_pod(world, job, owners[owner])
    world.settle(NAME)
    assert failed(world)


def planted_job(world: World, job: str, change: dict[str, Any]) -> None:
    """The Job was there first, and has ended well: in place of Lowbit's."""
    real = world.objects.pop(("Job", job))
    done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"conditions": [done], "completionTime": "2026-01-01T00:00:00Z"}
    metadata = {k: v for k, v in real["metadata"].items() if k not in ("uid", "resourceVersion")} | change
    made = world.put(real | {"metadata": metadata, "status": status})
    plant_pod(world, job, [reference("Job", job, made["metadata"]["uid"], controller=True)])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": {}}, "it has no label"),
        ({"ownerReferences": []}, "no QuantizedModel owns it"),
        ({"annotations": {}}, INPUT_ANNOTATION),
        ({"annotations": {INPUT_ANNOTATION: "f" * 64}}, INPUT_ANNOTATION),
    ],
)
def test_a_job_under_our_name_that_is_not_ours_is_told_and_not_believed(
    world: World, change: Metadata, why: str
) -> None:
    job = until(world, "eval-")
    planted_job(world, job, change)
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "NameTaken", stalled
    assert job in stalled["message"] and why in stalled["message"] and served(world) is None
    world.delete("Job", job)
    world.delete("Pod", f"{job}-planted")
    world.settle(NAME)
    assert failed(world), "once it is gone, the candidate is measured"


def test_a_job_of_a_former_model_of_that_name_is_not_believed(world: World) -> None:
    job = until(world, "eval-")
    planted_job(world, job, {"ownerReferences": [reference("QuantizedModel", NAME, "uid-former")]})
    for _ in range(20):
        world.step(NAME)
    assert condition(world, "Ready")["reason"] == "Restarting" and served(world) is None
    world.collect()
    world.settle(NAME)
    assert failed(world)


def test_a_result_that_names_another_evaluation_is_none(world: World) -> None:
    job = until(world, "eval-")
    other = EvaluateResult(evaluation="eval-0123456789", summary=measured(GOOD), seconds=1)
    world.finish_job(job, TerminationMessage.of(other))
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "NoResult" and served(world) is None


def test_an_evaluation_of_something_else_under_our_name_is_told_and_not_believed(world: World) -> None:
    """A good result of another model, under the name that this one's has."""
    name = until(world, "eval-")
    seen = world.objects["ModelEvaluation", name]
    world.delete("Job", name)
    other = seen["spec"] | {"model": seen["spec"]["model"] | {"digest": "sha256:" + "9" * 64}}
    world.put(seen | {"spec": other, "status": {"phase": "Complete", "summary": measured(GOOD).wire()}})
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "NameTaken" and name in stalled["message"] and served(world) is None


def test_a_revision_that_claims_to_have_passed_under_a_name_of_its_own_is_not_served(world: World) -> None:
    until(world, "eval-")
    (real,) = world.names("ModelRevision")
    seen = world.objects["ModelRevision", real]
    verdict = {
        "verdict": "Passed", "basis": "Thresholds", "message": "", "confidence": "0.95", "attempts": 1, "checks": [],
        "time": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    metadata = {k: v for k, v in seen["metadata"].items() if k not in ("uid", "resourceVersion")}
    twin = metadata | {"name": f"{NAME}-0000000000", "creationTimestamp": "2030-01-01T00:00:00Z"}
    world.put(seen | {"metadata": twin, "status": seen["status"] | {"verdict": verdict}})
    world.settle(NAME)
    assert failed(world)


def test_a_pod_that_only_has_the_labels_of_a_served_model_says_nothing_of_it() -> None:
    world = World(kl=lambda _: GOOD)
    world.add_store()
    world.apply_model(NAME, spec_of_one(serving={"replicas": 1}))
    world.settle(NAME)
    (revision,) = world.names("ModelRevision")
    labels = {"lowbit.dev/quantizedmodel": NAME, "lowbit.dev/revision": revision, MANAGED_BY_LABEL: MANAGED_BY}
    waiting = {"reason": "ImagePullBackOff", "message": "send money"}
    status = {"phase": "Pending", "containerStatuses": [{"name": "engine", "state": {"waiting": waiting}}]}
    metadata = {"name": "planted", "labels": labels}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})
    world.settle(NAME)
    snapshot = world.snapshot(NAME)
    assert snapshot is not None and snapshot.pods == ()
    assert condition(world, "Stalled") is None
