"""A serving pod that cannot start lets its GPU go, and is tried again: later each time, and at once if mended."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.decide.jobs.later import JITTER
from lowbit.decide.reconcile import decide
from lowbit.decide.serving.letgo import LET_GO_SECONDS, PASSING_SECONDS
from lowbit.naming.names import LET_GO_ANNOTATION
from tests.unit.life import NAME, condition, served, status
from tests.unit.test_decide_stuck import NO_SECRET, NOT_ATTACHED, later
from tests.unit.world import World, replica_set, spec_of_one

TEN = 600.0
State = dict[str, Any]


def waiting(reason: str, message: str = "") -> State:
    return {"waiting": {"reason": reason, "message": message}}


def engine_loops() -> list[State]:
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:09Z",
    }
    return [{"name": "engine", "restartCount": 4, "ready": False, "state": waiting("CrashLoopBackOff", "back-off"),
             "lastState": {"terminated": ended}}]  # fmt: skip


def fetch_ends(code: int, reason: str = "Error", message: str = "") -> list[State]:
    ended = {"exitCode": code, "reason": reason, "message": message, "finishedAt": "2026-01-01T00:00:09Z"}
    fetch = {"name": "fetch", "restartCount": 4, "ready": False, "state": waiting("CrashLoopBackOff", "back-off"),
             "lastState": {"terminated": ended}}  # fmt: skip
    return [fetch, {"name": "engine", "restartCount": 0, "ready": False, "state": waiting("PodInitializing")}]


def refused(reason: str) -> str:
    return json.dumps({"refusal": {"reason": reason, "message": "the files differ.", "action": "Restore them."}})


CANNOT_START: dict[str, list[State]] = {
    "missing Secret": [{"name": "engine", "state": waiting("CreateContainerConfigError", 'secret "key" not found')}],
    "no such image": [{"name": "engine", "state": waiting("ErrImagePull", "failed to pull x:1: not found")}],
    "name of an image": [{"name": "engine", "state": waiting("InvalidImageName", 'couldn\'t parse "X:1"')}],
    "engine crash loop": engine_loops(),
    "guard crash loop": [{"name": "guard", "restartCount": 3, "state": waiting("CrashLoopBackOff", "no key")}],
    "artifact refused": fetch_ends(EXIT_REFUSED, message=refused("DigestMismatch")),
    "fetch has a bug": fetch_ends(EXIT_CRASHED, message=refused("WorkerCrashed")),
    "fetch is killed for memory": fetch_ends(137, "OOMKilled"),
}
MAY_PASS: dict[str, list[State]] = {
    "registry is slow": [{"name": "engine", "state": waiting("ErrImagePull", "dial tcp: i/o timeout")}],
    "bucket is busy": fetch_ends(EXIT_LATER, message=refused("ServerFailed")),
}


def owner_of(hash_: str) -> State:
    name = f"{NAME}-{hash_}"
    return replica_set(NAME) | {"name": name, "uid": f"uid-{name}"}


def time_of(world: World) -> str:
    return f"{world.now:%Y-%m-%dT%H:%M:%SZ}"


def pod(
    world: World, name: str, containers: list[State], *, node: bool = True, ready: bool = False, of: str = "5d8f7c"
) -> None:
    """A pod of the Deployment's present template, since now. of: hash in the name of its ReplicaSet."""
    labels = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    bound = {"type": "PodScheduled", "status": "True" if node else "False", "lastTransitionTime": time_of(world)}
    answers = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": time_of(world)}
    unschedulable = {} if node else {"reason": "Unschedulable", "message": "0/3 nodes: Insufficient nvidia.com/gpu"}
    conditions = [bound | unschedulable, *([answers] if node else [])]
    begun = any("running" in each["state"] or each.get("restartCount") for each in containers)
    phase = "Running" if begun and containers[0]["name"] == "engine" else "Pending"
    status = {"phase": phase, "conditions": conditions, "containerStatuses": containers}
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner_of(of)]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def serving_pods(world: World) -> list[str]:
    return sorted(name for name in world.names("Pod") if name.startswith(f"{NAME}-pod"))


