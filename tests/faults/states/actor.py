"""Plays Jobs, pods and Deployments while the operator rests: they succeed, or fail in any of the known ways."""

from __future__ import annotations

from typing import Any

from lowbit.api.documents import EXIT_CRASHED, EXIT_ENGINE, EXIT_LATER, EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.desired.jobs.job import EXIT_KILLED
from tests.faults.states import deploy
from tests.faults.states.cluster import Cluster

OUTCOMES = (
    "finish", "kill", "exhaust", "refuse", "engine", "garble", "empty", "no_pod", "deadline", "odd_refusal", "fetch",
    "later", "crash", "untold", "other_stage", "backoff", "engine_memory",
)  # fmt: skip
MESSAGES = (
    "",
    "{",
    "null",
    "[]",
    '{"quantize": {}}',
    '{"packed": "!"}',
    "Traceback: no",
    '{"refusal": {"reason": ""}}',
)


def finished(job: dict[str, Any]) -> bool:
    """Whether a Job is Complete or Failed."""
    conditions = job["status"].get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def act(cluster: Cluster) -> bool:
    """End every Job, roll out Deployments, remove finalizers, collect garbage. Returns whether there was any to do."""
    before = next(cluster.versions)
    cluster.collect()
    for (kind, name), each in list(cluster.objects.items()):
        if cluster.objects.get((kind, name)) is not each or each["metadata"]["uid"] in cluster.foreign:
            continue
        if each["metadata"].get("deletionTimestamp"):
            if not cluster.held:
                release(cluster, kind, name)
        elif kind == "Job" and not finished(each):
            end(cluster, name, cluster.outcomes.pop(0) if cluster.outcomes else "finish")
        elif kind == "Deployment" and cluster.stuck.get(name, (0, 0))[1] > 0:
            deploy.stay_stuck(cluster, name)
        elif kind == "Deployment" and not rolled_out(each):
            cluster.roll_out(name)
    after: int = next(cluster.versions)
    return bool(after > before + 1)


def release(cluster: Cluster, kind: str, name: str) -> None:
    """Whoever holds an object lets it go."""
    each = cluster.objects[kind, name]
    metadata = {key: value for key, value in each["metadata"].items() if key != "finalizers"}
    cluster.objects[kind, name] = each | {"metadata": metadata}
    cluster.delete(kind, name)


def rolled_out(deployment: dict[str, Any]) -> bool:
    """Whether its controller has nothing to do."""
    status, count = deployment["status"], deployment["spec"].get("replicas", 1)
    counts = [status.get(key) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    current: bool = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return current and bool(counts == [count] * 4)


def end(cluster: Cluster, name: str, outcome: str, choice: int = 0) -> None:
    """One Job ends, in one of OUTCOMES."""
    bad = TerminationMessage(refusal=Refusal(reason="BadData", message="it is bad.", action="Mend it."))
    odd = TerminationMessage(refusal=Refusal(reason="", message="", action=""))
    match outcome:
        case "kill":
            cluster.finish_job(name, TerminationMessage(), code=EXIT_KILLED)
        case "exhaust":
            cluster.finish_job(name, TerminationMessage(), code=EXIT_KILLED, reason="OOMKilled")
        case "refuse":
            cluster.finish_job(name, bad, code=EXIT_REFUSED)
        case "later":
            busy = Refusal(reason="Throttled", message="it is busy.", action="Wait.", retry_after=60)
            cluster.finish_job(name, TerminationMessage(refusal=busy), code=EXIT_LATER)
        case "crash":
            cluster.finish_job(name, bad, code=EXIT_CRASHED)
        case "odd_refusal":
            cluster.finish_job(name, odd, code=EXIT_REFUSED)
        case "engine":
            cluster.finish_job(name, bad, code=EXIT_ENGINE, failure="BackoffLimitExceeded")
        case "backoff":
            cluster.finish_job(name, TerminationMessage(), code=1, failure="BackoffLimitExceeded")
        case "deadline":
            cluster.finish_job(name, TerminationMessage(), code=143, failure="DeadlineExceeded")
            cluster.objects.pop(("Pod", name), None)
        case "empty":
            cluster.finish_job(name, TerminationMessage())
        case "other_stage":
            cluster.finish_job(name, cluster.result("prepare", name))
        case "garble" | "untold" | "fetch" | "engine_memory":
            cluster.finish_job(name, TerminationMessage(), code=0 if outcome == "garble" else EXIT_KILLED)
            spoil(cluster, name, outcome, choice)
        case "no_pod":
            cluster.finish_job(name)
            cluster.objects.pop(("Pod", name), None)
        case _:
            cluster.finish_job(name)


def spoil(cluster: Cluster, name: str, outcome: str, choice: int) -> None:
    """What the kubelet says of the pod is of little use."""
    pod = cluster.objects["Pod", name]
    ended: dict[str, Any] = {"exitCode": 0, "reason": "Completed", "message": MESSAGES[choice % len(MESSAGES)]}
    status: dict[str, Any] = {"phase": "Succeeded"}
    if outcome == "garble":
        status["containerStatuses"] = [{"name": "worker", "state": {"terminated": ended}}]
    elif outcome == "untold":
        status = {"phase": "Failed", "reason": "NodeLost"}
    elif outcome == "engine_memory":
        memory = {"exitCode": EXIT_KILLED, "reason": "OOMKilled"}
        status = {"phase": "Failed", "initContainerStatuses": [{"name": "engine", "lastState": {"terminated": memory}}]}
    else:
        failed = {"exitCode": EXIT_REFUSED, "reason": "Error", "message": MESSAGES[choice % len(MESSAGES)]}
        status = {"phase": "Failed", "initContainerStatuses": [{"name": "fetch", "state": {"terminated": failed}}]}
    cluster.write(("Pod", name), pod | {"status": status})
