"""The view of a Job: its pods, what its worker left behind, and what was read of their logs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import ValidationError

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.enginelog import last_words
from lowbit.api.termination import TerminationMessage, WorkerEnd
from lowbit.naming.names import INDEX_LABEL, WORKER_END_ANNOTATION
from lowbit.observe.fields import conditions_of, container_statuses, holds, name_of, termination
from lowbit.observe.readings import Readings
from lowbit.observe.views import metadata_of
from lowbit.state.snapshot import JobView, Lingering

JobState = Literal["Pending", "Running", "Succeeded", "Failed"]
WORKER = "worker"
WORKERS = (WORKER, "fetch")
"""Containers that leave a termination message, the one that counts most first."""
MEASURED = (WORKER, "engine", "fetch")
"""Containers whose running out of memory is the Job's."""
EXIT_KILLED = 137


def job_view(manifest: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], readings: Readings) -> JobView:
    """A Job with its pods, what its worker left behind, and what was read of their logs.

    pods: those that name it in their labels. Only those that it controls, by its uid, are its own: a label can be put
    on any pod, and a former Job of that name may have left some.
    """
    status = manifest.get("status") or {}
    conditions = conditions_of(status)
    uid = str(manifest["metadata"].get("uid", ""))
    pods = [pod for pod in pods if is_controlled_by(uid, pod)]
    every = sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", name_of(pod)), reverse=True)
    newest = [pod for pod in every if number_of(pod) == 0]
    failed = conditions.get("Failed", {}) if holds(conditions, "Failed") else {}
    meta = metadata_of(manifest)
    line, read_at = readings.progress.get((meta.namespace, meta.name), (None, None))
    events = readings.events.get(("Job", meta.namespace, meta.name))
    view = JobView(
        meta=meta,
        state=_job_state(status, conditions, newest),
        expires=(manifest.get("spec") or {}).get("ttlSecondsAfterFinished") is not None,
        failure_reason=failed.get("reason"),
        failure_message=failed.get("message"),
        started=status.get("startTime"),
        finished=status.get("completionTime") or failed.get("lastTransitionTime"),
        failed_pods=status.get("failed", 0),
        # Of both the later one counts: until its controller has seen a change, no pod is made and no time runs.
        suspended=bool((manifest.get("spec") or {}).get("suspend")) or holds(conditions, "Suspended"),
        events=events if events is not None and events.uid == meta.uid else None,
        pods=tuple(readings.pod(pod) for pod in newest),
        members=tuple(readings.pod(pod) for pod in _newest_of_each(every)),
        engine_image_ids=_engine_images(newest),
        progress=line,
        progress_read_at=read_at,
    )
    ended = _worker_end(meta.annotations.get(WORKER_END_ANNOTATION))
    return _as_recorded(view, ended) if ended is not None else _as_left(view, newest, readings)


