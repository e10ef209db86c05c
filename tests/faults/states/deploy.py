"""Plays the pods of Deployments that cannot start, and holds the operator to letting their GPUs go."""

from __future__ import annotations

from datetime import datetime, timedelta

from lowbit.api.documents import EXIT_REFUSED
from lowbit.naming.names import MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL
from tests.faults.states.cluster import Cluster, Manifest
from tests.unit.world import replica_set

LOOPS = {"waiting": {"reason": "CrashLoopBackOff"}}
REFUSED = {"terminated": {"exitCode": EXIT_REFUSED, "reason": "Error"}}
CANNOT_START: tuple[Manifest, ...] = (
    {"name": "engine", "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no Secret"}}},
    {"name": "fetch", "restartCount": 3, "state": LOOPS, "lastState": REFUSED},
    {"name": "engine", "restartCount": 3, "state": LOOPS, "lastState": {"terminated": {"exitCode": 1}}},
    {"name": "engine", "state": {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: i/o timeout"}}},
    {"name": "guard", "restartCount": 3, "state": LOOPS},
)
LONGEST = timedelta(hours=1)
"""A pod may hold a GPU for this long, and not start."""


def pods_of(cluster: Cluster, name: str) -> list[str]:
    """The pods that stay_stuck() has made for a Deployment."""
    return [pod for pod in sorted(cluster.names("Pod")) if pod.startswith(f"{name}-stuck-")]


def stay_stuck(cluster: Cluster, name: str) -> None:
    """The Deployment has a pod on a node that cannot start, or none if it has no replicas: then a try is over."""
    each = cluster.objects["Deployment", name]
    count, number = each["spec"].get("replicas", 1), each["metadata"]["generation"]
    trouble, tries = cluster.stuck[name]
    present = pods_of(cluster, name)
    # None of its pods answers: beside one that does, those that cannot start keep their GPUs (docs/design/not-yet.md).
    for pod in [pod for pod in sorted(cluster.names("Pod")) if pod.startswith(f"{name}-other-")]:
        cluster.delete("Pod", pod)
    for pod in present if not count else [pod for pod in present if not pod.endswith(f"-{number}")]:
        cluster.delete("Pod", pod)
    if present and not count:
        cluster.stuck[name] = (trouble, tries - 1)
    if count and f"{name}-stuck-{number}" not in present:
        put_stuck(cluster, each, f"{name}-stuck-{number}", CANNOT_START[trouble % len(CANNOT_START)])
    status = {"replicas": count, "updatedReplicas": count, "readyReplicas": 0, "availableReplicas": 0}
    status |= {"observedGeneration": number}
    if {key: each["status"].get(key) for key in status} != status:
        cluster.write(("Deployment", name), each | {"status": each["status"] | status})


def put_stuck(cluster: Cluster, deployment: Manifest, name: str, container: Manifest) -> None:
    """A pod of the Deployment's template, on a node, since now."""
    now = f"{cluster.now:%Y-%m-%dT%H:%M:%SZ}"
    owner = deployment["metadata"]["name"]
    labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
    metadata = {"name": name, "labels": labels | {MODEL_LABEL: owner, MANAGED_BY_LABEL: MANAGED_BY}}
    # The uid of what is there: it goes with the Deployment.
    metadata["ownerReferences"] = [replica_set(owner) | {"uid": deployment["metadata"]["uid"]}]
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
        {"type": "Ready", "status": "False", "lastTransitionTime": now},
    ]
    begun = container["name"] == "engine" and "restartCount" in container
    status = {"phase": "Running" if begun else "Pending", "conditions": conditions, "containerStatuses": [container]}
    cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def held_for_long(cluster: Cluster, name: str) -> list[str]:
    """Pods of a Deployment that have held a GPU for longer than LONGEST, by times that can be read."""
    found = []
    for pod in pods_of(cluster, name):
        conditions = cluster.objects["Pod", pod]["status"].get("conditions") or ()
        times = [
            one["lastTransitionTime"]
            for one in conditions
            if len(one["lastTransitionTime"]) == len("2026-01-01T00:00:00Z")
        ]
        since = max((datetime.fromisoformat(each) for each in times), default=cluster.now)
        if len(times) == 2 and cluster.now - since > LONGEST:
            found.append(pod)
    return found
