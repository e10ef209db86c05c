"""Views: from the dicts that the API server sends to the types that decide reads. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from lowbit.api.documents import ProgressLine
from lowbit.api.enginelog import error_in, kernels_in, last_lines
from lowbit.api.logged import LoggedResult, join
from lowbit.api.termination import TerminationMessage
from lowbit.naming.names import REVISION_LABEL
from lowbit.observe.readings import Readings
from lowbit.state.snapshot import (
    ContainerState,
    DeploymentView,
    EngineLog,
    JobView,
    Metadata,
    Owner,
    PodView,
    ResultRead,
)

JobState = Literal["Pending", "Running", "Succeeded", "Failed"]
WORKERS = ("worker", "fetch")
"""Containers that leave a termination message, the one that counts most first."""
MEASURED = ("worker", "engine", "fetch")
"""Containers whose running out of memory is the Job's."""


def metadata_of(manifest: Mapping[str, Any]) -> Metadata:
    """The metadata that is read."""
    metadata = manifest["metadata"]
    return Metadata(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        generation=metadata.get("generation", 0),
        creation_timestamp=metadata.get("creationTimestamp") or "",
        deleting=metadata.get("deletionTimestamp") is not None,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        owners=tuple(
            Owner(owner["kind"], owner["name"], owner["uid"], bool(owner.get("controller")))
            for owner in metadata.get("ownerReferences") or ()
        ),
    )


def pod_view(manifest: Mapping[str, Any], engine_log: EngineLog | None = None) -> PodView:
    """A pod as decide sees it, with what was read of its engine's log."""
    status = manifest.get("status") or {}
    conditions = _conditions(status)
    scheduled = conditions.get("PodScheduled", {})
    waits = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return PodView(
        meta=metadata_of(manifest),
        phase=status.get("phase", "Unknown"),
        containers=tuple(_container(each) for each in _container_statuses(status)),
        ready=_holds(conditions, "Ready"),
        reason=status.get("reason"),
        unschedulable=scheduled.get("message") or "no node fits" if waits else None,
        disrupted=_holds(conditions, "DisruptionTarget"),
        engine_log=engine_log,
    )


def deployment_view(manifest: Mapping[str, Any]) -> DeploymentView:
    """The serving Deployment as decide sees it."""
    status = manifest.get("status") or {}
    progressing = _conditions(status).get("Progressing", {})
    template = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    return DeploymentView(
        meta=metadata_of(manifest),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        observed_generation=status.get("observedGeneration", 0),
        revision=(template.get("labels") or {}).get(REVISION_LABEL),
        stalled=progressing.get("message", "it makes no progress") if progressing.get("status") == "False" else None,
    )


def job_view(manifest: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], readings: Readings) -> JobView:
    """A Job with its pods, what its worker left behind, and what was read of their logs.

    pods: those that name it in their labels. Only those that it controls, by its uid, are its own: a label can be put
    on any pod, and a former Job of that name may have left some.
    """
    status = manifest.get("status") or {}
    conditions = _conditions(status)
    uid = str(manifest["metadata"].get("uid", ""))
    pods = [pod for pod in pods if is_controlled_by(uid, pod)]
    newest = sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", _name(pod)), reverse=True)
    failed = conditions.get("Failed", {}) if _holds(conditions, "Failed") else {}
    finished_pod = next((pod for pod in newest if _finished(pod)), None)
    last = _last_termination(finished_pod) if finished_pod is not None else None
    message = parse_termination(last.get("message")) if last else None
    meta = metadata_of(manifest)
    line, read_at = readings.progress.get((meta.namespace, meta.name), (None, None))
    names = [_name(pod) for pod in newest]
    engine_logs = readings.engines_of(meta.namespace, names)
    read = readings.results_of(meta.namespace, names).get(_name(finished_pod)) if finished_pod is not None else None
    if read is not None and (message is None or message.logged is None or message.logged.digest != read.digest):
        read = None
    if read is not None and read.message is not None:
        message = read.message
    return JobView(
        meta=meta,
        state=_job_state(status, conditions, newest),
        expires=(manifest.get("spec") or {}).get("ttlSecondsAfterFinished") is not None,
        failure_reason=failed.get("reason"),
        failure_message=failed.get("message"),
        started=status.get("startTime"),
        finished=status.get("completionTime") or failed.get("lastTransitionTime"),
        failed_pods=status.get("failed", 0),
        pods=tuple(pod_view(pod, engine_logs.get(_name(pod))) for pod in newest),
        termination=message,
        finished_pod=_name(finished_pod) if finished_pod is not None else None,
        result_unread=read.unread if read is not None else None,
        exit_code=last.get("exitCode") if last else None,
        out_of_memory=_ran_out_of_memory(finished_pod, message) if finished_pod is not None else None,
        engine_image_ids=_engine_images(newest),
        progress=line,
        progress_read_at=read_at,
    )


