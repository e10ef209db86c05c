"""Groups that serve: each leader's pod has followers of its own, and what holds one of them up is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_LOST
from lowbit.decide.serving.letgo import PASSING_SECONDS
from lowbit.naming.names import GROUP_LABEL, LEADER_ANNOTATION, followers_name
from lowbit.worker import member
from tests.unit.life import NAME, condition, status
from tests.unit.world import World, job_controller, replica_set, spec_of_one

PROCESS = {"vllm": {"pipelineParallelSize": 2}}
RAY = {"vllm": {"pipelineParallelSize": 2, "executor": "Ray"}}


def grouped(engine: dict[str, Any] = PROCESS, **changes: Any) -> dict[str, Any]:
    return spec_of_one(engine=engine, serving={"replicas": 1}, **changes)


def leader(world: World, name: str, address: str | None, *, ready: bool = False) -> str:
    """A pod of the Deployment's present template; the name of its followers."""
    labels = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    now = f"{world.now:%Y-%m-%dT%H:%M:%SZ}"
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": now},
    ]
    owner = replica_set(NAME)
    known = world.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": owner["name"]}, "spec": {}})
    uid = {"uid": known["metadata"]["uid"]}
    engine = {"name": "engine", "ready": ready, "restartCount": 0, "state": {"running": {}}}
    whole = world.put(
        {
            "apiVersion": "v1", "kind": "Pod", "spec": {},
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner | uid]},
            "status": {
                "phase": "Running", "conditions": conditions, "containerStatuses": [engine],
                **({"podIP": address} if address else {}),
            },
        }
    )  # fmt: skip
    return followers_name(NAME, whole["metadata"]["uid"])


def follower(world: World, group: str, pod_status: dict[str, Any]) -> str:
    """A pod of a StatefulSet."""
    each = world.objects["StatefulSet", group]
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": group, "uid": each["metadata"]["uid"],
             "controller": True}  # fmt: skip
    labels = each["spec"]["template"]["metadata"]["labels"]
    metadata = {"name": f"{group}-1", "labels": labels, "ownerReferences": [owner]}
    world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": pod_status})
    return f"{group}-1"


def step(world: World) -> None:
    for _ in range(4):
        world.step(NAME)
        world.now += timedelta(seconds=1)


def no_rollout(world: World) -> None:
    """Up to the Deployment, none of whose pods answers."""
    world.settle(NAME)
    each = world.objects["Deployment", NAME]
    none = dict.fromkeys(("replicas", "updatedReplicas"), 1) | {"readyReplicas": 0, "availableReplicas": 0}
    world.put(each | {"status": none | {"observedGeneration": each["metadata"]["generation"]}})


def test_followers_are_made_once_the_leader_has_an_address_and_go_with_it(world: World) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    leader(world, "chat-1", None)
    step(world)
    assert not world.names("StatefulSet")
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    assert world.names("StatefulSet") == {group}
    assert world.objects["StatefulSet", group]["metadata"]["annotations"][LEADER_ANNOTATION] == "10.0.0.7"
    world.delete("Pod", "chat-1")
    assert not world.names("StatefulSet")
    other = leader(world, "chat-2", "10.0.0.8")
    step(world)
    assert world.names("StatefulSet") == {other}


def test_every_leader_has_followers_of_its_own(world: World) -> None:
    world.apply_model(NAME, grouped() | {"serving": {"replicas": 2}})
    no_rollout(world)
    groups = {leader(world, f"chat-{number}", f"10.0.0.{number}") for number in (1, 2)}
    step(world)
    assert world.names("StatefulSet") == groups


def test_at_rest_nothing_is_made_again(world: World) -> None:
    world.apply_model(NAME, grouped())
    world.settle(NAME)
    leader(world, "chat-1", "10.0.0.7", ready=True)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    before = len(world.created)
    for _ in range(3):
        assert not world.step(NAME)
    assert len(world.created) == before


def test_followers_that_look_for_a_leader_where_it_is_no_more_are_made_anew(world: World) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    leader(world, "chat-1", "10.0.0.99")
    step(world)
    assert world.objects["StatefulSet", group]["metadata"]["annotations"][LEADER_ANNOTATION] == "10.0.0.99"


