"""A candidate that can be neither made nor measured is no reason to stop while another one was declared."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from tests.unit.life import NAME, condition, status
from tests.unit.test_decide_failures import reach
from tests.unit.world import World, spec

TWO = [{"gptq": {"bits": 4}}, {"gptq": {"bits": 8}}]


def refuses(world: World, job: str, reason: str) -> None:
    """The Job's worker ends for good."""
    words = Refusal(reason=reason, message=f"{reason} it was", action="Use 8 bits.")
    world.finish_job(job, TerminationMessage(refusal=words), code=EXIT_REFUSED)


def revisions(world: World) -> list[dict[str, Any]]:
    found = [world.objects["ModelRevision", name] for name in world.names("ModelRevision")]
    return sorted(found, key=lambda each: int(each["spec"]["candidate"]))


@pytest.mark.parametrize("reason", ["QuantizationFailed", "SmokeTestFailed", "BadArtifact", "OutOfMemory"])
def test_the_next_candidate_is_made_and_served(world: World, reason: str) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    refuses(world, reach(world, "quantize-"), reason)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    first, second = revisions(world)
    assert first["status"]["failure"]["reason"] == reason
    assert [c["reason"] for c in first["status"]["conditions"] if c["type"] == "Passed"] == [reason]
    assert status(world)["current"]["name"] == second["metadata"]["name"]
    assert status(world)["lastFailure"]["reason"] == reason, "it can be read in the morning"
    assert [event for event in world.events if event[0] == reason], "and was said when it happened"


def test_while_the_next_candidate_is_made_the_status_says_why(world: World) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    refuses(world, reach(world, "quantize-"), "QuantizationFailed")
    reach(world, "quantize-")
    assert condition(world, "Stalled") is None
    assert status(world)["stage"] == "Quantizing"
    assert status(world)["lastFailure"]["reason"] == "QuantizationFailed"


def test_an_artifact_that_the_engine_cannot_run_is_followed_by_the_next(world: World) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    job = reach(world, "eval-")
    world.finish_job(job, TerminationMessage(), code=137, reason="OOMKilled", container="engine")
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert revisions(world)[0]["status"]["failure"]["reason"] == "OutOfMemory"


def test_an_original_that_the_engine_cannot_run_stops_everything(world: World) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    job = reach(world, "baseline-")
    world.finish_job(job, TerminationMessage(), code=137, reason="OOMKilled", container="engine")
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"
    assert len(revisions(world)) == 1


@pytest.mark.parametrize("reason", ["NoSpace", "Damaged", "AccessDenied"])
def test_what_somebody_has_to_mend_stops_everything(world: World, reason: str) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    refuses(world, reach(world, "quantize-"), reason)
    for _ in range(5):
        world.step(NAME)
    assert condition(world, "Stalled")["reason"] == reason
    assert len(revisions(world)) == 1


def test_when_the_last_one_fails_too_both_are_named_with_what_to_do(world: World) -> None:
    world.apply_model(NAME, spec(candidates=TWO))
    refuses(world, reach(world, "quantize-"), "QuantizationFailed")
    refuses(world, reach(world, "quantize-"), "SmokeTestFailed")
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "SmokeTestFailed"
    assert "gptq-int4" in stalled["message"]
    assert "QuantizationFailed it was" in stalled["message"]
    assert "SmokeTestFailed it was" in stalled["message"]
    assert ("Deployment", NAME) not in world.objects


def test_a_failed_candidate_is_tried_again_where_its_job_is_deleted(world: World) -> None:
    world.apply_model(NAME, spec(candidates=TWO[:1]))
    job = reach(world, "quantize-")
    refuses(world, job, "QuantizationFailed")
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "QuantizationFailed"
    world.delete("Job", job)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    (revision,) = revisions(world)
    assert "failure" not in revision["status"], "what was mended is no failure any more"