def controller(world: World, containers: list[State] | None) -> None:
    """Kubernetes brings the pods to the Deployment's replicas; new ones are as `containers` says, or answer."""
    deployment = world.objects["Deployment", NAME]
    count = deployment["spec"]["replicas"]
    for name in serving_pods(world)[count:]:
        world.objects.pop(("Pod", name))
    for number in range(len(serving_pods(world)), count):
        if containers is not None:
            pod(world, f"{NAME}-pod-{number}-{next(world.versions)}", containers)
    if containers is None:
        world.roll_out(NAME)
        return
    counts = {"replicas": count, "updatedReplicas": count, "readyReplicas": 0, "availableReplicas": 0}
    generation = deployment["metadata"]["generation"]
    world.put(deployment | {"status": deployment["status"] | counts | {"observedGeneration": generation}})


def after(world: World, seconds: float, containers: list[State] | None) -> None:
    """Time passes, and Kubernetes does its part."""
    end = world.now + timedelta(seconds=seconds)
    while True:
        controller(world, containers)
        later(world)
        controller(world, containers)
        left = (end - world.now).total_seconds()
        if left <= 0:
            return
        world.now += timedelta(seconds=min(left, 30))


def replicas(world: World) -> int:
    return int(world.objects["Deployment", NAME]["spec"]["replicas"])


def record(world: World) -> Any:
    text = world.objects["Deployment", NAME]["metadata"].get("annotations", {}).get(LET_GO_ANNOTATION)
    return json.loads(text) if text else None


def first_rollout(world: World, containers: list[State]) -> None:
    """The first Deployment of a model is there, and its pods are in trouble."""
    world.apply_model(NAME, spec_of_one())
    for _ in range(40):
        world.step(NAME)
        if ("Deployment", NAME) in world.objects:
            break
        world.act()
    after(world, 0, containers)


@pytest.mark.parametrize("trouble", CANNOT_START)
def test_a_pod_that_cannot_start_lets_its_gpu_go(world: World, trouble: str) -> None:
    first_rollout(world, CANNOT_START[trouble])
    after(world, TEN - 60, CANNOT_START[trouble])
    assert replicas(world) == 2, "it may be mended at once"
    after(world, 90, CANNOT_START[trouble])
    assert replicas(world) == 0
    assert serving_pods(world) == []
    stalled = condition(world, "Stalled")
    for words in ("scaled to 0", "GPU", "tried again at", f"kubectl -n models annotate deployment {NAME}"):
        assert words in stalled["message"], words
    failure = status(world)["lastFailure"]
    assert (failure["stage"], failure["attempts"]) == ("Serve", 1)
    assert failure["nextTry"] in stalled["message"]
    assert "let go" in condition(world, "Available")["message"]
    assert status(world)["stage"] == "Failed"
    assert served(world) is not None, "the Deployment stays"


@pytest.mark.parametrize("trouble", MAY_PASS)
def test_what_may_pass_is_given_an_hour(world: World, trouble: str) -> None:
    first_rollout(world, MAY_PASS[trouble])
    after(world, PASSING_SECONDS - 120, MAY_PASS[trouble])
    assert replicas(world) == 2
    after(world, 180, MAY_PASS[trouble])
    assert replicas(world) == 0
    assert condition(world, "Stalled") is not None


@pytest.mark.parametrize(("words", "seconds"), [(NO_SECRET, LET_GO_SECONDS), (NOT_ATTACHED, PASSING_SECONDS)])
def test_a_volume_that_is_not_mounted_lets_the_gpu_go(world: World, words: str, seconds: float) -> None:
    creating = [{"name": "engine", "state": waiting("ContainerCreating")}]
    first_rollout(world, creating)
    for name in serving_pods(world):
        world.warnings["Pod", name] = [("FailedMount", words)]
    after(world, seconds - 120, creating)
    assert replicas(world) == 2
    after(world, 180, creating)
    assert replicas(world) == 0


