"""The chart's roles and the calls that the operator makes: each right is used, and none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from lowbit.naming.names import LEADER_ANNOTATION
from tests.api import monitors
from tests.api.actor import Actor, Kubelet
from tests.api.calls import AuditLog, Call
from tests.api.chart import Permission, of_kind, permissions
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, model_store, quantized_model, wait_for
from tests.api.test_operator_stuck import new_pod_cannot_start, replica_set, said, serving_pod, stuck

APPLIED = 201
"""HTTP status of an apply that made the object: it needs the right to create as well."""


@pytest.fixture
def pod_monitors(cluster: Cluster) -> Iterator[None]:
    """The cluster knows the kind for one test."""
    monitors.install(cluster)
    yield
    monitors.remove(cluster)


def used(calls: list[Call]) -> set[Permission]:
    """The rights that calls have needed."""
    found = {(call.group, call.resource, call.verb) for call in calls if call.resource}
    return found | {
        (call.group, call.resource, "create") for call in calls if call.verb == "patch" and call.code == APPLIED
    }


def after_a_race(rights: set[Permission]) -> set[Permission]:
    """What is looked at again: an object whose create finds another one, or whose precondition does not hold.

    tests/api/test_operator_effects.py shows that it is; to lose each of these races here would take luck.
    """
    creates = {
        ("lowbit.dev", "modelrevisions"),
        ("lowbit.dev", "modelevaluations"),
        ("batch", "jobs"),
        ("", "configmaps"),
    }
    guarded = {(group, resource) for group, resource, verb in rights if verb in ("delete", "update")}
    whole = {(group, resource.removesuffix("/status")) for group, resource in guarded | (creates & _created(rights))}
    return {(group, resource, "get") for group, resource in whole if resource != "leases"}


def in_pages(rights: set[Permission]) -> set[Permission]:
    """What is asked of an API server that streams no LISTs, and of each after a watch that cannot go on.

    tests/api/test_lists.py shows the first; the rig's views the second, with every right there is.
    """
    return {(group, resource, "list") for group, resource, verb in rights if verb == "watch"}


def _created(rights: set[Permission]) -> set[tuple[str, str]]:
    return {(group, resource) for group, resource, verb in rights if verb == "create"}


def with_bits(model: dict[str, Any], *bits: int) -> dict[str, Any]:
    spec = model["spec"] | {"candidates": [{"gptq": {"bits": each}} for each in bits]}
    return model | {"spec": spec}


def served(space: str, name: str) -> dict[str, Any]:
    model = quantized_model(space, name)
    model["spec"]["serving"] = {"replicas": 2}
    return model


def live(cluster: Cluster, space: str, actor: Actor, kubelet: Kubelet) -> None:
    """Two models share what they can, change their minds at every stage, are served, and are served no more."""
    change_minds(cluster, space, actor, kubelet, "quantize-", (4, 8))
    change_minds(cluster, space, actor, kubelet, "eval-", (8, 4))
    actor.held = lambda job: False
    for name in ("first", "second"):
        actor.until(f"{name} is served", partial(is_ready, cluster, space, name))
    new_pod_cannot_start(cluster, space, "second")
    cluster.patch("QuantizedModel", space, "first", {"spec": {"serving": None}})
    actor.until("it is served no more", lambda: names(cluster, "Deployment", space) == {"second"})
    actor.until("its guard is gone", lambda: all(n.startswith("second-") for n in names(cluster, "ConfigMap", space)))


def lead_a_group(cluster: Cluster, space: str, actor: Actor) -> None:
    """A model that Ray holds together has a token, and followers who look for their leader where it is."""
    model = quantized_model(space, "third")
    engine = {"vllm": {"pipelineParallelSize": 2, "executor": "Ray"}}
    cluster.apply(model | {"spec": model["spec"] | {"engine": engine, "serving": {"replicas": 1}}})
    actor.until("the group is served", partial(is_ready, cluster, space, "third"))
    serving_pod(cluster, replica_set(cluster, space, "third", "old111"), 1, ready=True)
    for address in ("10.0.0.7", "10.0.0.8"):
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        cluster.patch("Pod", space, "third-old111-1", {"status": status}, "/status")
        wait_for(f"it has followers at {address}", partial(followed_at, cluster, space, address))


def followed_at(cluster: Cluster, space: str, address: str) -> bool:
    """Whether the only StatefulSet looks for its leader there."""
    return [each["metadata"]["annotations"][LEADER_ANNOTATION] for each in cluster.list("StatefulSet", space)] == [
        address
    ]


def change_minds(
    cluster: Cluster, space: str, actor: Actor, kubelet: Kubelet, prefix: str, bits: tuple[int, int]
) -> None:
    """Both want the same Job; while it runs, one after the other leaves it: the last one takes it away."""
    actor.held = lambda job: job.startswith(prefix)
    for name in ("first", "second"):
        cluster.apply(with_bits(served(space, name), *bits))
    job = actor.until(f"both share a Job {prefix}", partial(shared_job, cluster, space, prefix))
    if prefix == "quantize-" and not asked_for_events(cluster, space):
        stuck(cluster, job)
        wait_for("its events are read", lambda: asked_for_events(cluster, space))
    pod = actor.run(job)
    wait_for("its log is read", lambda: any(f"/{pod}/" in path for path in kubelet.asked))
    for name in ("second", "first"):
        cluster.apply(with_bits(served(space, name), bits[1]))
    actor.until("it is cancelled", lambda: job["metadata"]["name"] not in names(cluster, "Job", space))


def asked_for_events(cluster: Cluster, space: str) -> bool:
    return any("QuotaExceeded" in said(cluster, space, name) for name in ("first", "second"))


def is_ready(cluster: Cluster, space: str, name: str) -> bool:
    return cluster.conditions(space, name).get("Ready") == "True"


def shared_job(cluster: Cluster, space: str, prefix: str) -> dict[str, Any] | None:
    """A Job of that stage which both models wait for."""
    for job in cluster.list("Job", space):
        owners = {owner["name"] for owner in job["metadata"]["ownerReferences"]}
        if job["metadata"]["name"].startswith(prefix) and owners == {"first", "second"}:
            return job
    return None


def names(cluster: Cluster, kind: str, space: str) -> set[str]:
    return {each["metadata"]["name"] for each in cluster.list(kind, space)}


def lose_a_claim_twice(cluster: Cluster, space: str) -> None:
    """A store's claim comes and goes: the same event is sent twice."""
    store = model_store(space) | {"spec": {"pvc": {"claimName": "archive"}}}
    store["metadata"] = {"name": "archive", "namespace": space}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "archive", "namespace": space},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }

    def settle(reason: str) -> None:
        cluster.patch("ModelStore", space, "archive", {"metadata": {"annotations": {"nudge": reason}}})
        wait_for(f"the store is {reason}", lambda: store_reason(cluster, space) == reason)

    cluster.apply(store)
    settle("ClaimNotFound")
    cluster.apply(claim)
    settle("Ready")
    cluster.delete("PersistentVolumeClaim", space, "archive")
    cluster.patch("PersistentVolumeClaim", space, "archive", {"metadata": {"finalizers": None}})
    settle("ClaimNotFound")


