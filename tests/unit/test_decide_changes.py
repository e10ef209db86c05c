"""A user or another client changes what is in work or served: what continues, what is redone, what is repaired."""

from __future__ import annotations

import copy
from typing import Any

from lowbit.api.status import ArtifactRecord
from lowbit.naming.names import FETCH_ANNOTATION
from tests.unit.life import NAME, condition, only_passed_is_served, served, status
from tests.unit.world import World, spec


def test_the_old_revision_serves_until_the_new_one_has_passed(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    old = served(world)
    world.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}]))
    seen: list[str | None] = []

    def watch() -> None:
        only_passed_is_served(world)()
        seen.append(served(world))

    world.settle(NAME, after=watch)
    new = served(world)
    assert new != old
    assert None not in seen
    assert set(seen) == {old, new}


def test_a_failed_gate_leaves_the_old_revision_serving(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    old = served(world)
    world.kl = lambda name: 0.9
    world.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}]))
    world.settle(NAME)
    assert served(world) == old
    assert condition(world, "Available")["status"] == "True"
    assert condition(world, "Ready")["status"] == "False"
    assert condition(world, "Stalled")["status"] == "True"


def test_a_pinned_revision_is_a_rollback(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    old = served(world)
    changed = [{"gptq": {"bits": 4, "groupSize": 32}}]
    world.apply_model(NAME, spec(candidates=changed))
    world.settle(NAME)
    jobs = world.names("Job")
    world.apply_model(NAME, spec(candidates=changed, serving={"replicas": 2, "revision": old}))
    world.settle(NAME, after=only_passed_is_served(world))
    assert served(world) == old
    assert world.names("Job") == jobs


def test_a_pin_on_what_never_passed_is_refused_and_nothing_changes(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    old = served(world)
    world.apply_model(NAME, spec(serving={"replicas": 2, "revision": "chat-never"}))
    world.settle(NAME)
    assert served(world) == old
    assert condition(world, "Stalled")["reason"] == "PinnedRevisionNotFound"


def test_status_wiped_and_jobs_collected_give_the_same_verdict_and_quantize_nothing_twice(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    before, target = status(world)["verdict"]["verdict"], served(world)
    revision = world.objects["ModelRevision", target]
    world.found = {revision["spec"]["artifactHash"]: revision_artifact(revision)}
    created = len(world.created)
    for reference, each in list(world.objects.items()):
        if reference[0] in ("QuantizedModel", "ModelRevision", "ModelEvaluation"):
            world.put(each | {"status": {"conditions": []}})
        if reference[0] == "Job":
            world.delete(*reference)
    world.settle(NAME)
    assert status(world)["verdict"]["verdict"] == before
    assert served(world) == target
    assert not [name for kind, name in world.created[created:] if name.startswith("quantize-")]


def revision_artifact(revision: dict[str, Any]) -> ArtifactRecord:
    return ArtifactRecord.model_validate(revision["status"]["artifact"])


def test_a_changed_spec_cancels_what_is_under_way(world: World) -> None:
    world.apply_model(NAME, spec())
    world.step(NAME)
    first = world.names("Job")
    world.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}]))
    world.step(NAME)
    assert not first & world.names("Job")
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def quantizing(world: World, **changes: Any) -> str:
    """The name of the Job that quantizes, once it is there."""
    world.apply_model(NAME, spec(**changes))
    for _ in range(20):
        world.step(NAME)
        names = {name for name in world.names("Job") if name.startswith("quantize-")}
        if names:
            return min(names)
        world.act()
    raise AssertionError("nothing was quantized")


def test_a_changed_gate_goes_on_with_the_quantize_job_that_is_under_way(world: World) -> None:
    """Its artifact is the same: hours of a GPU are not thrown away for a threshold."""
    name = quantizing(world)
    uid = world.objects["Job", name]["metadata"]["uid"]
    suite = spec()["evaluation"]["suites"][0]
    gate = {"maximum": [{"metric": "KLDivergence", "value": "0.2"}]}
    world.apply_model(NAME, spec(evaluation={"suites": [suite | {"gate": gate}]}))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert world.objects["Job", name]["metadata"]["uid"] == uid
    assert len([each for each in world.created if each == ("Job", name)]) == 1
    assert len(world.names("ModelRevision")) == 1, "the former input's has never passed"


def test_a_changed_recipe_gives_up_the_quantize_job_once_another_is_known_to_be_needed(world: World) -> None:
    name = quantizing(world)
    before = world.names("Job")
    world.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 8}}]))
    world.step(NAME)
    assert name in world.names("Job"), "nobody knows yet which artifact the new input needs"
    world.finish_job(min(world.names("Job") - before))
    while world.step(NAME):
        pass
    jobs = {each for each in world.names("Job") if each.startswith("quantize-")}
    assert len(jobs) == 1
    assert name not in jobs
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert len(world.names("ModelRevision")) == 1


def test_a_child_changed_by_hand_is_put_right(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"spec": deployment["spec"] | {"replicas": 7}})
    world.delete("Service", NAME)
    world.settle(NAME)
    assert world.objects["Deployment", NAME]["spec"]["replicas"] == 2
    assert ("Service", NAME) in world.objects


def test_a_fetch_document_changed_by_hand_is_put_right(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    deployment = copy.deepcopy(world.objects["Deployment", NAME])
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    before = annotations[FETCH_ANNOTATION]
    annotations[FETCH_ANNOTATION] = before.replace("sha256:", "sha256:0")
    world.put(deployment)
    world.settle(NAME)
    assert world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["annotations"][FETCH_ANNOTATION] == before


def test_scaling_starts_no_job_and_makes_no_revision(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    jobs, revisions = world.names("Job"), world.names("ModelRevision")
    world.apply_model(NAME, spec(serving={"replicas": 0}))
    world.settle(NAME)
    assert (world.names("Job"), world.names("ModelRevision")) == (jobs, revisions)
    assert world.objects["Deployment", NAME]["spec"]["replicas"] == 0
    assert condition(world, "Ready")["status"] == "True"


def test_a_store_that_is_not_ready_is_waited_for_and_what_serves_goes_on(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    store, label = world.objects["ModelStore", "default"], served(world)
    lost = {
        "type": "Ready",
        "status": "False",
        "reason": "ClaimLost",
        "message": "make a new claim",
        "lastTransitionTime": "x",
    }
    world.put(store | {"status": {"conditions": [lost]}})
    world.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 4, "groupSize": 32}}]))
    world.settle(NAME)
    assert condition(world, "Reconciling")["message"] == "waiting for ModelStore default: make a new claim"
    assert condition(world, "Stalled") is None
    assert condition(world, "Available")["status"] == "True"
    assert served(world) == label
    world.put(world.objects["ModelStore", "default"] | {"status": store["status"]})
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert served(world) != label


def test_a_deployment_that_claims_what_never_passed_is_taken_away(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    label = served(world)
    revision = world.objects["ModelRevision", label]
    world.kl = lambda name: 0.9
    world.put(revision | {"status": {"conditions": []}})
    for name in list(world.names("ModelEvaluation")):
        world.delete("ModelEvaluation", name)
    for name in list(world.names("Job")):
        world.delete("Job", name)
    world.stored.clear()
    world.settle(NAME)
    assert served(world) is None