def test_one_pod_has_no_followers(world: World) -> None:
    world.apply_model(NAME, spec_of_one(serving={"replicas": 1}))
    no_rollout(world)
    leader(world, "chat-1", "10.0.0.7")
    step(world)
    assert not world.names("StatefulSet")


def test_a_changed_group_is_rolled_out_beside_the_old_one(world: World) -> None:
    world.apply_model(NAME, grouped())
    world.settle(NAME)
    old = leader(world, "chat-1", "10.0.0.7", ready=True)
    world.settle(NAME)
    world.apply_model(NAME, grouped({"vllm": {"pipelineParallelSize": 3}}))
    world.settle(NAME)
    new = leader(world, "chat-2", "10.0.0.8")
    world.settle(NAME)
    assert world.names("StatefulSet") == {old, new}
    sizes = [world.objects["StatefulSet", group]["spec"]["replicas"] for group in (old, new)]
    assert sizes == [1, 2], "the old group is left as it is"


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/3 nodes: Insufficient nvidia.com/gpu"},
    ],
}  # fmt: skip


def test_a_follower_that_fits_on_no_node_is_told_of(world: World) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    pod = follower(world, group, UNSCHEDULABLE)
    step(world)
    assert f"pod {pod} fits on no node" in condition(world, "Ready")["message"]


def test_a_leader_lets_its_gpus_go_where_its_follower_finds_none(world: World) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    follower(world, group, UNSCHEDULABLE)
    step(world)
    assert world.objects["Deployment", NAME]["spec"]["replicas"] == 1
    world.now += timedelta(seconds=PASSING_SECONDS + 60)
    step(world)
    assert world.objects["Deployment", NAME]["spec"]["replicas"] == 0


def ended(code: int) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": "Error", "finishedAt": "2026-01-01T00:00:09Z"}
    engine = {"name": "engine", "ready": False, "restartCount": 1, "state": {"running": {}},
              "lastState": {"terminated": terminated}}  # fmt: skip
    return {"phase": "Running", "conditions": [], "containerStatuses": [engine]}


@pytest.mark.parametrize("culprit", ["leader", "follower"])
def test_the_member_that_failed_is_named_and_not_those_that_went_with_it(world: World, culprit: str) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    codes = {"leader": EXIT_LOST, "follower": EXIT_LOST} | {culprit: 9}
    pod = world.objects["Pod", "chat-1"]
    world.put(pod | {"status": pod["status"] | ended(codes["leader"])})
    name = follower(world, group, ended(codes["follower"]))
    world.log = lambda pod: "RuntimeError: CUDA error"
    step(world)
    failure = status(world)["lastFailure"]
    assert failure["reason"] == "EngineRestarted"
    assert (name if culprit == "follower" else "chat-1") in failure["message"]
    assert failure["exitCode"] == 9


def test_the_member_program_and_the_operator_mean_the_same_exit_code() -> None:
    assert member.EXIT_LOST == EXIT_LOST


def test_a_group_of_ray_gets_one_token_before_its_first_pod_and_never_another(world: World) -> None:
    world.apply_model(NAME, grouped(RAY))
    world.settle(NAME)
    assert len(world.tokens) == 1
    assert world.tokens[0].manifest["metadata"]["name"] == f"{NAME}-group-token"
    assert status(world)["groupToken"] == f"{NAME}-group-token"
    world.apply_model(NAME, grouped(RAY | {"vllm": RAY["vllm"] | {"maxModelLen": 512}}))
    world.settle(NAME)
    assert len(world.tokens) == 1


def test_a_status_that_was_wiped_asks_for_the_token_once_more_which_changes_nothing(world: World) -> None:
    world.apply_model(NAME, grouped(RAY))
    world.settle(NAME)
    model = world.model(NAME)
    world.put(model | {"status": {"observedGeneration": 0}})
    world.settle(NAME)
    assert len(world.tokens) == 2
    assert status(world)["groupToken"] == f"{NAME}-group-token"