def test_at_rest_nothing_is_written_and_it_is_looked_at_when_it_is_due(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    before = dict(world.objects)
    assert world.step(NAME) is False
    assert world.objects == before
    snapshot = world.snapshot(NAME)
    assert snapshot is not None
    left = decide(snapshot, world.now).requeue_after
    assert left is not None
    assert TEN - 60 <= left <= TEN * (1 + JITTER)
    world.now += timedelta(seconds=left - 1)
    assert world.step(NAME) is False
    world.now += timedelta(seconds=1)
    assert world.step(NAME) is True
    assert replicas(world) == 2


def test_its_pauses_grow_and_a_try_that_fails_again_is_shorter(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    after(world, TEN + 30, trouble)
    pauses = []
    for attempt in range(1, 6):
        assert status(world)["lastFailure"]["attempts"] == attempt
        began = world.now
        while replicas(world) == 0:
            world.now += timedelta(seconds=30)
            later(world)
        pauses.append((world.now - began).total_seconds())
        after(world, 150, trouble)
        assert replicas(world) == 0, "nobody has mended it: it holds the GPU for two minutes, no longer"
    for seconds, least in zip(pauses, (600, 1200, 2400, 3600, 3600), strict=True):
        assert least - 60 <= seconds <= least * (1 + JITTER) + 60


def test_the_failure_keeps_the_time_at_which_it_was_first_seen(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    after(world, TEN + 30, trouble)
    first = status(world)["lastFailure"]["time"]
    after(world, 3 * TEN, trouble)
    assert status(world)["lastFailure"]["attempts"] == 2
    assert status(world)["lastFailure"]["time"] == first


def test_what_was_mended_is_served_at_the_next_try_and_the_record_is_gone(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    after(world, TEN * (1 + JITTER) + 60, None)
    assert condition(world, "Ready")["status"] == "True"
    assert replicas(world) == 2
    assert record(world) is None
    assert condition(world, "Available")["status"] == "True"
    assert world.step(NAME) is False


def test_a_changed_manifest_is_tried_at_once(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    after(world, TEN + 30, trouble)
    world.apply_model(NAME, spec_of_one(serving={"replicas": 2, "pod": {"nodeSelector": {"gpu": "l4"}}}))
    later(world)
    assert (replicas(world), record(world)) == (2, None)
    assert condition(world, "Stalled") is None
    after(world, TEN + 30, trouble)
    assert status(world)["lastFailure"]["attempts"] == 1, "it is another pod: it begins anew"


def test_a_changed_manifest_does_not_pay_for_pods_of_the_last_one(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    after(world, TEN - 60, trouble)
    world.now += timedelta(seconds=600)  # the operator was away
    world.apply_model(NAME, spec_of_one(serving={"replicas": 2, "pod": {"nodeSelector": {"gpu": "l4"}}}))
    later(world)
    assert replicas(world) == 2, "what is new has not been tried yet"


def test_it_is_tried_at_once_when_the_annotation_is_removed(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    deployment = world.objects["Deployment", NAME]
    annotations = {k: v for k, v in deployment["metadata"]["annotations"].items() if k != LET_GO_ANNOTATION}
    world.put(deployment | {"metadata": deployment["metadata"] | {"annotations": annotations}})
    after(world, 30, None)
    assert replicas(world) == 2
    assert condition(world, "Ready")["status"] == "True"


def test_a_hand_that_scales_it_up_does_not_take_the_gpu_back(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"spec": deployment["spec"] | {"replicas": 1}})
    later(world)
    assert replicas(world) == 0


def test_a_wiped_status_is_told_again_in_the_same_words(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    told = condition(world, "Stalled")["message"]
    world.put(world.model(NAME) | {"status": {}})
    later(world)
    assert condition(world, "Stalled")["message"] == told
    assert replicas(world) == 0


def test_a_record_that_nobody_can_read_is_none(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 30, CANNOT_START["missing Secret"])
    deployment = world.objects["Deployment", NAME]
    annotations = deployment["metadata"]["annotations"] | {LET_GO_ANNOTATION: '{"of": 7'}
    world.put(deployment | {"metadata": deployment["metadata"] | {"annotations": annotations}})
    later(world)
    assert replicas(world) == 2


def test_one_event_says_that_the_gpu_is_free(world: World) -> None:
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, TEN + 300, CANNOT_START["missing Secret"])
    assert len([message for reason, message in world.events if "scaled to 0" in message]) == 1


def test_while_one_pod_answers_nothing_is_scaled_down(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    name = serving_pods(world)[0]
    world.objects.pop(("Pod", name))
    pod(world, name, [{"name": "engine", "ready": True, "state": {"running": {}}}], ready=True)
    for _ in range(60):
        later(world)
        world.now += timedelta(seconds=60)
    assert replicas(world) == 2


def test_while_one_pod_is_on_its_way_nothing_is_scaled_down(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    name = serving_pods(world)[0]
    world.objects.pop(("Pod", name))
    pod(world, name, [{"name": "engine", "ready": False, "state": {"running": {}}}])
    for _ in range(20):
        later(world)
        world.now += timedelta(seconds=60)
    assert replicas(world) == 2, "it loads the model"


def test_a_pod_that_waits_for_a_node_beside_a_stuck_one_does_not_keep_its_gpu(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    name = serving_pods(world)[0]
    world.objects.pop(("Pod", name))
    pod(world, name, [], node=False)
    for _ in range(12):
        later(world)
        world.now += timedelta(seconds=60)
    assert replicas(world) == 0, "it would be stuck, too"


def test_a_pod_without_a_node_holds_nothing_and_waits(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    for name in serving_pods(world):
        world.objects.pop(("Pod", name))
    pod(world, f"{NAME}-pod-1", [], node=False)
    deployment = world.objects["Deployment", NAME]
    counts = {"readyReplicas": 0, "availableReplicas": 0}
    world.put(deployment | {"status": deployment["status"] | counts})
    for _ in range(30):
        later(world)
        world.now += timedelta(minutes=5)
    assert replicas(world) == 2


def test_an_engine_that_had_served_and_cannot_any_more_lets_its_gpu_go(world: World) -> None:
    """While the next generation is made, which may take hours."""
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    world.apply_model(NAME, spec_of_one(candidates=[{"gptq": {"bits": 8}}]))
    later(world)
    assert status(world)["stage"] == "Preparing"
    trouble = CANNOT_START["missing Secret"]
    after(world, TEN + 60, trouble)
    assert replicas(world) == 0
    assert "let go" in condition(world, "Available")["message"]
    assert status(world)["lastFailure"]["stage"] == "Serve"
    assert condition(world, "Stalled") is None, "the next generation goes on"
    assert world.step(NAME) is False


def test_a_stalled_job_of_the_next_generation_does_not_keep_the_gpu_of_this_one(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    world.kl = lambda name: 0.9
    world.apply_model(NAME, spec_of_one(candidates=[{"gptq": {"bits": 8}}]))
    world.settle(NAME)
    assert condition(world, "Stalled")["reason"] == "GateFailed"
    after(world, TEN + 60, CANNOT_START["missing Secret"])
    assert replicas(world) == 0
    assert condition(world, "Stalled")["reason"] == "GateFailed"
    assert "let go" in condition(world, "Available")["message"]


def test_what_lost_its_verdict_and_cannot_start_lets_its_gpu_go(world: World) -> None:
    trouble = CANNOT_START["missing Secret"]
    first_rollout(world, trouble)
    (revision,) = world.names("ModelRevision")
    world.put(world.objects["ModelRevision", revision] | {"status": {}})
    world.objects["ModelRevision", revision]["status"] = {}
    for job in world.names("Job"):
        world.objects.pop(("Job", job))
    world.stored.clear()
    for _ in range(12):
        world.step(NAME)
        world.now += timedelta(seconds=60)
    assert ("Deployment", NAME) not in world.objects
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


def test_no_replicas_are_asked_for_and_none_are_let_go(world: World) -> None:
    world.apply_model(NAME, spec_of_one(serving={"replicas": 0}))
    world.settle(NAME)
    later(world, 3 * TEN)
    assert record(world) is None


OLD, NEW = "old111", "new222"
RUNS: list[State] = [{"name": "engine", "ready": True, "state": {"running": {}}}]


def counts(world: World, updated: int, ready: int) -> None:
    deployment = world.objects["Deployment", NAME]
    status = {"replicas": updated + ready, "updatedReplicas": updated, "readyReplicas": ready,
              "availableReplicas": ready, "observedGeneration": deployment["metadata"]["generation"]}  # fmt: skip
    world.put(deployment | {"status": deployment["status"] | status})


@pytest.fixture
def beside(world: World) -> World:
    """Two old pods serve; a new one, of another template, cannot start."""
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    for number in range(2):
        pod(world, f"{NAME}-pod-{number}", RUNS, ready=True, of=OLD)
    world.apply_model(NAME, spec_of_one(serving={"replicas": 2, "pod": {"nodeSelector": {"gpu": "l4"}}}))
    later(world)
    pod(world, f"{NAME}-pod-9", CANNOT_START["missing Secret"], of=NEW)
    counts(world, 1, 2)
    return world


def go_on(world: World, seconds: float) -> None:
    """Time passes; the Deployment's controller sees what was applied."""
    for _ in range(int(seconds // 30)):
        later(world)
        counts(world, int(f"{NAME}-pod-9" in world.names("Pod")), len(serving_pods(world)[:2]))
        later(world)
        world.now += timedelta(seconds=30)


def paused(world: World) -> bool:
    return bool(world.objects["Deployment", NAME]["spec"].get("paused"))


def test_new_pods_that_cannot_start_beside_old_ones_let_their_gpus_go(beside: World) -> None:
    go_on(beside, TEN - 60)
    assert len(serving_pods(beside)) == 3
    go_on(beside, 120)
    assert serving_pods(beside) == [f"{NAME}-pod-0", f"{NAME}-pod-1"], "the old ones serve on"
    assert (replicas(beside), paused(beside)) == (2, True)
    stalled = condition(beside, "Stalled")
    for words in ("old pods serve on", "their GPUs are free", "tried again at"):
        assert words in stalled["message"], words
    assert condition(beside, "Available")["status"] == "True"
    before = dict(beside.objects)
    assert beside.step(NAME) is False
    assert beside.objects == before


def test_old_pods_are_never_stopped_for_new_ones_that_cannot_start(beside: World) -> None:
    """Not even while one of them is away for a while."""
    go_on(beside, TEN + 60)
    beside.objects.pop(("Pod", f"{NAME}-pod-0"))
    beside.objects.pop(("Pod", f"{NAME}-pod-1"))
    pod(beside, f"{NAME}-pod-2", [{"name": "engine", "ready": False, "state": {"running": {}}}], of=OLD)
    counts(beside, 0, 0)
    later(beside, 450)
    assert (replicas(beside), paused(beside)) == (2, True)


def test_the_new_ones_are_tried_again_and_the_pause_ends(beside: World) -> None:
    go_on(beside, TEN + 60)
    go_on(beside, TEN * (1 + JITTER) + 60)
    assert not paused(beside)
    assert replicas(beside) == 2
    for name in serving_pods(beside):
        beside.objects.pop(("Pod", name))
    beside.roll_out(NAME)
    later(beside)
    assert condition(beside, "Ready")["status"] == "True"
    assert record(beside) is None


def test_a_changed_manifest_ends_the_pause_at_once(beside: World) -> None:
    go_on(beside, TEN + 60)
    beside.apply_model(NAME, spec_of_one(serving={"replicas": 2}))
    later(beside)
    assert (paused(beside), record(beside)) == (False, None)


def test_nothing_is_paused_while_the_new_ones_replace_old_ones_that_cannot_start(world: World) -> None:
    """The new ReplicaSet answers, and is not whole yet; what is stuck is the old one."""
    first_rollout(world, CANNOT_START["missing Secret"])
    world.objects.pop(("Pod", serving_pods(world)[0]))
    pod(world, f"{NAME}-pod-9", RUNS, ready=True, of=NEW)
    for _ in range(60):
        counts(world, 1, 1)
        later(world)
        world.now += timedelta(seconds=60)
    assert (paused(world), replicas(world), len(serving_pods(world))) == (False, 2, 2)


def test_when_the_old_ones_cannot_start_any_more_either_all_are_let_go(beside: World) -> None:
    go_on(beside, TEN + 60)
    for name in serving_pods(beside):
        beside.objects.pop(("Pod", name))
        pod(beside, name, CANNOT_START["missing Secret"], of=OLD)
    for _ in range(8):
        counts(beside, 0, 0)
        later(beside)
        beside.now += timedelta(seconds=60)
    assert (paused(beside), replicas(beside)) == (False, 0)
    assert status(beside)["lastFailure"]["attempts"] == 2


def test_pods_of_the_last_manifest_make_room_for_those_of_the_one_that_mends_it(world: World) -> None:
    """They hold the only GPUs, and the new pod fits on no node: neither would ever go on."""
    first_rollout(world, CANNOT_START["missing Secret"])
    after(world, 300, CANNOT_START["missing Secret"])
    world.apply_model(NAME, spec_of_one(serving={"replicas": 2, "pod": {"nodeSelector": {"gpu": "l4"}}}))
    later(world)
    pod(world, f"{NAME}-pod-9", [], node=False, of=NEW)
    counts(world, 1, 0)
    deployment = world.objects["Deployment", NAME]
    world.put(deployment | {"status": deployment["status"] | {"replicas": 3}})
    later(world)
    assert replicas(world) == 0
    assert condition(world, "Stalled") is None, "what is new has not failed"
    after(world, 60, None)
    assert replicas(world) == 2
    assert condition(world, "Ready")["status"] == "True"
    assert record(world) is None
