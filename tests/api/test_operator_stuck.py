"""What Kubernetes' events say about a Job without a pod is in the status, at the cost of one LIST; serving pods that
cannot start let their GPUs go.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lowbit.naming.names import LET_GO_ANNOTATION
from tests.api.actor import NODE, Actor, now
from tests.api.calls import AuditLog, Call
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, quantized_model, wait_for

LONG_AGO = "2026-01-01T00:00:00Z"
WORDS = 'pods "chat-prepare-x7k2p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9'


def stuck(cluster: Cluster, job: dict[str, Any]) -> None:
    """The Job's controller has tried for long, and was refused."""
    metadata = job["metadata"]
    space, name = metadata["namespace"], metadata["name"]
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.1", "namespace": space},
        "involvedObject": {"apiVersion": "batch/v1", "kind": "Job", "namespace": space, "name": name,
                           "uid": metadata["uid"]},
        "type": "Warning", "reason": "FailedCreate", "message": f"Error creating: {WORDS}", "count": 7,
        "firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": "job-controller"},
    }  # fmt: skip
    cluster.client("POST", f"/api/v1/namespaces/{space}/events", event)  # in the API that controllers still use
    cluster.patch("Job", space, name, {"status": {"startTime": LONG_AGO, "active": 0}}, "/status")


def said(cluster: Cluster, space: str, name: str) -> str:
    """Reason and message of the Ready condition."""
    status = (cluster.get("QuantizedModel", space, name) or {}).get("status", {})
    ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
    return " ".join(f"{each['reason']} {each['message']}" for each in ready)


def events_listed(audit: AuditLog, installation: Installation, begin: int, space: str) -> list[Call]:
    """LISTs of events in a namespace; other tests have left what is stuck in others."""
    calls = audit.calls(installation.user, begin)
    return [call for call in calls if call.resource == "events" and call.lists and call.namespace == space]


def test_a_job_without_a_pod_is_told_of_in_kubernetes_words(
    cluster: Cluster, space: str, start: StartOperator, installation: Installation, audit: AuditLog
) -> None:
    start()
    begin = audit.mark()
    cluster.apply(quantized_model(space, "chat"))
    (job,) = wait_for("its Job is there", partial(cluster.list, "Job", space))
    wait_for("it is told of", lambda: "Preparing" in said(cluster, space, "chat"))
    assert events_listed(audit, installation, begin, space) == [], "nothing is asked of what is not stuck"
    stuck(cluster, job)
    wait_for("the quota is named", lambda: "QuotaExceeded" in said(cluster, space, "chat"))
    assert "requested: pods=1, used: pods=9, limited: pods=9" in said(cluster, space, "chat")
    lists = events_listed(audit, installation, begin, space)
    assert lists
    assert {job["metadata"]["uid"] in call.path for call in lists} == {True}, "the API server filters"


def deployment_of(cluster: Cluster, space: str, name: str) -> dict[str, Any]:
    found = cluster.get("Deployment", space, name)
    assert found is not None
    return found


def replica_set(cluster: Cluster, space: str, name: str, hash_: str) -> dict[str, Any]:
    """A ReplicaSet of the Deployment, as its controller would have made it."""
    deployment = deployment_of(cluster, space, name)
    template, labels = deployment["spec"]["template"], {"pod-template-hash": hash_}
    metadata = template["metadata"] | {"labels": template["metadata"]["labels"] | labels}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True,
             "uid": deployment["metadata"]["uid"]}  # fmt: skip
    cluster.apply(
        {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": f"{name}-{hash_}", "namespace": space, "labels": metadata["labels"],
                         "ownerReferences": [owner]},
            "spec": {"replicas": 1, "selector": {"matchLabels": metadata["labels"]},
                     "template": template | {"metadata": metadata}},
        }
    )  # fmt: skip
    made = cluster.get("ReplicaSet", space, f"{name}-{hash_}")
    assert made is not None
    return made


