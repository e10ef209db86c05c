"""Workers, engines and pods that die at any stage: what is tried again, how often, and what a person is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_ENGINE, EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.reconcile import decide
from lowbit.desired.jobs.job import EXIT_KILLED
from lowbit.state.snapshot import Snapshot
from tests.unit.life import NAME, condition, status
from tests.unit.world import World, spec_of_one

STAGES = {"prepare": "chat-prepare-", "quantize": "quantize-", "baseline": "baseline-", "candidate": "eval-"}
LIMITS: dict[str, Any] = {
    stage: {"resources": {"limits": {"memory": "8Gi"}}, "maxMemory": "16Gi"}
    for stage in ("prepare", "quantize", "evaluate")
}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return STAGES[request.param]


def reach(world: World, prefix: str) -> str:
    """Go on until the Job of a stage is there and not finished; its name."""
    for _ in range(50):
        world.step(NAME)
        for name in sorted(world.names("Job")):
            if not world.objects["Job", name]["status"]:
                if name.startswith(prefix):
                    return name
                world.finish_job(name)
    raise AssertionError(f"there is no Job {prefix}")


def memory(world: World, job: str) -> Any:
    (worker,) = world.objects["Job", job]["spec"]["template"]["spec"]["containers"]
    return worker.get("resources", {}).get("limits", {}).get("memory")


def test_a_worker_that_was_killed_is_tried_once_more_as_it_was_and_completes(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=EXIT_KILLED)
    world.step(NAME)
    assert f"{job}-2" in world.names("Job")
    assert memory(world, f"{job}-2") == memory(world, job) == "8Gi"
    assert condition(world, "Stalled") is None
    assert status(world)["lastFailure"]["reason"] == "WorkerKilled"
    assert "WorkerKilled" in [reason for reason, _ in world.events]
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert status(world)["lastFailure"]["reason"] == "WorkerKilled", (
        "what happened in the night can be read in the morning"
    )


def test_a_worker_that_is_killed_twice_is_not_tried_a_third_time(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=EXIT_KILLED)
    world.step(NAME)
    world.finish_job(f"{job}-2", TerminationMessage(), code=EXIT_KILLED)
    before = world.names("Job")
    world.settle(NAME)
    assert world.names("Job") == before
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "WorkerKilled"
    assert f"kubectl logs job/{job}-2" in stalled["message"]


def test_a_killed_worker_whose_pod_is_gone_too_is_tried_once_more(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=EXIT_KILLED)
    world.delete("Pod", job)
    world.settle(NAME)
    assert f"{job}-2" in world.names("Job")
    assert condition(world, "Ready")["status"] == "True"


def test_a_finished_job_whose_pod_is_gone_is_made_again(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.finish_job(job)
    world.delete("Pod", job)
    uid = world.objects["Job", job]["metadata"]["uid"]
    world.settle_waiting(NAME)
    assert world.objects["Job", job]["metadata"]["uid"] != uid
    assert condition(world, "Ready")["status"] == "True"


def test_a_result_that_is_seen_a_moment_after_its_job_is_no_news(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.step(NAME)
    told = status(world)
    world.finish_job(job)
    pod = world.objects.pop(("Pod", job))
    assert world.step(NAME) is False
    assert status(world) == told
    world.now += timedelta(seconds=6)
    world.step(NAME)
    assert status(world)["reason"] == "ReadingResult"
    world.put(pod)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_job_deleted_by_hand_is_made_again(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    world.delete("Job", reach(world, stage))
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


@pytest.mark.parametrize(("maximum", "expected"), [("12Gi", "12Gi"), ("64Gi", "17179869184"), ("8Gi", None)])
def test_a_worker_out_of_memory_is_tried_once_more_only_with_more(
    world: World, stage: str, maximum: str, expected: str | None
) -> None:
    world.apply_model(
        NAME, spec_of_one(jobs={each: options | {"maxMemory": maximum} for each, options in LIMITS.items()})
    )
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=EXIT_KILLED, reason="OOMKilled")
    world.step(NAME)
    if expected is None:
        world.step(NAME)  # the first one wrote the failure into the revision
        assert f"{job}-2" not in world.names("Job")
        assert condition(world, "Stalled")["reason"] == "OutOfMemory"
        assert "resources.limits.memory" in condition(world, "Stalled")["message"]
        return
    assert memory(world, f"{job}-2") == expected
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_second_attempt_that_is_out_of_memory_is_the_last(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=EXIT_KILLED)
    world.step(NAME)
    world.finish_job(f"{job}-2", TerminationMessage(), code=EXIT_KILLED, reason="OOMKilled")
    before = world.names("Job")
    world.settle(NAME)
    assert world.names("Job") == before
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"


def test_a_worker_that_could_say_that_it_ran_out_of_memory_is_believed(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    refusal = Refusal(reason="OutOfMemory", message="the worker ran out of memory", action="give the Job more memory")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_KILLED)
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"
    assert "spec.jobs.quantize.resources.limits.memory" in condition(world, "Stalled")["message"]


def test_an_engine_out_of_memory_asks_for_the_engines_memory_and_not_for_the_workers(world: World) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, STAGES["candidate"])
    refusal = Refusal(reason="EngineUnstable", message="the engine restarted", action="the Job is tried again")
    world.finish_job(
        job, TerminationMessage(refusal=refusal), code=EXIT_ENGINE, reason="OOMKilled", container="engine",
        failure="BackoffLimitExceeded",
    )  # fmt: skip
    world.settle(NAME)
    assert f"{job}-2" not in world.names("Job")
    assert "spec.engine.vllm.resources.limits.memory" in condition(world, "Stalled")["message"]


def test_an_engine_that_dies_again_and_again_ends_in_what_to_look_at(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["candidate"])
    refusal = Refusal(reason="EngineUnstable", message="the engine restarted", action="the Job is tried again")
    world.finish_job(
        job, TerminationMessage(refusal=refusal), code=EXIT_ENGINE, failure="BackoffLimitExceeded"
    )  # fmt: skip
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "EngineUnstable"
    assert "the engine restarted" in stalled["message"]
    assert "then delete the Job to try again" in stalled["message"]
    assert "is tried again" not in stalled["message"]
    world.delete("Job", job)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None


@pytest.mark.parametrize("failure", ["BackoffLimitExceeded", "DeadlineExceeded"])
def test_what_the_job_itself_has_tried_often_enough_is_not_tried_again(world: World, stage: str, failure: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=143, failure=failure)
    before = world.names("Job")
    world.settle(NAME)
    assert world.names("Job") == before
    assert condition(world, "Stalled")["reason"] == failure


def test_a_refusal_is_not_tried_again_at_any_stage(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    refusal = Refusal(reason="BadData", message="it is bad.", action="Mend it.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    before = world.names("Job")
    world.settle(NAME)
    assert world.names("Job") == before
    assert condition(world, "Stalled")["reason"] == "BadData"


def test_the_present_failure_is_the_one_while_stalled_and_history_afterwards(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["prepare"])
    refusal = Refusal(reason="BadData", message="it is bad.", action="Mend it.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    world.settle(NAME)
    failure, failed_at = status(world)["lastFailure"], world.now
    world.settle(NAME)
    assert status(world)["lastFailure"] == failure, "at rest nothing is written"
    world.delete("Job", job)
    world.settle(NAME)
    assert condition(world, "Stalled") is None
    assert condition(world, "Ready")["status"] == "True"
    assert status(world)["lastFailure"] == failure
    assert failure["time"] < f"{failed_at:%Y-%m-%dT%H:%M:%SZ}" < condition(world, "Ready")["lastTransitionTime"]


def refused(world: World, job: str) -> None:
    refusal = Refusal(reason="NoGPU", message="there is no GPU.", action="Set the device to CPU.")
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)


def expires(world: World, job: str) -> bool:
    return "ttlSecondsAfterFinished" in world.objects["Job", job]["spec"]


def test_a_lasting_failure_is_remembered_by_its_job_which_does_not_expire(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    refused(world, job)
    world.settle(NAME)
    assert not expires(world, job)
    others = world.names("Job") - {job}
    assert all(expires(world, other) for other in others)
    for other in others:
        world.delete("Job", other)
    created = len(world.created)
    world.settle(NAME)
    assert len(world.created) == created
    assert condition(world, "Stalled")["reason"] == "NoGPU"


def test_a_job_that_stays_goes_when_the_spec_moves_on(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    refused(world, job)
    world.settle(NAME)
    world.apply_model(NAME, spec_of_one(engine={"vllm": {"image": "engine:2"}}, candidates=[{"gptq": {"bits": 8}}]))
    world.settle(NAME)
    assert job not in world.names("Job")
    assert condition(world, "Ready")["status"] == "True"


CHANGES: dict[str, dict[str, Any]] = {
    "chat-prepare-": {"jobs": {"prepare": {"deadlineSeconds": 90}}},
    "quantize-": {"jobs": {"quantize": {"device": "CPU"}}},
    "baseline-": {"engine": {"vllm": {"resources": {"limits": {"memory": "64Gi"}}}}},
    "eval-": {"jobs": {"evaluate": {"resources": {"limits": {"memory": "64Gi"}}}}},
}


def test_what_failed_is_tried_again_as_soon_as_the_manifest_lets_it_run_otherwise(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    refused(world, job)
    world.settle(NAME)
    uid, revisions = world.objects["Job", job]["metadata"]["uid"], world.names("ModelRevision")
    world.apply_model(NAME, spec_of_one(jobs={"ttlSeconds": 3600}))
    world.settle(NAME)
    assert world.objects["Job", job]["metadata"]["uid"] == uid, "this changes nothing about how it runs"
    world.apply_model(NAME, spec_of_one(**CHANGES[stage]))
    world.settle(NAME)
    assert world.objects["Job", job]["metadata"]["uid"] != uid
    assert condition(world, "Ready")["status"] == "True"
    assert revisions <= world.names("ModelRevision"), "how a Job runs makes no revision"


def test_both_attempts_are_made_anew_when_the_manifest_gives_more_memory(world: World) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, STAGES["quantize"])
    for name in (job, f"{job}-2"):
        world.finish_job(name, TerminationMessage(), code=EXIT_KILLED, reason="OOMKilled")
        world.step(NAME)
    world.step(NAME)  # the last one wrote the failure into the revision
    assert condition(world, "Stalled")["reason"] == "OutOfMemory"
    world.apply_model(NAME, spec_of_one(jobs={"quantize": {"resources": {"limits": {"memory": "32Gi"}}}}))
    world.settle(NAME)
    assert memory(world, job) == "32Gi"
    assert f"{job}-2" not in world.names("Job")
    assert condition(world, "Ready")["status"] == "True"


def test_two_that_share_a_failed_job_and_want_it_otherwise_do_not_make_it_anew_for_ever(world: World) -> None:
    world.apply_model(NAME, spec_of_one(jobs=LIMITS))
    job = reach(world, STAGES["quantize"])
    world.apply_model("other", spec_of_one())
    refused(world, job)
    world.settle(NAME, "other")
    uid = world.objects["Job", job]["metadata"]["uid"]
    assert len(world.objects["Job", job]["metadata"]["ownerReferences"]) == 2
    world.apply_model("other", spec_of_one(jobs={"quantize": {"device": "CPU"}}))
    world.settle(NAME, "other")
    assert world.objects["Job", job]["metadata"]["uid"] == uid, "it was made for the first"
    world.delete("QuantizedModel", NAME)
    world.settle("other")
    assert world.objects["Job", job]["metadata"]["uid"] != uid
    assert world.model("other")["status"]["stage"] == "Serving"


def full_store(world: World, job: str) -> None:
    refusal = Refusal(
        reason="NoSpace",
        message="the store's volume is full: 0.00 of 0.10 GB are free",
        action="grow the store's claim",
    )
    world.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_LATER)


def test_a_full_store_is_told_of_with_what_to_do_and_goes_on_by_itself_when_there_is_space(
    world: World, stage: str
) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    full_store(world, job)
    uid = world.objects["Job", job]["metadata"]["uid"]
    world.settle(NAME)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "NoSpace"
    next_try = status(world)["lastFailure"]["nextTry"]
    for words in ("the store's volume is full", "grow the store's claim", next_try, f"Job {job} is deleted"):
        assert words in stalled["message"]
    assert world.objects["Job", job]["metadata"]["uid"] == uid, "not at once: nobody has made room yet"
    plan = decide(snapshot(world), world.now)
    assert plan.requeue_after is not None and 0 < plan.requeue_after <= 600 * 1.25
    world.now += timedelta(seconds=plan.requeue_after)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert status(world)["lastFailure"]["reason"] == "NoSpace"


def test_a_store_that_stays_full_costs_ever_fewer_short_jobs(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, STAGES["quantize"])
    uids = set[str]()
    for _ in range(60):
        uids.add(world.objects["Job", job]["metadata"]["uid"])
        if not world.objects["Job", job]["status"]:
            full_store(world, job)
        world.settle(NAME)
        world.now += timedelta(minutes=1)
        world.step(NAME)
        world.step(NAME)
    assert len(uids) == 3, "after ten minutes and after twenty more, somewhat later each"
    assert [reason for reason, _ in world.events].count("NoSpace") <= len(uids)


def snapshot(world: World) -> Snapshot:
    found = world.snapshot(NAME)
    assert found is not None
    return found


def test_a_worker_that_died_without_a_word_is_told_of_with_the_end_of_its_log(world: World, stage: str) -> None:
    world.apply_model(NAME, spec_of_one())
    job = reach(world, stage)
    world.finish_job(job, TerminationMessage(), code=1, failure="BackoffLimitExceeded")
    pod = world.objects["Pod", job]
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = "Traceback\nImportError: libcuda.so.1\n"
    world.settle(NAME)
    assert (
        "exit code 1. The end of its log: Traceback | ImportError: libcuda.so.1"
        in condition(world, "Stalled")["message"]
    )
