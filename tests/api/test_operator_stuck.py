"""What Kubernetes' events say about a Job without a pod is in the status, at the cost of one LIST."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.api.actor import now
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
