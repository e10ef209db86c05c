"""An original that needs more than its candidates has an engine of its own; the protocol stays the same."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan
from lowbit.naming.names import input_hash
from lowbit.resolve.checks import check_allowed, check_engine
from lowbit.resolve.memory import check_memory
from tests.unit.api_inputs import changed_spec
from tests.unit.life import NAME, condition, only_passed_is_served, served
from tests.unit.test_architecture_configs import facts
from tests.unit.test_decide_engine_image import ONE, TWO
from tests.unit.world import FACTS, World, spec

LARGE = {"vllm": {"tensorParallelSize": 3, "resources": {"limits": {"memory": "96Gi"}}}}
LLAMA_70B = "Llama-3.1-70B-Instruct-FP8"


def with_baseline(engine: dict[str, Any], **changes: Any) -> dict[str, Any]:
    whole = spec(**changes)
    return {**whole, "evaluation": {**whole["evaluation"], "baseline": {"engine": engine}}}


def engines(world: World) -> dict[str, dict[str, Any]]:
    """The engine's container of each evaluation, by its prefix."""
    found = {}
    for name in world.names("Job"):
        pod = world.objects["Job", name]["spec"]["template"]["spec"]
        for each in (*pod["containers"], *pod.get("initContainers", [])):
            if each["name"] == "engine":
                found[name.split("-")[0]] = each
    return found


def test_the_original_is_measured_in_its_own_engine_and_the_candidate_in_the_one_that_serves(world: World) -> None:
    world.apply_model(NAME, with_baseline(LARGE))
    world.settle(NAME, after=only_passed_is_served(world))
    assert condition(world, "Ready")["status"] == "True"
    found = engines(world)
    assert found["baseline"]["resources"]["limits"].items() >= {"memory": "96Gi", "nvidia.com/gpu": "3"}.items()
    assert found["eval"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    pod = world.objects["Deployment", NAME]["spec"]["template"]["spec"]
    (engine,) = (each for each in pod["containers"] if each["name"] == "engine")
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_original_falls_back_into_its_own_engine(world: World) -> None:
    world.kl = lambda evaluation: 0.9
    world.apply_model(NAME, with_baseline(LARGE, serving={"replicas": 1, "fallback": "Source"}))
    world.settle(NAME)
    assert served(world) == "source"
    pod = world.objects["Deployment", NAME]["spec"]["template"]["spec"]
    (engine,) = (each for each in pod["containers"] if each["name"] == "engine")
    assert engine["resources"]["limits"].items() >= {"memory": "96Gi", "nvidia.com/gpu": "3"}.items()


def test_two_images_are_no_tag_that_has_moved(world: World) -> None:
    world.engine_image = lambda job: ONE if job.startswith("baseline-") else TWO
    world.apply_model(NAME, with_baseline({"vllm": {"image": "docker.io/team/vllm:large"}}))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_more_memory_for_the_originals_engine_measures_nothing_anew() -> None:
    less, more, other = (
        QuantizedModelSpec.model_validate(with_baseline({"vllm": engine}))
        for engine in ({}, {"resources": {"limits": {"memory": "1Gi"}}}, {"tensorParallelSize": 2})
    )
    assert input_hash(less) == input_hash(more) != input_hash(other)


def test_problems_name_the_engine_that_has_them() -> None:
    wrong = QuantizedModelSpec.model_validate(with_baseline({"vllm": {"tensorParallelSize": 7}}))
    (problem,) = check_engine(wrong, FACTS)
    assert problem.field.startswith("spec.evaluation.baseline.engine.vllm.")
    foreign = with_baseline({"vllm": {"args": ["--middleware=evil.module"]}})
    (problem,) = check_allowed(QuantizedModelSpec.model_validate(foreign), Platform())
    assert problem.field.startswith("spec.evaluation.baseline.engine.vllm.")


def test_only_the_original_needs_room_for_the_original() -> None:
    small = {"vllm": {"gpu": "H100-80GB", "maxModelLen": 8192}}
    large = {"vllm": {"gpu": "H100-80GB", "maxModelLen": 8192, "tensorParallelSize": 4}}
    alone = changed_spec(engine=small)
    evaluation = alone.evaluation.model_dump(by_alias=True, exclude_none=True)
    both = changed_spec(engine=small, evaluation=evaluation | {"baseline": {"engine": large}})
    model = facts(LLAMA_70B)
    assert [problem.field for problem in check_memory(alone, model, Platform())] == ["spec.engine.vllm"]
    assert check_memory(both, model, Platform()) == []


@pytest.mark.parametrize("own", [True, False])
def test_the_plan_counts_the_originals_gpus(own: bool) -> None:
    manifest = with_baseline(LARGE) if own else spec()
    report = plan(NAME, QuantizedModelSpec.model_validate(manifest), Platform(), FACTS)
    gpus = {job.name.split("-")[0]: job.gpus for job in report.jobs if job.stage == "evaluate"}
    assert gpus == {"baseline": 3 if own else 1, "eval": 1}
