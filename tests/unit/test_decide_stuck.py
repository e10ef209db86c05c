"""No pod, or one that does not start: within a minute the status says what Kubernetes says, and what to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lowbit.decide.causes import of_container, of_creation, of_warning
from lowbit.decide.reconcile import decide
from lowbit.decide.stuck import STUCK_SECONDS
from lowbit.state.snapshot import Warned
from tests.unit.life import NAME, condition, status
from tests.unit.test_decide_failures import STAGES, reach
from tests.unit.world import World, replica_set, spec_of_one

FORBIDDEN = 'Error creating: pods "{job}-x7k2p" is forbidden: '
QUOTA_FULL = (
    "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=4, "
    "limited: requests.nvidia.com/gpu=4"
)
QUOTA_SMALL = (
    "exceeded quota: memory, requested: limits.memory=64Gi, used: limits.memory=0, limited: limits.memory=32Gi"
)
NO_LIMITS = "failed quota: compute: must specify limits.cpu for: worker; limits.memory for: worker"
LIMIT_RANGE = "maximum memory usage per Container is 8Gi, but limit is 64Gi"
DENIED = 'admission webhook "validate.kyverno.svc" denied the request: label cost-center is missing'
POLICY = "ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: label cost-center is missing"
POD_SECURITY = 'violates PodSecurity "restricted:latest": unrestricted capabilities'
NO_ACCOUNT = 'error looking up service account models/chat: serviceaccount "chat" not found'
WEBHOOK_DOWN = 'Internal error occurred: failed calling webhook "validate.kyverno.svc": connection refused'
LASTING = {
    QUOTA_SMALL: "QuotaExceeded", NO_LIMITS: "PodForbidden", LIMIT_RANGE: "PodForbidden", DENIED: "PodForbidden",
    POLICY: "PodForbidden", POD_SECURITY: "PodForbidden", NO_ACCOUNT: "PodForbidden",
}  # fmt: skip
PASSING = {QUOTA_FULL: "QuotaExceeded", WEBHOOK_DOWN: "WaitingForPod"}
NO_SECRET = 'MountVolume.SetUp failed for volume "secret-hub" : secret "hub" not found'
NO_CONFIG_MAP = 'MountVolume.SetUp failed for volume "config-general" : configmap "general" not found'
NOT_ATTACHED = "AttachVolume.Attach failed for volume pv-1: Multi-Attach error"


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return STAGES[request.param]


@pytest.fixture
def job(world: World, stage: str) -> str:
    """A Job of any stage that has no pod."""
    world.apply_model(NAME, spec_of_one())
    return without_pod(world, reach(world, stage))


def without_pod(world: World, name: str) -> str:
    """The Job was seen by its controller, and has no pod."""
    started = {"startTime": f"{world.now:%Y-%m-%dT%H:%M:%SZ}", "active": 0}
    world.put(world.objects["Job", name] | {"status": started})
    return name


def waiting_pod(world: World, job: str, *, scheduled: bool = True, waiting: dict[str, str] | None = None) -> None:
    """A pod whose containers have not started."""
    when = f"{world.now:%Y-%m-%dT%H:%M:%SZ}"
    state = {"waiting": waiting or {"reason": "ContainerCreating"}}
    bound = {"type": "PodScheduled", "status": "True" if scheduled else "False", "lastTransitionTime": when}
    world.add_pod(f"{job}-p", job, "Pending", [{"name": "worker", "state": state}])
    pod = world.objects["Pod", f"{job}-p"]
    world.put(pod | {"status": pod["status"] | {"conditions": [bound]}})


def later(world: World, seconds: float = 0.0) -> None:
    """Time passes; all that is due is done at least every half minute."""
    left = seconds
    while True:
        for _ in range(20):
            if not world.step(NAME):
                break
        else:
            raise AssertionError("no rest")
        if left <= 0:
            return
        world.now += timedelta(seconds=min(left, STUCK_SECONDS))
        left -= STUCK_SECONDS


def warn(world: World, kind: str, name: str, *warnings: tuple[str, str]) -> None:
    world.warnings[kind, name] = list(warnings)


def ended(world: World, job: str) -> bool:
    return bool(world.objects["Job", job]["spec"].get("activeDeadlineSeconds") == 1)


@pytest.mark.parametrize(("words", "reason"), [*LASTING.items(), *PASSING.items()])
def test_within_a_minute_the_status_says_why_there_is_no_pod(world: World, job: str, words: str, reason: str) -> None:
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + words))
    later(world, 60)
    ready = condition(world, "Ready")
    assert ready["reason"] == reason
    for part in (f"Job {job} has no pod", "FailedCreate", words):
        assert part in ready["message"], part
    assert (condition(world, "Stalled") is not None) == (words in LASTING)
    if words in PASSING:
        assert words in status(world)["progress"]["message"]


def test_the_name_of_each_attempt_is_no_news(world: World, job: str) -> None:
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + QUOTA_FULL))
    later(world, 60)
    told, events = status(world), world.events.copy()
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.replace("x7k2p", "9zzz9").format(job=job) + QUOTA_FULL))
    later(world, 120)
    assert (status(world), world.events) == (told, events)


def test_what_lasts_is_told_with_the_fields_to_change(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = without_pod(world, reach(world, STAGES["baseline"]))
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + LIMIT_RANGE))
    later(world, 60)
    action = status(world)["lastFailure"]["action"]
    assert "spec.jobs.evaluate.resources" in action
    assert "spec.engine.vllm.resources" in action


def test_a_job_that_no_pod_comes_to_is_tried_again_when_it_may_be_mended(world: World, job: str) -> None:
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + DENIED))
    later(world, 60)
    assert not ended(world, job), "it may be mended at once"
    later(world, 600)
    assert ended(world, job)
    world.end_job(job)
    later(world)
    assert condition(world, "Stalled")["reason"] == "PodForbidden"
    assert "every 10 minutes" in condition(world, "Stalled")["message"]
    world.warnings.clear()
    later(world, 660)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_a_changed_manifest_is_tried_at_once(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    job = without_pod(world, reach(world, STAGES["quantize"]))
    uid = world.objects["Job", job]["metadata"]["uid"]
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + LIMIT_RANGE))
    later(world, 60)
    world.apply_model(NAME, spec_of_one(jobs={"quantize": {"resources": {"limits": {"memory": "4Gi"}}}}))
    later(world)
    assert world.objects["Job", job]["metadata"]["uid"] != uid
    assert condition(world, "Stalled") is None


def test_what_passes_is_waited_for_and_then_goes_on(world: World, job: str) -> None:
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + QUOTA_FULL))
    later(world, 3000)
    assert not ended(world, job), "it holds nothing"
    assert condition(world, "Reconciling")["reason"] == "QuotaExceeded"
    world.objects["Job", job]["status"] = {}
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert "lastFailure" not in status(world)


def test_a_deadline_that_passed_without_a_pod_says_what_kept_it_away(world: World, job: str) -> None:
    warn(world, "Job", job, ("FailedCreate", FORBIDDEN.format(job=job) + QUOTA_FULL))
    later(world, 300)
    world.end_job(job)
    later(world)
    stalled = condition(world, "Stalled")
    assert stalled["reason"] == "QuotaExceeded"
    assert QUOTA_FULL in stalled["message"]
    assert "Raise spec.jobs" not in stalled["message"]


@pytest.mark.parametrize(("words", "lasts"), [(NO_SECRET, True), (NO_CONFIG_MAP, True), (NOT_ATTACHED, False)])
def test_a_volume_that_is_not_mounted_is_told_of(world: World, job: str, words: str, lasts: bool) -> None:
    waiting_pod(world, job)
    timed_out = ("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition")
    warn(world, "Pod", f"{job}-p", timed_out, ("FailedMount", words))
    later(world, 60)
    ready = condition(world, "Ready")
    assert ready["reason"] == ("PodNotStarted" if lasts else "WaitingForPod")
    assert f"pod {job}-p does not start: FailedMount" in ready["message"]
    assert (words in ready["message"]) == lasts, "what lasts is told before what follows from it"
    assert (condition(world, "Stalled") is not None) == lasts


@pytest.mark.parametrize("words", [NO_SECRET, NOT_ATTACHED])
def test_a_pod_that_cannot_start_lets_its_gpu_go_and_is_tried_again(world: World, job: str, words: str) -> None:
    waiting_pod(world, job)
    warn(world, "Pod", f"{job}-p", ("FailedMount", words))
    later(world, 570)
    assert not ended(world, job)
    later(world, 60)
    assert ended(world, job)
    assert condition(world, "Stalled") is not None
    world.end_job(job)
    world.warnings.clear()
    later(world, 660)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("reason", "message", "lasts"),
    [
        ("CreateContainerConfigError", 'secret "hub" not found', True),
        ("ErrImagePull", 'rpc error: code = NotFound desc = failed to pull "x:1": not found', True),
        ("ImagePullBackOff", 'Back-off pulling image "x:1": ErrImagePull: rpc error: 401 Unauthorized', True),
        ("ImagePullBackOff", 'Back-off pulling image "x:1": ErrImagePull: dial tcp: i/o timeout', False),
        ("InvalidImageName", 'couldn\'t parse image name "X:1"', True),
    ],
)
def test_a_container_that_cannot_start_is_told_of_and_lets_its_gpu_go(
    world: World, job: str, reason: str, message: str, lasts: bool
) -> None:
    waiting_pod(world, job, waiting={"reason": reason, "message": message})
    later(world)
    assert condition(world, "Stalled") is None, "what it needs may only be applied now"
    assert message.rpartition("ErrImagePull: ")[2] in condition(world, "Ready")["message"]
    later(world, 60)
    assert (condition(world, "Stalled") is not None) == lasts
    assert world.asked_events == [], "its own status says it"
    later(world, 600)
    assert ended(world, job)


def test_pulling_an_image_for_long_is_no_failure(world: World, job: str) -> None:
    waiting_pod(world, job)
    later(world, 1800)
    assert condition(world, "Stalled") is None
    assert not ended(world, job)


def test_a_volume_that_came_late_does_not_end_a_pod_that_pulls_its_image(world: World, job: str) -> None:
    waiting_pod(world, job)
    warn(world, "Pod", f"{job}-p", ("FailedMount", NO_SECRET))
    later(world, 300)
    assert condition(world, "Stalled") is not None
    pod = world.objects["Pod", f"{job}-p"]
    ready = {"type": "PodReadyToStartContainers", "status": "True"}
    world.put(pod | {"status": pod["status"] | {"conditions": [*pod["status"]["conditions"], ready]}})
    world.asked_events.clear()
    later(world, 1800)
    assert condition(world, "Stalled") is None
    assert not ended(world, job)
    assert world.asked_events == [], "nothing is asked of a pod whose image is pulled"


def test_a_suspended_job_is_told_of(world: World, job: str) -> None:
    suspended = {"conditions": [{"type": "Suspended", "status": "True"}]}
    world.put(world.objects["Job", job] | {"status": suspended})
    later(world, 60)
    assert condition(world, "Ready")["reason"] == "Queued"
    assert "suspended by somebody else" in condition(world, "Ready")["message"]
    assert world.asked_events == []


def test_events_are_read_of_what_is_stuck_alone_and_once_a_minute(world: World, job: str) -> None:
    later(world, 25)
    assert world.asked_events == [], "a pod is given half a minute"
    later(world, 600)
    assert set(world.asked_events) == {("Job", job)}
    assert 8 <= len(world.asked_events) <= 11
    world.add_pod(f"{job}-p", job, "Running", [{"name": "worker", "state": {"running": {}}}])
    world.asked_events.clear()
    later(world, 600)
    assert world.asked_events == []


def test_at_rest_nothing_is_read(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    world.now += timedelta(hours=1)
    snapshot = world.snapshot(NAME)
    assert snapshot is not None
    plan = decide(snapshot, world.now)
    assert (plan.read_events, plan.requeue_after, plan.status) == ((), None, None)


def test_events_that_cannot_be_read_are_told_as_that(world: World, job: str) -> None:
    later(world, 60)
    assert "Kubernetes gives no reason" in condition(world, "Ready")["message"]


@pytest.fixture
def rolling(world: World) -> World:
    """A model whose Deployment has no pod that is ready."""
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    deployment = world.objects["Deployment", NAME]
    counts = {"replicas": 2, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 0}
    world.put(deployment | {"status": deployment["status"] | counts})
    return world


def refused(world: World, words: str) -> None:
    deployment = world.objects["Deployment", NAME]
    message = f'pods "{NAME}-5d9c8b7f66-abcde" is forbidden: {words}'
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    world.put(deployment | {"status": deployment["status"] | {"conditions": [failed]}})


@pytest.mark.parametrize(("words", "reason"), [*LASTING.items(), *PASSING.items()])
def test_a_deployment_that_gets_no_pods_says_why(rolling: World, words: str, reason: str) -> None:
    refused(rolling, words)
    later(rolling)
    ready = condition(rolling, "Ready")
    assert ready["reason"] == reason
    assert words in ready["message"]
    assert (condition(rolling, "Stalled") is not None) == (words in LASTING)
    assert rolling.asked_events == [], "its own status says it"


def serving_pod(world: World) -> None:
    labels = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": f"{world.now:%Y-%m-%dT%H:%M:%SZ}"}
    state: dict[str, Any] = {"waiting": {"reason": "PodInitializing"}}
    status = {"phase": "Pending", "conditions": [bound], "containerStatuses": [{"name": "engine", "state": state}]}
    metadata = {"name": "chat-1", "labels": labels, "ownerReferences": [replica_set(NAME)]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def test_a_serving_pod_that_does_not_start_says_why(rolling: World) -> None:
    serving_pod(rolling)
    warn(rolling, "Pod", "chat-1", ("FailedMount", NO_SECRET))
    snapshot = rolling.snapshot(NAME)
    assert snapshot is not None
    assert decide(snapshot, rolling.now).requeue_after == STUCK_SECONDS, "nobody tells that time has passed"
    later(rolling, 60)
    stalled = condition(rolling, "Stalled")
    assert stalled["reason"] == "PodNotStarted"
    assert NO_SECRET in stalled["message"]
    assert status(rolling)["lastFailure"]["stage"] == "Serve"


def test_a_rollout_that_takes_too_long_says_so(rolling: World) -> None:
    deployment = rolling.objects["Deployment", NAME]
    overdue = {"type": "Progressing", "status": "False", "message": 'ReplicaSet "chat-1" has timed out progressing.'}
    rolling.put(deployment | {"status": deployment["status"] | {"conditions": [overdue]}})
    later(rolling)
    assert "timed out progressing" in condition(rolling, "Ready")["message"]


@pytest.mark.parametrize("words", [*LASTING, *PASSING])
def test_every_cause_says_what_to_do(words: str) -> None:
    cause = of_creation(words, "spec.jobs.quantize.resources")
    assert cause.action.endswith(".")
    assert cause.lasting == (words in LASTING)


@pytest.mark.parametrize(
    ("requested", "limited", "lasting"),
    [("cpu=4", "cpu=2", True), ("cpu=1500m,memory=1Gi", "cpu=2,memory=1Gi", False), ("x=1,memory=2Gi", "x=9", False),
     ("memory=2Gi", "memory=1G", True), ("memory=odd", "memory=1Gi", False)],
)  # fmt: skip
def test_a_pod_that_is_larger_than_the_whole_quota_never_fits(requested: str, limited: str, lasting: bool) -> None:
    words = f"exceeded quota: q, requested: {requested}, used: cpu=1, limited: {limited}"
    assert of_creation(words, "x").lasting == lasting


def test_words_that_nobody_has_thought_of_are_passed_on(world: World, job: str) -> None:
    assert not of_creation("something new", "x").lasting
    assert not of_warning(Warned("Strange", "something new"), "x").lasting
    assert not of_container("RunContainerError", "something new", "x").lasting
    warn(world, "Job", job, ("Strange", "something new"))
    later(world, 60)
    assert "Strange: something new" in condition(world, "Ready")["message"]
