"""Two results are compared only where the very same engine image has measured both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EvaluateResult
from lowbit.api.termination import TerminationMessage
from tests.unit.life import NAME, condition, served
from tests.unit.world import World, spec

ONE, TWO = "docker.io/vllm/vllm-openai@sha256:" + "1" * 64, "docker.io/vllm/vllm-openai@sha256:" + "2" * 64


@pytest.fixture
def world() -> World:
    world = World()
    world.add_store()
    world.engine_image = lambda job: ONE
    return world


def engine(image: str) -> dict[str, Any]:
    return {"vllm": {"image": image}}


def by_kind(baseline: str, candidate: str) -> Callable[[str], str]:
    return lambda job: baseline if job.startswith("baseline-") else candidate


def test_a_tag_that_moved_between_the_two_sides_lets_nothing_pass_and_says_what_to_write(world: World) -> None:
    world.engine_image = by_kind(ONE, TWO)
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert served(world) is None
    assert all("verdict" not in world.objects["ModelRevision", name]["status"] for name in world.names("ModelRevision"))
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "EngineImageMoved"
    for word in (ONE, TWO, "baseline-", "eval-", f"Write spec.engine.vllm.image with a digest ({TWO})"):
        assert word in stalled["message"]
    assert world.step(NAME) is False


def test_an_old_baseline_is_not_used_for_a_tag_that_has_moved_and_a_digest_measures_both_anew(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    old = served(world)
    world.engine_image = lambda job: TWO
    finer = [{"gptq": {"bits": 4, "groupSize": 32}}]
    world.apply_model(NAME, spec(candidates=finer))
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "EngineImageMoved"
    assert condition(world, "Available")["status"] == "True"
    assert served(world) == old
    measured = world.evaluated
    world.apply_model(NAME, spec(candidates=finer, engine=engine(TWO)))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert served(world) != old
    assert world.evaluated == measured + 2


def test_the_digest_to_write_is_told_as_far_as_it_is_known(world: World) -> None:
    world.engine_image = by_kind("sha256:" + "1" * 64, "sha256:" + "2" * 64)
    world.apply_model(NAME, spec(engine=engine("registry:5000/team/vllm:latest")))
    world.settle(NAME)
    assert "(registry:5000/team/vllm@sha256:...)" in condition(world, "Stalled")["message"]


def test_an_image_named_by_its_digest_cannot_move(world: World) -> None:
    # Nodes may tell the same image by its index, its manifest or its configuration.
    world.engine_image = by_kind(ONE, "sha256:" + "3" * 64)
    world.apply_model(NAME, spec(engine=engine(ONE)))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def killed_after_writing(world: World, job: str, image: str) -> TerminationMessage:
    """An earlier pod of the Job wrote the result, and was killed before it could say so; what the next one finds."""
    worker = {"name": "worker", "state": {"terminated": {"exitCode": 143}}, "imageID": ""}
    world.add_pod(f"{job}-first", job, "Failed", [worker, {"name": "engine", "imageID": image}])
    world.now += timedelta(seconds=10)
    result = world.result("evaluate", job).result(EvaluateResult)
    assert result is not None
    return TerminationMessage.of(result.model_copy(update={"reused": True}))


@pytest.mark.parametrize(("first", "expected"), [(ONE, None), (TWO, "EngineImageMoved")])
def test_a_result_that_an_earlier_pod_wrote_counts_for_the_image_that_this_pod_ran(
    world: World, first: str, expected: str | None
) -> None:
    world.apply_model(NAME, spec())
    for _ in range(30):
        world.step(NAME)
        for job in sorted(world.names("Job")):
            if not world.objects["Job", job]["status"]:
                late = job.startswith("eval-")
                world.finish_job(job, killed_after_writing(world, job, first) if late else None)
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert (stalled and stalled["reason"]) == expected
    assert (served(world) is None) == (expected is not None)
