"""A worker has ended, another container of its pod (a mesh's proxy) has not: the result counts, the Job is ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.jobs.lingering import LINGER_SECONDS
from lowbit.desired.jobs.job import EXIT_KILLED
from tests.unit.life import NAME, condition, status
from tests.unit.test_decide_failures import LIMITS, STAGES, memory, reach
from tests.unit.test_decide_logged import CLASSES
from tests.unit.world import World, spec_of_one

PROXY = {"name": "istio-proxy", "state": {"running": {}}}
REFUSAL = TerminationMessage(refusal=Refusal(reason="RemoteCode", message="It has code.", action="Take another."))


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return STAGES[request.param]


def linger(world: World, job: str, message: TerminationMessage | None = None, code: int = 0, reason: str = "") -> None:
    """The worker ends, and the proxy beside it does not."""
    world.finish_job(job, message, code, reason)
    pod = world.objects["Pod", job]
    statuses = [*pod["status"]["containerStatuses"], PROXY]
    statuses[0]["state"]["terminated"]["finishedAt"] = f"{world.now:%Y-%m-%dT%H:%M:%SZ}"
    if any(each["name"] == "engine" for each in statuses):  # a native sidecar, which the kubelet ends after the worker
        engines = [each for each in statuses if each["name"] == "engine"]
        statuses = [each for each in statuses if each["name"] != "engine"]
        world.put(
            pod | {"status": {"phase": "Running", "initContainerStatuses": engines, "containerStatuses": statuses}}
        )
    else:
        world.put(pod | {"status": {"phase": "Running", "containerStatuses": statuses}})
    world.put(world.objects["Job", job] | {"status": {"active": 1, "ready": 0}})


def later(world: World, seconds: float = LINGER_SECONDS + 1) -> None:
    """Time passes, and all that is due is done."""
    world.now += timedelta(seconds=seconds)
    for _ in range(20):
        if not world.step(NAME):
            return
    raise AssertionError("no rest")


def ended(world: World, job: str) -> Any:
    """Whether the Job's deadline was set to be over."""
    return world.objects["Job", job]["spec"].get("activeDeadlineSeconds") == 1


def test_the_result_counts_and_the_job_is_ended(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    linger(world, job)
    later(world, 0)
    assert not ended(world, job), "a container that ends by itself is given a moment"
    later(world)
    assert ended(world, job)
    assert "ttlSecondsAfterFinished" in world.objects["Job", job]["spec"], "it goes as every Job goes that ended well"
    made = world.created.count(("Job", job))
    world.end_job(job)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert world.created.count(("Job", job)) == made, "nothing is computed twice"
    assert "lastFailure" not in status(world)


def test_what_is_made_of_it_does_not_wait_until_the_pod_is_gone(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    linger(world, reach(world, STAGES["prepare"]))
    later(world)
    assert world.names("ModelRevision")
    assert any(name.startswith(("quantize-", "baseline-")) for name in world.names("Job"))


def test_the_image_of_an_engine_whose_pod_was_ended_is_known(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["baseline"])
    linger(world, job)
    later(world)
    assert world.objects["ModelEvaluation", job]["status"]["engineImageId"] == "engine@sha256:1"


def test_a_long_result_is_read_from_the_log_before_the_job_is_ended(world: World) -> None:
    world.rows = CLASSES
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["candidate"])
    linger(world, job)
    assert world.worker_logs[job]
    later(world, 0)
    later(world)
    assert ended(world, job)
    world.end_job(job)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_refusal_is_told_and_the_job_is_ended(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    linger(world, job, REFUSAL, EXIT_REFUSED)
    later(world)
    stalled = condition(world, "Stalled")
    assert (stalled["reason"], stalled["message"]) == ("RemoteCode", "It has code. Take another.")
    assert ended(world, job)
    world.end_job(job)
    later(world, 600)
    assert condition(world, "Stalled")["reason"] == "RemoteCode", "nobody tries it again"
    assert "ttlSecondsAfterFinished" not in world.objects["Job", job]["spec"], "it stays as the memory of its failure"


def test_a_worker_out_of_memory_is_tried_once_more_with_more(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, stage)
    linger(world, job, TerminationMessage(), EXIT_KILLED, "OOMKilled")
    later(world)
    assert ended(world, job)
    assert memory(world, f"{job}-2") == "16Gi"


def test_a_worker_that_failed_is_tried_once_more_and_then_told_of(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    linger(world, job, TerminationMessage(), 1)
    later(world)
    assert f"{job}-2" in world.names("Job")
    assert condition(world, "Stalled") is None
    linger(world, f"{job}-2", TerminationMessage(), 1)
    later(world)
    stalled = condition(world, "Stalled")["message"]
    assert "exit code 1" in stalled
    assert "istio-proxy" in stalled, "what kept Kubernetes from trying it again is named"


def test_a_deadline_that_came_first_keeps_no_result_from_counting(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    linger(world, job)
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": "2026-01-01"}
    world.put(world.objects["Job", job] | {"status": {"conditions": [failed]}})
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_pod_that_is_tried_again_beside_the_old_one_is_waited_for(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    linger(world, job, TerminationMessage(), 1)
    world.now += timedelta(seconds=5)
    world.add_pod(f"{job}-b", job, "Running", [{"name": "worker", "state": {"running": {}}}])
    later(world)
    assert not ended(world, job)
    assert status(world)["reason"] == "Quantizing"


def test_a_pod_that_is_going_away_anyhow_is_left_alone(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    linger(world, job, TerminationMessage(), 143)
    pod = world.objects["Pod", job]
    world.put(pod | {"metadata": pod["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    later(world)
    assert not ended(world, job)
