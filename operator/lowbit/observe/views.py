"""Views: from the dicts that the API server sends to the types that decide reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from lowbit.api.documents import ProgressLine
from lowbit.api.enginelog import error_in, kernels_in, last_lines
from lowbit.api.logged import LoggedResult, join
from lowbit.api.termination import TerminationMessage
from lowbit.naming.names import REVISION_LABEL
from lowbit.observe.fields import conditions_of, container_statuses, holds, termination
from lowbit.state.snapshot import (
    ContainerState,
    DeploymentView,
    EngineLog,
    EngineStart,
    EventsRead,
    Metadata,
    Owner,
    PodView,
    ResultRead,
)


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


def pod_view(
    manifest: Mapping[str, Any],
    engine_log: EngineLog | None = None,
    events: EventsRead | None = None,
    start: EngineStart | None = None,
) -> PodView:
    """A pod as decide sees it, with what was read of its engine's log and start, and of its events."""
    status = manifest.get("status") or {}
    conditions = conditions_of(status)
    scheduled = conditions.get("PodScheduled", {})
    waits = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return PodView(
        meta=metadata_of(manifest),
        phase=status.get("phase", "Unknown"),
        containers=tuple(_container(each) for each in container_statuses(status)),
        ready=holds(conditions, "Ready"),
        reason=status.get("reason"),
        unschedulable=scheduled.get("message") or "no node fits" if waits else None,
        gated=scheduled.get("status") == "False" and scheduled.get("reason") == "SchedulingGated",
        scheduled=holds(conditions, "PodScheduled"),
        prepared=holds(conditions, "PodReadyToStartContainers"),
        idle_since=_idle_since(manifest, scheduled),
        silent_since=_silent_since(manifest, conditions),
        disrupted=holds(conditions, "DisruptionTarget"),
        node=(manifest.get("spec") or {}).get("nodeName"),
        address=status.get("podIP"),
        engine_start=start if start is not None and start.uid == manifest["metadata"].get("uid") else None,
        engine_log=engine_log,
        events=events if events is not None and events.uid == manifest["metadata"].get("uid") else None,
    )


def _idle_since(manifest: Mapping[str, Any], scheduled: Mapping[str, Any]) -> str | None:
    """The last that happened in a pending pod in which nothing runs: created, scheduled, or a container ended."""
    status, metadata = manifest.get("status") or {}, manifest["metadata"]
    states = [each.get("state") or {} for each in container_statuses(status)]
    if (
        status.get("phase") != "Pending"
        or metadata.get("deletionTimestamp")
        or any("running" in each for each in states)
    ):
        return None
    ended = [(each.get("terminated") or {}).get("finishedAt") for each in states]
    bound = scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None
    return max(filter(None, (metadata.get("creationTimestamp"), bound, *ended)), default="")


def _silent_since(manifest: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The last change of its conditions to having a node and not being ready. A restart of a container is none."""
    if not holds(conditions, "PodScheduled") or holds(conditions, "Ready"):
        return None
    times = [conditions.get(each, {}).get("lastTransitionTime") for each in ("PodScheduled", "Ready")]
    return max(filter(None, times), default=manifest["metadata"].get("creationTimestamp") or "")


def deployment_view(manifest: Mapping[str, Any]) -> DeploymentView:
    """The serving Deployment as decide sees it."""
    status = manifest.get("status") or {}
    conditions = conditions_of(status)
    progressing, failed = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    template = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    return DeploymentView(
        meta=metadata_of(manifest),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        observed_generation=status.get("observedGeneration", 0),
        paused=bool((manifest.get("spec") or {}).get("paused")),
        revision=(template.get("labels") or {}).get(REVISION_LABEL),
        refused=failed.get("message", "") if failed.get("status") == "True" else None,
        stalled=progressing.get("message", "it makes no progress") if progressing.get("status") == "False" else None,
    )


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


def _container(status: Mapping[str, Any]) -> ContainerState:
    terminated = termination(status) or {}
    waiting = (status.get("state") or {}).get("waiting") or {}
    return ContainerState(
        name=status["name"],
        running="running" in (status.get("state") or {}),
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount", 0),
        exit_code=terminated.get("exitCode"),
        reason=waiting.get("reason") or terminated.get("reason"),
        # In a crash loop the container's own last words say more than "back-off 5m0s restarting".
        message=(terminated.get("message") if waiting.get("reason") in (None, "CrashLoopBackOff") else None)
        or waiting.get("message"),
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