def store_reason(cluster: Cluster, space: str) -> str | None:
    status = (cluster.get("ModelStore", space, "archive") or {}).get("status", {})
    return next((each["reason"] for each in status.get("conditions", ())), None)


@pytest.mark.usefixtures("pod_monitors")
def test_every_right_is_used_and_none_is_missing(
    cluster: Cluster, space: str, start: StartOperator, installation: Installation, audit: AuditLog
) -> None:
    if cluster.get("Lease", installation.namespace, "lowbit"):
        cluster.delete("Lease", installation.namespace, "lowbit")
    begin = audit.mark()
    start()
    with Kubelet(cluster) as kubelet:
        live(cluster, space, Actor(cluster, space), kubelet)
        lead_a_group(cluster, space, Actor(cluster, space))
    lose_a_claim_twice(cluster, space)
    repeated = "an event is counted instead of sent again"
    wait_for(repeated, lambda: any(event.get("series") for event in cluster.list("Event", space)))

    calls = audit.calls(installation.user, begin)
    needed = used(calls)
    granted = permissions([role for role in of_kind(installation.manifests, "ClusterRole", "Role") if bound(role)])
    at_times = after_a_race(needed) | in_pages(needed)
    assert granted - needed - at_times == set(), "rights that nothing needs"
    assert (needed | at_times) - granted == set(), "rights that are missing"
    assert audit.refused(installation.user, begin) == []


def bound(role: dict[str, Any]) -> bool:
    """The operator's, not those that the cluster's view, edit and admin take up."""
    return not any("aggregate-to" in label for label in role["metadata"]["labels"])


def test_no_secret_is_ever_read_and_no_program_is_run_in_a_pod(installation: Installation, audit: AuditLog) -> None:
    granted = permissions([role for role in of_kind(installation.manifests, "ClusterRole", "Role") if bound(role)])
    token = {("", "secrets", "create")}
    assert {right for right in granted if right[1] == "secrets"} == token
    made = [call for call in audit.calls(installation.user) if call.resource == "secrets"]
    assert {(call.group, call.resource, call.verb) for call in made} <= token, "nor read after it was made"
    granted -= token
    forbidden = ("pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers")
    assert not [right for right in granted if right[1].startswith(forbidden) or "*" in right]
    assert not [call.told for call in audit.calls(installation.user) if call.resource.startswith(forbidden)]
