"""A candidate may change the engine (an FP8 KV cache): it is judged and served with that, the original without."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan
from tests.unit.life import NAME, condition, only_passed_is_served, served, status
from tests.unit.world import FACTS, World, spec

CACHE = "--kv-cache-dtype=fp8"
CANDIDATES = [
    {"gptq": {"bits": 4}, "engine": {"args": [CACHE], "env": [{"name": "OMP_NUM_THREADS", "value": "2"}]}},
    {"gptq": {"bits": 4}},
]
ENGINE = {
    "vllm": {
        "args": ["--seed=1"],
        "env": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "NCCL_DEBUG", "value": "1"}],
    }
}


@pytest.fixture
def changing(world: World) -> World:
    world.apply_model(NAME, spec(candidates=CANDIDATES, engine=ENGINE))
    return world


def engine_of(pod: dict[str, Any]) -> tuple[bool, str]:
    """Whether it has the cache in FP8, and the value of OMP_NUM_THREADS."""
    (engine,) = (each for each in (*pod["containers"], *pod["initContainers"]) if each["name"] == "engine")
    environment = {each["name"]: each.get("value") for each in engine["env"]}
    assert environment["NCCL_DEBUG"] == "1"
    assert "--seed=1" in engine["args"]
    return CACHE in engine["args"], environment["OMP_NUM_THREADS"]


def measured(world: World) -> dict[str, tuple[bool, str]]:
    """The engine of each evaluation, by its name."""
    jobs = {name: world.objects["Job", name] for name in world.names("Job")}
    return {
        name: engine_of(job["spec"]["template"]["spec"])
        for name, job in jobs.items()
        if job["metadata"]["labels"]["lowbit.dev/stage"] == "evaluate"
    }


def test_what_was_judged_is_what_is_served_and_the_original_is_measured_without_it(changing: World) -> None:
    changing.settle(NAME, after=only_passed_is_served(changing))
    engines = measured(changing)
    assert {each for name, each in engines.items() if name.startswith("baseline-")} == {(False, "1")}
    assert {each for name, each in engines.items() if name.startswith("eval-")} == {(True, "2")}
    assert engine_of(changing.objects["Deployment", NAME]["spec"]["template"]["spec"]) == (True, "2")
    assert status(changing)["current"]["recipe"] == f"gptq-int4-g64 with {CACHE}, OMP_NUM_THREADS=2"


def test_where_it_fails_the_same_artifact_is_judged_without_it_against_the_same_baseline(changing: World) -> None:
    worse: list[str] = []

    def kl(evaluation: str) -> float:
        worse.append(evaluation)
        return 0.5 if len(set(worse)) == 1 else 0.05

    changing.kl = kl
    changing.settle(NAME, after=only_passed_is_served(changing))
    assert condition(changing, "Ready")["status"] == "True"
    assert status(changing)["current"]["recipe"] == "gptq-int4-g64"
    names = changing.names("Job")
    assert len([name for name in names if name.startswith("quantize-")]) == 1, "one artifact"
    assert len([name for name in names if name.startswith("baseline-")]) == 1
    assert engine_of(changing.objects["Deployment", NAME]["spec"]["template"]["spec"]) == (False, "1")


def test_the_fallback_to_the_original_is_served_as_it_was_measured(changing: World) -> None:
    changing.kl = lambda evaluation: 0.5
    changing.apply_model(NAME, spec(candidates=CANDIDATES, engine=ENGINE, serving={"fallback": "Source"}))
    changing.settle(NAME)
    assert served(changing) == "source"
    assert engine_of(changing.objects["Deployment", NAME]["spec"]["template"]["spec"]) == (False, "1")


def test_the_plan_says_what_each_candidate_changes() -> None:
    body = QuantizedModelSpec.model_validate(spec(candidates=CANDIDATES, engine=ENGINE))
    labels = [revision.recipe for revision in plan(NAME, body, Platform(), FACTS).revisions]
    assert labels == [f"gptq-int4-g64 with {CACHE}, OMP_NUM_THREADS=2", "gptq-int4-g64"]
