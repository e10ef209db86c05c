"""Jobs in a queue: made suspended, started by Kueue alone, and Queued, with all time standing still, until then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.api.documents import ProgressLine
from lowbit.api.platform import Platform
from lowbit.decide.reconcile import decide
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.snapshot import Snapshot
from tests.unit.life import NAME, condition, status
from tests.unit.queues import ended, resume, run_pod, stamp, suspend, waiting_jobs
from tests.unit.test_decide_failures import STAGES
from tests.unit.world import NAMESPACE, World, spec_of_one

QUEUE, PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
IN_QUEUE: dict[str, Any] = {"jobs": {"queueName": "gpus", "workloadPriorityClassName": "low"}}


def labels(world: World, job: str) -> dict[str, str]:
    found: dict[str, str] = world.objects["Job", job]["metadata"]["labels"]
    return found


def plan_of(world: World) -> Any:
    snapshot = world.snapshot(NAME)
    assert isinstance(snapshot, Snapshot)
    return decide(snapshot, world.now)


def rest(world: World) -> None:
    for _ in range(20):
        if not world.step(NAME):
            return
    raise AssertionError("no rest")


def reach_queued(world: World, prefix: str, **changes: Any) -> str:
    """Go on until the Job of a stage waits in the queue; its name."""
    world.apply_model(NAME, spec_of_one(**(IN_QUEUE | changes)))
    for _ in range(50):
        rest(world)
        (job,) = waiting_jobs(world)
        if job.startswith(prefix):
            return job
        resume(world, job)
        world.finish_job(job)
    raise AssertionError(f"there is no Job {prefix}")


@pytest.fixture(params=STAGES)
def job(request: pytest.FixtureRequest, world: World) -> str:
    return reach_queued(world, STAGES[request.param])


def test_every_job_is_made_suspended_with_queue_and_priority(world: World, job: str) -> None:
    assert labels(world, job)[QUEUE] == "gpus"
    assert labels(world, job)[PRIORITY] == "low"
    template = world.objects["Job", job]["spec"]["template"]["metadata"]
    assert QUEUE not in template["labels"], "Kueue would take the pods for workloads of their own"


def test_without_a_queue_no_job_is_suspended_or_labelled(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    for name in world.names("Job"):
        assert "suspend" not in world.objects["Job", name]["spec"]
        assert QUEUE not in labels(world, name)


def test_the_platforms_queue_is_for_jobs_with_gpus(world: World) -> None:
    world.platform = Platform(queue_name="all", workload_priority_class_name="batch")
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    rest(world)
    (job,) = waiting_jobs(world)
    assert job.startswith("quantize-"), "prepare asks for no GPU"
    assert labels(world, job)[QUEUE] == "all"
    assert labels(world, job)[PRIORITY] == "batch"


def test_a_job_on_the_cpu_is_not_in_the_platforms_queue(world: World) -> None:
    world.platform = Platform(queue_name="all", max_gpu_jobs=1)
    world.apply_model(
        NAME,
        spec_of_one(
            engine={"vllm": {"device": "CPU", "resources": {"requests": {"cpu": "1"}}}},
            jobs={"quantize": {"device": "CPU"}},
        ),
    )
    world.settle(NAME)
    assert status(world)["stage"] == "Serving"


def test_the_manifests_queue_goes_before_the_platforms(world: World) -> None:
    world.platform = Platform(queue_name="all", workload_priority_class_name="batch", max_gpu_jobs=1)
    job = reach_queued(world, "quantize-", jobs={"queueName": "mine"})
    assert labels(world, job)[QUEUE] == "mine"
    assert labels(world, job)[PRIORITY] == "batch"
    assert not world.start_waiting(), "what is in a queue is Kueue's"


def test_a_suspended_job_is_queued_and_nothing_is_timed(world: World, job: str) -> None:
    ready = condition(world, "Ready")
    assert ready["reason"] == status(world)["reason"] == "Queued"
    assert "the queue gpus" in ready["message"]
    assert (
        f"describe workloads -l kueue.x-k8s.io/job-uid={world.objects['Job', job]['metadata']['uid']}"
        in ready["message"]
    )
    assert status(world)["progress"].get("percent") is None
    assert status(world)["progress"].get("etaSeconds") is None
    version = world.model(NAME)["metadata"]["resourceVersion"]
    for _ in range(5):
        world.now += timedelta(days=1)
        plan = plan_of(world)
        assert plan.actions == () and plan.status is None
        assert plan.requeue_after is None, "whoever admits it changes it, and that is seen"
        assert not plan.read_events and not plan.watch_progress and not plan.read_logs
    assert world.model(NAME)["metadata"]["resourceVersion"] == version
    assert condition(world, "Stalled") is None


def test_its_time_begins_when_it_is_admitted(world: World, job: str) -> None:
    world.now += timedelta(days=1)
    resume(world, job)
    rest(world)
    assert status(world)["reason"] != "Queued"
    world.now += timedelta(seconds=20)
    assert not plan_of(world).read_events, "a pod has half a minute from when it may be made"
    world.now += timedelta(seconds=20)
    assert plan_of(world).read_events


def test_between_resume_and_its_controller_it_is_still_queued(world: World, job: str) -> None:
    suspend(world, job)
    rest(world)
    world.now += timedelta(days=1)
    known = world.objects["Job", job]
    world.put(known | {"spec": known["spec"] | {"suspend": False}})
    rest(world)
    assert status(world)["reason"] == "Queued"
    assert not world.asked_events


def test_a_preempted_job_is_queued_again_and_no_failure(world: World, job: str) -> None:
    resume(world, job)
    run_pod(world, job)
    rest(world)
    suspend(world, job)
    rest(world)
    assert status(world)["reason"] == "Queued"
    assert "lastFailure" not in status(world)
    assert condition(world, "Stalled") is None
    resume(world, job)
    world.finish_job(job)
    rest(world)
    assert status(world).get("reason") != "JobFailed"
    assert "lastFailure" not in status(world)


def test_the_end_of_its_pods_is_no_failure_while_it_is_preempted(world: World) -> None:
    job = reach_queued(world, "baseline-")
    resume(world, job)
    killed = {"terminated": {"exitCode": 137, "reason": "Error"}}
    statuses: list[dict[str, Any]] = [
        {"name": "worker", "state": {"running": {}}},
        {"name": "engine", "state": killed, "restartCount": 4},
    ]
    known = world.objects["Job", job]
    world.put(known | {"spec": known["spec"] | {"suspend": True}})
    world.add_pod(f"{job}-p", job, "Running", statuses)
    pod = world.objects["Pod", f"{job}-p"]
    world.put(pod | {"metadata": pod["metadata"] | {"deletionTimestamp": stamp(world)}})
    rest(world)
    assert status(world)["reason"] == "Queued"
    assert "lastFailure" not in status(world)


def test_progress_of_a_preempted_job_begins_anew(world: World) -> None:
    job = reach_queued(world, "quantize-")
    resume(world, job)
    run_pod(world, job)
    cache = world.cache()
    half = ProgressLine(stage="quantize", time=0, percent=50, eta_seconds=60, message="half")
    assert cache.put_progress(NAMESPACE, job, half, 1.0) == {Key(NAMESPACE, NAME)}
    assert percent(cache, world) == 50
    suspend(world, job)
    cache.put(world.objects["Job", job])
    assert cache.put_progress(NAMESPACE, job, half, 2.0) == frozenset(), "of a pod that goes away"
    resume(world, job)
    cache.put(world.objects["Job", job])
    assert percent(cache, world) is None


def percent(cache: Cache, world: World) -> Any:
    """What the status would say of its progress."""
    snapshot = cache.snapshot(Key(NAMESPACE, NAME))
    assert snapshot is not None
    plan = decide(snapshot, world.now)
    said: Any = plan.status.status if plan.status is not None else status(world)
    return said["progress"].get("percent")


def test_another_queue_makes_nothing_again_that_runs_or_has_ended(world: World, job: str) -> None:
    resume(world, job)
    run_pod(world, job)
    before = {name: world.objects["Job", name]["metadata"]["uid"] for name in world.names("Job")}
    world.apply_model(NAME, spec_of_one(jobs={"queueName": "others"}))
    rest(world)
    assert before == {name: world.objects["Job", name]["metadata"]["uid"] for name in world.names("Job")}


@pytest.mark.parametrize("jobs", [{"queueName": "others"}, {}, {"queueName": "gpus"}])
def test_a_job_that_waits_is_made_anew_in_another_queue(world: World, job: str, jobs: dict[str, str]) -> None:
    uid = world.objects["Job", job]["metadata"]["uid"]
    world.apply_model(NAME, spec_of_one(jobs=jobs))
    rest(world)
    assert world.objects["Job", job]["metadata"]["uid"] != uid
    assert labels(world, job).get(QUEUE) == jobs.get("queueName")
    assert bool(world.objects["Job", job]["spec"].get("suspend")) == bool(jobs)
    assert "lastFailure" not in status(world)


def test_a_job_that_waits_is_made_anew_with_less_to_ask_for(world: World) -> None:
    job = reach_queued(world, "quantize-")
    small = {
        "queueName": "gpus",
        "workloadPriorityClassName": "low",
        "quantize": {"resources": {"limits": {"cpu": "2"}}},
    }
    world.apply_model(NAME, spec_of_one(jobs=small))
    rest(world)
    (worker,) = world.objects["Job", job]["spec"]["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["cpu"] == "2", "a queue may never admit what asks for too much"


def test_a_queue_that_others_give_a_job_is_left_alone(world: World) -> None:
    """Kueue gives a Job without one the LocalQueue `default`, where the namespace has it."""
    world.apply_model(NAME, spec_of_one())
    rest(world)
    (job,) = world.names("Job")
    known = world.objects["Job", job]
    given_ = known["metadata"]["labels"] | {QUEUE: "default"}
    world.put(known | {"metadata": known["metadata"] | {"labels": given_}})
    suspend(world, job)
    rest(world)
    assert "the queue default" in condition(world, "Ready")["message"]
    assert plan_of(world).actions == ()


def test_who_is_to_resume_a_job_that_somebody_has_suspended_is_told(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    rest(world)
    (job,) = world.names("Job")
    suspend(world, job)
    rest(world)
    assert status(world)["reason"] == "Queued"
    assert f"patch job {job}" in condition(world, "Ready")["message"]
    assert not world.start_waiting()


SERVED = {"serving": {"replicas": 1, "queueName": "serving", "workloadPriorityClassName": "high"}}


def test_serving_is_in_the_queue_that_it_asks_for(world: World) -> None:
    world.apply_model(NAME, spec_of_one(**SERVED))
    world.settle(NAME)
    metadata = world.objects["Deployment", NAME]["metadata"]
    assert metadata["labels"][QUEUE] == "serving"
    assert metadata["labels"][PRIORITY] == "high"


@pytest.mark.parametrize("serving", [{"replicas": 1, "queueName": "others"}, {"replicas": 1}])
def test_a_deployment_that_answers_keeps_its_queue_which_kueue_would_refuse(world: World, serving: Any) -> None:
    world.apply_model(NAME, spec_of_one(**SERVED))
    world.settle(NAME)
    world.apply_model(NAME, spec_of_one(serving=serving))
    world.settle(NAME)
    assert world.objects["Deployment", NAME]["metadata"]["labels"][QUEUE] == "serving"
    assert condition(world, "Ready")["status"] == "True"


def test_a_deployment_without_a_ready_pod_changes_its_queue(world: World) -> None:
    world.apply_model(NAME, spec_of_one(**SERVED))
    world.settle(NAME)
    world.apply_model(NAME, spec_of_one(serving={"replicas": 0, "queueName": "others"}))
    world.settle(NAME)
    assert world.objects["Deployment", NAME]["metadata"]["labels"][QUEUE] == "others"


def test_a_serving_pod_that_kueue_gates_is_queued(world: World) -> None:
    world.apply_model(NAME, spec_of_one(**SERVED))
    world.settle(NAME)
    revision = world.objects["Deployment", NAME]["metadata"]["labels"]["lowbit.dev/revision"]
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastTransitionTime": stamp(world)}
    world.put(
        {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "chat-x", "labels": {"lowbit.dev/quantizedmodel": NAME, "lowbit.dev/revision": revision,
                                             QUEUE: "serving"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{NAME}-1", "uid": "u",
                                     "controller": True}],
            },
            "status": {"phase": "Pending", "conditions": [gated]},
        }
    )  # fmt: skip
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"status": deployment["status"] | {"readyReplicas": 0, "availableReplicas": 0}})
    rest(world)
    world.now += timedelta(days=1)
    rest(world)
    assert condition(world, "Ready")["reason"] == "Queued"
    assert "queue serving" in condition(world, "Ready")["message"]
    assert condition(world, "Stalled") is None


MOVES = st.lists(st.sampled_from(["admit", "run", "preempt", "wait", "look"]), max_size=15)


@settings(max_examples=25)
@given(moves=MOVES)
def test_in_any_order_of_admission_and_preemption_nothing_fails_and_it_is_served(moves: list[str]) -> None:
    world = World()
    world.add_store()
    world.apply_model(NAME, spec_of_one(**IN_QUEUE))
    rest(world)
    for move in moves:
        for job in [each for each in sorted(world.names("Job")) if not ended(world, each)]:
            waits = job in waiting_jobs(world)
            if move == "admit" and waits:
                resume(world, job)
            elif move == "run" and not waits:
                run_pod(world, job)
            elif move == "preempt" and not waits:
                suspend(world, job)
            elif move == "look" and not waits and ("Pod", f"{job}-p") in world.objects:
                world.finish_job(job)
            if move == "wait" and waits:
                world.now += timedelta(days=3)
            rest(world)
            assert "lastFailure" not in status(world)
            assert condition(world, "Stalled") is None
            if job in waiting_jobs(world):
                assert status(world)["reason"] == "Queued"
    for _ in range(20):
        for job in waiting_jobs(world):
            resume(world, job)
        for job in [each for each in sorted(world.names("Job")) if not ended(world, each)]:
            world.finish_job(job)
        world.settle(NAME)
    assert status(world)["stage"] == "Serving"
    assert len([kind for kind, _ in world.created if kind == "Job"]) == 4