def is_controlled_by(uid: str, manifest: Mapping[str, Any]) -> bool:
    """Whether the object of that uid is the controller."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def parse_termination(text: str | None) -> TerminationMessage | None:
    """What a worker wrote, or None when it is not what a worker writes (cut off, or the log of a crash)."""
    if not text:
        return None
    try:
        return TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None


def last_progress(log: str) -> ProgressLine | None:
    """The last progress line in a piece of a log; other lines are for people."""
    for line in reversed(log.splitlines()):
        if not line.startswith("{"):
            continue
        try:
            return ProgressLine.model_validate_json(line)
        except ValidationError:
            continue
    return None


def read_engine_log(log: str, ends: int) -> EngineLog:
    """What the log of an engine that has ended so often says."""
    return EngineLog(ends, error_in(log), tuple(kernels_in(log)), last_lines(log))


def read_result(log: str, logged: LoggedResult) -> ResultRead:
    """The result in a worker's log."""
    try:
        message = TerminationMessage.model_validate_json(join(log, logged))
        if message.logged is not None:
            return ResultRead(logged.digest, unread="the log holds no result, but names another one")
        return ResultRead(logged.digest, message)
    except ValueError as error:
        return ResultRead(logged.digest, unread=str(error))


def _job_state(status: Mapping[str, Any], conditions: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> JobState:
    if _holds(conditions, "Complete"):
        return "Succeeded"
    if _holds(conditions, "Failed"):
        return "Failed"
    running = any((pod.get("status") or {}).get("phase") == "Running" for pod in pods)
    return "Running" if running or status.get("ready", 0) > 0 else "Pending"


def _finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended, or its worker has (a sidecar may live on for some seconds)."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    return any(each["name"] == "worker" and _terminated(each) is not None for each in _container_statuses(status))


def _last_termination(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The worker's termination; where the worker never ran, that of the init container that failed before it."""
    by_name = {each["name"]: each for each in _container_statuses(pod.get("status") or {})}
    for name in WORKERS:
        if name in by_name and (terminated := _terminated(by_name[name])) is not None:
            return terminated
    return None


def _ran_out_of_memory(pod: Mapping[str, Any], message: TerminationMessage | None) -> str | None:
    killed = {
        each["name"]
        for each in _container_statuses(pod.get("status") or {})
        for state in ("state", "lastState")
        if (each.get(state) or {}).get("terminated", {}).get("reason") == "OOMKilled"
    }
    if message is not None and message.refusal is not None and message.refusal.reason == "OutOfMemory":
        killed.add("worker")  # it got as far as to say so
    return next((name for name in MEASURED if name in killed), None)


def _engine_images(pods: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    images = (
        each.get("imageID")
        for pod in pods
        for each in _container_statuses(pod.get("status") or {})
        if each["name"] == "engine"
    )
    return tuple(dict.fromkeys(image for image in images if image))


def _container(status: Mapping[str, Any]) -> ContainerState:
    terminated = _terminated(status) or {}
    waiting = (status.get("state") or {}).get("waiting") or {}
    return ContainerState(
        name=status["name"],
        running="running" in (status.get("state") or {}),
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount", 0),
        exit_code=terminated.get("exitCode"),
        reason=waiting.get("reason") or terminated.get("reason"),
        # In a crash loop the container's own last words say more than "back-off 5m0s restarting".
        message=terminated.get("message") or waiting.get("message"),
        image_id=status.get("imageID") or None,
        terminated_reason=terminated.get("reason"),
        lived_seconds=_seconds_between(terminated.get("startedAt"), terminated.get("finishedAt")),
    )


def _seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds between two RFC 3339 times; None where one is missing or cannot be read."""
    try:
        return (datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()
    except (ValueError, TypeError):
        return None


def _terminated(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The current termination, else the previous one."""
    for state in ("state", "lastState"):
        terminated: Mapping[str, Any] | None = (status.get(state) or {}).get("terminated")
        if terminated is not None:
            return terminated
    return None


def _container_statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["type"]: each for each in status.get("conditions") or ()}


def _holds(conditions: Mapping[str, Mapping[str, Any]], type_: str) -> bool:
    return conditions.get(type_, {}).get("status") == "True"


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["name"])