def number_of(pod: Mapping[str, Any]) -> int:
    """The pod's number in a group; 0 for the leader, and where there is no group."""
    text = (pod["metadata"].get("labels") or {}).get(INDEX_LABEL, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _newest_of_each(every: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of pods with the newest first: the first of each number but the leader's."""
    found: dict[int, Mapping[str, Any]] = {}
    for pod in every:
        found.setdefault(number_of(pod), pod)
    return [found[number] for number in sorted(found) if number > 0]


def _as_left(view: JobView, newest: Sequence[Mapping[str, Any]], readings: Readings) -> JobView:
    """The Job with what its newest finished pod shows of the worker's end."""
    pod = next((pod for pod in newest if _finished(pod)), None)
    if pod is None:
        return view
    last = _last_termination(pod) or {}
    message = parse_termination(last.get("message"))
    read = readings.results_of(view.meta.namespace, [name_of(pod)]).get(name_of(pod))
    if read is not None and (message is None or message.logged is None or message.logged.digest != read.digest):
        read = None
    if read is not None and read.message is not None:
        message = read.message
    code = last.get("exitCode")
    beaten = view.state == "Failed" and view.failure_reason == "DeadlineExceeded" and code == 0
    lingering = _lingering(newest[0]) if view.state in ("Pending", "Running") else None
    words = last.get("message") if message is None and code else None
    return replace(
        view,
        last_words=last_words(words) if words else None,
        state="Succeeded" if beaten else view.state,  # the worker was done before the deadline, its pod was not
        termination=message,
        finished_pod=name_of(pod),
        finished=lingering.since if lingering is not None else view.finished,
        result_unread=read.unread if read is not None else None,
        exit_code=code,
        out_of_memory=_ran_out_of_memory(pod, message),
        lingering=lingering,
    )


def _as_recorded(view: JobView, ended: WorkerEnd) -> JobView:
    """The Job as it would have ended if its pod had ended with its worker. Lowbit has ended it since."""
    by_policy = ended.exit_code in (EXIT_REFUSED, EXIT_KILLED)
    return replace(
        view,
        state="Succeeded" if ended.exit_code == 0 else "Failed",
        failure_reason=None if ended.exit_code == 0 else "PodFailurePolicy" if by_policy else "JobFailed",
        finished=ended.time,
        termination=ended.message,
        exit_code=ended.exit_code,
        out_of_memory=ended.out_of_memory,
        lived_on=ended.lived_on,
        engine_image_ids=ended.engine_image_ids,
    )


def _worker_end(text: str | None) -> WorkerEnd | None:
    """What the annotation says; None if there is none, or another version wrote it."""
    try:
        return WorkerEnd.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _lingering(pod: Mapping[str, Any]) -> Lingering | None:
    """Whether a pod lives on after its worker. Native sidecars do not count: the kubelet ends them by itself."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    now = {each["name"]: (each.get("state") or {}).get("terminated") for each in status.get("containerStatuses") or ()}
    ended = now.pop(WORKER, None)
    alive = tuple(name for name, terminated in now.items() if terminated is None)
    return Lingering(ended.get("finishedAt") or "", alive) if ended is not None and alive else None


def parse_termination(text: str | None) -> TerminationMessage | None:
    """What a worker wrote, or None when it is not what a worker writes (cut off, or the log of a crash)."""
    if not text:
        return None
    try:
        return TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None


def _job_state(status: Mapping[str, Any], conditions: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> JobState:
    if holds(conditions, "Complete"):
        return "Succeeded"
    if holds(conditions, "Failed"):
        return "Failed"
    running = any((pod.get("status") or {}).get("phase") == "Running" for pod in pods)
    return "Running" if running or status.get("ready", 0) > 0 else "Pending"


def _finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended, or its worker has (a sidecar may live on for some seconds)."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    return any(each["name"] == WORKER and termination(each) is not None for each in container_statuses(status))


def _last_termination(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The worker's termination; where the worker never ran, that of the init container that failed before it."""
    by_name = {each["name"]: each for each in container_statuses(pod.get("status") or {})}
    for name in WORKERS:
        if name in by_name and (terminated := termination(by_name[name])) is not None:
            return terminated
    return None


def _ran_out_of_memory(pod: Mapping[str, Any], message: TerminationMessage | None) -> str | None:
    killed = {
        each["name"]
        for each in container_statuses(pod.get("status") or {})
        for state in ("state", "lastState")
        if (each.get(state) or {}).get("terminated", {}).get("reason") == "OOMKilled"
    }
    if message is not None and message.refusal is not None and message.refusal.reason == "OutOfMemory":
        killed.add(WORKER)  # it got as far as to say so
    return next((name for name in MEASURED if name in killed), None)


def _engine_images(pods: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    images = (
        each.get("imageID")
        for pod in pods
        for each in container_statuses(pod.get("status") or {})
        if each["name"] == "engine"
    )
    return tuple(dict.fromkeys(image for image in images if image))


def is_controlled_by(uid: str, manifest: Mapping[str, Any]) -> bool:
    """Whether the object of that uid is the controller."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