def serving_pod(cluster: Cluster, of: dict[str, Any], number: int, *, ready: bool) -> None:
    """A pod of a ReplicaSet, on a node for long: it answers, or a Secret is missing."""
    metadata, template = of["metadata"], of["spec"]["template"]
    space, name = metadata["namespace"], f"{metadata['name']}-{number}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": metadata["name"], "uid": metadata["uid"],
             "controller": True}  # fmt: skip
    pod = {"name": name, "namespace": space, "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    spec = template["spec"] | {"nodeName": NODE}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": spec})
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": LONG_AGO},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": LONG_AGO},
    ]
    missing = {"reason": "CreateContainerConfigError", "message": 'secret "key" not found'}
    state: dict[str, Any] = {"running": {"startedAt": now()}} if ready else {"waiting": missing}
    engine = {"name": "engine", "image": "image", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
    status = {"phase": "Running" if ready else "Pending", "conditions": conditions, "containerStatuses": [engine]}
    cluster.patch("Pod", space, name, {"status": status}, "/status")


def counts(cluster: Cluster, space: str, name: str, *, updated: int, ready: int) -> None:
    """What the Deployment's controller says: it has seen the latest."""
    generation = deployment_of(cluster, space, name)["metadata"]["generation"]
    status = {"replicas": updated + ready, "updatedReplicas": updated, "readyReplicas": ready,
              "availableReplicas": ready, "observedGeneration": generation}  # fmt: skip
    cluster.patch("Deployment", space, name, {"status": status}, "/status")


def is_served(cluster: Cluster, space: str, name: str) -> bool:
    return cluster.conditions(space, name).get("Ready") == "True"


def serving(cluster: Cluster, space: str, name: str) -> Actor:
    """A model with one replica is served."""
    model = quantized_model(space, name)
    model["spec"]["serving"] = {"replicas": 1}
    cluster.apply(model)
    actor = Actor(cluster, space)
    actor.until("it is served", partial(is_served, cluster, space, name))
    return actor


def asked_for(cluster: Cluster, space: str, replica_set: str) -> int:
    """Replicas that a ReplicaSet is to have."""
    return int((cluster.get("ReplicaSet", space, replica_set) or {})["spec"]["replicas"])


def new_pod_cannot_start(cluster: Cluster, space: str, name: str) -> None:
    """Old pods serve, a new one cannot start: Lowbit takes the new one away, and the old ones serve on."""
    replicas = deployment_of(cluster, space, name)["spec"]["replicas"]
    old, new = (replica_set(cluster, space, name, hash_) for hash_ in ("old111", "new222"))
    for number in range(replicas):
        serving_pod(cluster, old, number, ready=True)
    serving_pod(cluster, new, 9, ready=False)
    wait_for("it is paused", lambda: deployment_of(cluster, space, name)["spec"].get("paused"))
    assert asked_for(cluster, space, f"{name}-new222") == 1, "not before the controller knows of the pause"
    counts(cluster, space, name, updated=1, ready=replicas)
    wait_for("the new pod goes", lambda: asked_for(cluster, space, f"{name}-new222") == 0)
    cluster.delete("Pod", space, f"{name}-new222-9")


def test_a_serving_pod_that_cannot_start_lets_its_gpu_go_and_a_new_operator_knows_it(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    first = start()
    serving(cluster, space, "chat")
    serving_pod(cluster, replica_set(cluster, space, "chat", "new222"), 1, ready=False)
    counts(cluster, space, "chat", updated=1, ready=0)
    wait_for("its GPU is free", lambda: deployment_of(cluster, space, "chat")["spec"]["replicas"] == 0)
    wait_for("it is told", lambda: "scaled to 0" in said(cluster, space, "chat"))
    assert cluster.conditions(space, "chat").get("Stalled") == "True"
    cluster.delete("Pod", space, "chat-new222-1")
    counts(cluster, space, "chat", updated=0, ready=0)

    first.kill()
    second = start("another")
    wait_for("it leads", lambda: second.metric("lowbit_leader") == 1)
    told = (cluster.get("QuantizedModel", space, "chat") or {})["status"]
    cluster.patch("QuantizedModel", space, "chat", {"metadata": {"annotations": {"nudge": "1"}}})
    wait_for("it has looked", lambda: second.metric("lowbit_queue_depth") == 0)
    assert deployment_of(cluster, space, "chat")["spec"]["replicas"] == 0
    assert (cluster.get("QuantizedModel", space, "chat") or {})["status"]["lastFailure"] == told["lastFailure"]

    changed = {"spec": {"serving": {"pod": {"nodeSelector": {"gpu": "l4"}}}}}
    cluster.patch("QuantizedModel", space, "chat", changed)
    wait_for("it is tried at once", lambda: deployment_of(cluster, space, "chat")["spec"]["replicas"] == 1)
    annotations = deployment_of(cluster, space, "chat")["metadata"].get("annotations", {})
    assert LET_GO_ANNOTATION not in annotations, "an apply takes away what it had declared"


def test_a_new_pod_that_cannot_start_goes_and_the_old_one_serves_on(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    start()
    serving(cluster, space, "chat")
    new_pod_cannot_start(cluster, space, "chat")
    deployment = deployment_of(cluster, space, "chat")
    assert (deployment["spec"]["replicas"], deployment["spec"]["paused"]) == (1, True)
    assert asked_for(cluster, space, "chat-old111") == 1
    wait_for("it is told", lambda: "The old pods serve on" in said(cluster, space, "chat"))
    assert cluster.conditions(space, "chat").get("Available") == "True"

    cluster.patch("QuantizedModel", space, "chat", {"spec": {"serving": {"pod": {"nodeSelector": {"gpu": "l4"}}}}})
    wait_for("the pause ends", lambda: not deployment_of(cluster, space, "chat")["spec"].get("paused"))