def test_processes_need_no_token(world: World) -> None:
    world.apply_model(NAME, grouped())
    world.settle(NAME)
    assert not world.tokens
    assert "groupToken" not in status(world)


def test_an_evaluation_in_a_group_has_names_for_its_pods_before_the_job(world: World) -> None:
    world.apply_model(NAME, grouped())
    world.settle(NAME)
    order = [reference for reference in world.created if reference[0] in ("Service", "NetworkPolicy", "Job")]
    jobs = [name for kind, name in order if kind == "Job" and name.startswith(("eval-", "baseline-"))]
    assert len(jobs) == 2
    for name in jobs:
        assert order.index(("Service", name)) < order.index(("Job", name))
        assert order.index(("NetworkPolicy", name)) < order.index(("Job", name))
        (owner,) = world.objects["Service", name]["metadata"]["ownerReferences"]
        assert owner["kind"] == "ModelEvaluation"


def test_followers_name_their_group(world: World) -> None:
    world.apply_model(NAME, grouped())
    no_rollout(world)
    group = leader(world, "chat-1", "10.0.0.7")
    step(world)
    template = world.objects["StatefulSet", group]["spec"]["template"]
    assert template["metadata"]["labels"][GROUP_LABEL] == group


def test_a_part_of_an_evaluation_that_fits_on_no_node_is_told_of(world: World) -> None:
    world.apply_model(NAME, grouped())
    for _ in range(60):
        world.step(NAME)
        jobs = [name for name in world.names("Job") if name.startswith("baseline-")]
        if jobs:
            break
        world.act()
    (job,) = jobs
    uid = world.objects["Job", job]["metadata"]["uid"]
    for number, found in (("0", {"phase": "Running", "conditions": []}), ("1", UNSCHEDULABLE)):
        labels = {"batch.kubernetes.io/job-name": job, "batch.kubernetes.io/job-completion-index": number}
        metadata = {"name": f"{job}-{number}", "labels": labels, "ownerReferences": [job_controller(job, uid)]}
        world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": found})
    step(world)
    assert f"pod {job}-1 fits on no node" in condition(world, "Ready")["message"]


def test_the_result_of_an_evaluation_is_that_of_its_leader(world: World) -> None:
    """The other pods end by a signal when the Job has succeeded: that says nothing."""
    world.apply_model(NAME, grouped())
    killed = {"name": "worker", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}}

    def others() -> None:
        for job in [name for name in world.names("Job") if name.startswith(("baseline-", "eval-"))]:
            uid = world.objects["Job", job]["metadata"]["uid"]
            labels = {"batch.kubernetes.io/job-name": job, "batch.kubernetes.io/job-completion-index": "1"}
            metadata = {"name": f"{job}-1", "labels": labels, "ownerReferences": [job_controller(job, uid)],
                        "creationTimestamp": "2027-01-01T00:00:00Z"}  # fmt: skip
            status_ = {"phase": "Failed", "containerStatuses": [killed]}
            if ("Pod", f"{job}-1") not in world.objects:
                world.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status_})

    world.settle(NAME, after=others)
    assert condition(world, "Ready")["status"] == "True"
    assert any(name.endswith("-1") for name in world.names("Pod"))


def test_an_old_group_that_serves_until_the_new_one_answers_is_kept_whole(world: World) -> None:
    """Its leader is made anew on another node, while the new revision cannot start."""
    world.apply_model(NAME, grouped())
    world.settle(NAME)
    old = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    world.apply_model(NAME, grouped({"vllm": {"pipelineParallelSize": 3}}))
    no_rollout(world)
    assert world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"] != old
    group = leader(world, "chat-9", "10.0.0.9")
    pod = world.objects["Pod", "chat-9"]
    world.put(pod | {"metadata": pod["metadata"] | {"labels": old}})
    step(world)
    assert world.objects["StatefulSet", group]["spec"]["replicas"] == 1
    assert world.objects["StatefulSet", group]["spec"]["template"]["metadata"]["labels"].items() >= {
        (key, value) for key, value in old.items() if key.endswith("/revision")
    }
