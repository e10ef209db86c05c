"""Whole lives, as sequences of states: what Lowbit promises, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.engines.vllm_variables import ENGINE_VARIABLES
from lowbit.api.termination import Refusal, TerminationMessage
from tests.unit.life import NAME, condition, only_passed_is_served, served, status
from tests.unit.world import World, spec


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


def test_a_document_that_no_pod_can_carry_stalls_with_what_to_shorten(world: World) -> None:
    env = [{"name": name, "value": "x" * 4096} for name in ENGINE_VARIABLES[:64]]
    world.apply_model(NAME, spec(engine={"vllm": {"env": env}}))
    world.settle(NAME)
    assert world.names("Job") == set()
    assert condition(world, "Stalled")["reason"] == "DocumentTooLarge"
    assert "spec.engine.vllm.env" in condition(world, "Stalled")["message"]


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


def test_an_artifact_made_elsewhere_is_gated_and_nothing_is_quantized(world: World) -> None:
    world.apply_model(NAME, spec(candidates=[{"artifact": {"pvc": {"claimName": "made", "path": "int4"}}}]))
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    assert not [name for name in world.names("Job") if name.startswith("quantize-")]
