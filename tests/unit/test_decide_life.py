"""Whole lives, as sequences of states: what Lowbit promises, whatever happens on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED, Refusal, TerminationMessage
from lowbit.api.names import FETCH_ANNOTATION
from tests.unit.world import World, spec

NAME = "chat"


@pytest.fixture
def world() -> World:
    world = World()
    world.add_store()
    return world


def status(world: World, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = world.model(name)["status"]
    return found


def condition(world: World, type_: str, name: str = NAME) -> Any:
    return next((c for c in status(world, name)["conditions"] if c["type"] == type_), None)


def served(world: World, name: str = NAME) -> Any:
    deployment = world.objects.get(("Deployment", name))
    return deployment and deployment["spec"]["template"]["metadata"]["labels"]["lowbit.dev/revision"]


def only_passed_is_served(world: World, name: str = NAME) -> Callable[[], None]:
    def check() -> None:
        label = served(world, name)
        if label is not None and label != "source":
            revision = world.objects["ModelRevision", label]
            assert revision["status"]["verdict"]["verdict"] == "Passed"

    return check


def test_a_manifest_becomes_a_served_model(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Available")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert condition(world, "Reconciling") is None
    assert status(world)["stage"] == "Serving"
    assert status(world)["current"]["name"] == served(world)
    assert status(world)["endpoint"] == "http://chat.models.svc/v1"
    assert len(world.names("Job")) == 4
    assert [reason for reason, _ in world.events][-1] == "Serving"


def test_at_rest_nothing_is_written(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    before = dict(world.objects)
    assert world.step(NAME) is False
    assert world.objects == before


def test_a_life_is_told_in_six_statuses(world: World) -> None:
    told: list[dict[str, Any]] = []

    def look() -> None:
        if (now := world.model(NAME)["status"]) and now != (told[-1] if told else None):
            told.append(now)

    world.apply_model(NAME, spec())
    world.settle(NAME, after=look)
    stages = ["Preparing", "Quantizing", "EvaluatingBaseline", "Evaluating", "RollingOut", "Serving"]
    assert [each["stage"] for each in told] == stages


def test_that_it_is_not_ready_is_told_on_first_sight_and_not_again(world: World) -> None:
    world.apply_model(NAME, spec())
    assert world.step(NAME)
    assert condition(world, "Ready")["status"] == "False"
    assert condition(world, "Reconciling")["status"] == "True"
    assert not world.step(NAME)


def test_a_failed_gate_never_serves_and_the_next_candidate_does(world: World) -> None:
    first: list[str] = []

    def kl(name: str) -> float:
        first.append(name)
        return 0.9 if name == first[0] else 0.01

    world.kl = kl
    world.apply_model(NAME, spec())
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    assert status(world)["current"]["candidate"] == 1
    assert "GateFailed" in [reason for reason, _ in world.events]


def test_when_no_candidate_passes_nothing_is_served_and_it_says_why(world: World) -> None:
    world.kl = lambda name: 0.9
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert served(world) is None
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "GateFailed"
    assert "gptq-int4-g64" in stalled["message"]
    assert "Add a candidate" in stalled["message"]


def test_an_inconclusive_gate_never_serves(world: World) -> None:
    world.kl = lambda name: 0.15
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert served(world) is None
    assert condition(world, "Stalled")["reason"] == "GateInconclusive"


def test_the_source_is_served_only_where_fallback_says_so(world: World) -> None:
    world.kl = lambda name: 0.9
    world.apply_model(NAME, spec(serving={"fallback": "Source"}))
    world.settle(NAME)
    assert served(world) == "source"
    assert condition(world, "Available")["status"] == "True"
    assert condition(world, "Ready")["status"] == "False"
    world.apply_model(NAME, spec(serving={"fallback": "None"}))
    world.settle(NAME)
    assert served(world) is None


def test_without_serving_ready_means_passed(world: World) -> None:
    manifest = spec()
    del manifest["serving"]
    world.apply_model(NAME, manifest)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert status(world)["stage"] == "Passed"
    assert served(world) is None


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


def revision_artifact(revision: dict[str, Any]) -> Any:
    from lowbit.api.status import ArtifactRecord

    return ArtifactRecord.model_validate(revision["status"]["artifact"])


def test_two_models_share_baseline_and_artifact_and_the_second_survives_the_first(world: World) -> None:
    world.apply_model("one", spec())
    world.apply_model("two", spec())
    world.settle("one", "two")
    assert len([name for name in world.names("Job") if name.startswith("quantize-")]) == 1
    assert len([name for name in world.names("ModelEvaluation") if name.startswith("baseline-")]) == 1
    world.delete("QuantizedModel", "one")
    world.settle("two")
    assert condition(world, "Ready", "two")["status"] == "True"
    assert served(world, "two") is not None
    assert served(world, "one") is None
    assert any(name.startswith("baseline-") for name in world.names("ModelEvaluation"))


def test_deleting_the_model_leaves_nothing(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    world.delete("QuantizedModel", NAME)
    left = {reference for reference in world.objects if reference[0] not in ("ModelStore", "Pod")}
    assert left == set()


def test_a_refusal_is_not_tried_again_and_says_what_to_change(world: World) -> None:
    world.apply_model(NAME, spec())
    world.step(NAME)
    job = next(iter(world.names("Job")))
    refusal = Refusal(reason="RemoteCode", message="config.json asks for remote code.", action="Use another model.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    world.settle(NAME)
    failure = status(world)["lastFailure"]
    assert (failure["stage"], failure["reason"], failure["exitCode"]) == ("Prepare", "RemoteCode", EXIT_REFUSED)
    assert failure["action"] == "Use another model."
    assert condition(world, "Stalled")["reason"] == "RemoteCode"
    assert world.names("Job") == {job}


@pytest.mark.parametrize(("maximum", "jobs"), [(None, 1), ("16Gi", 2)])
def test_out_of_memory_is_tried_once_more_only_where_the_manifest_allows_it(
    world: World, maximum: str | None, jobs: int
) -> None:
    options: dict[str, Any] = {"resources": {"limits": {"memory": "8Gi"}}}
    if maximum:
        options["maxMemory"] = maximum
    world.apply_model(NAME, spec(jobs={"prepare": options}))
    for _ in range(3):
        world.step(NAME)
        for name in world.names("Job"):
            if not world.objects["Job", name]["status"]:
                world.finish_job(name, TerminationMessage(), code=137, reason="OOMKilled")
    world.step(NAME)
    assert len(world.names("Job")) == jobs
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"


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


def test_a_document_that_no_pod_can_carry_stalls_with_what_to_shorten(world: World) -> None:
    env = [{"name": f"LONG_{number}", "value": "x" * 4096} for number in range(64)]
    world.apply_model(NAME, spec(engine={"vllm": {"env": env}}))
    world.settle(NAME)
    assert world.names("Job") == set()
    assert condition(world, "Stalled")["reason"] == "DocumentTooLarge"
    assert "spec.engine.vllm.env" in condition(world, "Stalled")["message"]


def test_scaling_starts_no_job_and_makes_no_revision(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    jobs, revisions = world.names("Job"), world.names("ModelRevision")
    world.apply_model(NAME, spec(serving={"replicas": 0}))
    world.settle(NAME)
    assert (world.names("Job"), world.names("ModelRevision")) == (jobs, revisions)
    assert world.objects["Deployment", NAME]["spec"]["replicas"] == 0
    assert condition(world, "Ready")["status"] == "True"


def test_a_missing_store_is_waited_for_and_it_says_what_to_do() -> None:
    world = World()
    world.apply_model(NAME, spec())
    world.settle(NAME)
    waits = condition(world, "Reconciling")
    assert (status(world)["stage"], waits["reason"]) == ("Pending", "StoreNotFound")
    assert "create it, or name another one in spec.storeRef" in waits["message"]
    assert condition(world, "Stalled") is None
    assert "lastFailure" not in status(world)
    assert world.names("Job") == set()
    world.add_store()
    world.settle(NAME)
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


def test_an_artifact_made_elsewhere_is_gated_and_nothing_is_quantized(world: World) -> None:
    world.apply_model(NAME, spec(candidates=[{"artifact": {"pvc": {"claimName": "made", "path": "int4"}}}]))
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    assert not [name for name in world.names("Job") if name.startswith("quantize-")]


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
