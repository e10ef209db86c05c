"""Which Jobs with GPUs run, and which wait: an index by namespace, kept as Jobs come and go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from lowbit.desired.jobs.queue import asks_for_gpus
from lowbit.naming.names import GPU_SLOT_ANNOTATION, QUEUE_ANNOTATION
from lowbit.observe.fields import conditions_of, holds
from lowbit.observe.keys import Key
from lowbit.state.snapshot import GpuJobs, WaitingJob

GPU_JOBS = "GpuJobs"


def gpu_jobs_key(namespace: str) -> Key:
    """The key under which the Jobs with GPUs of a namespace are reconciled: one at a time, as every key."""
    return Key(namespace, "gpu-jobs", GPU_JOBS)


class GpuJobIndex:
    """Counted from the Jobs alone, so that a restart changes nothing."""

    def __init__(self) -> None:
        self._running: dict[str, set[str]] = defaultdict(set)
        self._waiting: dict[str, dict[str, WaitingJob]] = defaultdict(dict)

    def put(self, job: Mapping[str, Any], gpu_resource: str) -> frozenset[Key]:
        """Take a Job, untrimmed. The key of its namespace if a waiting Job may start by it."""
        metadata = job["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        before = name in self._running[namespace]
        self._forget(namespace, name)
        marks = metadata.get("annotations") or {}
        suspended = bool((job.get("spec") or {}).get("suspend"))
        if not _ended(job) and QUEUE_ANNOTATION not in marks and asks_for_gpus(job, gpu_resource):
            if not suspended:
                self._running[namespace].add(name)
            elif GPU_SLOT_ANNOTATION in marks and not metadata.get("deletionTimestamp"):
                self._waiting[namespace][name] = WaitingJob(
                    name, str(metadata.get("uid", "")), str(metadata.get("resourceVersion", "")),
                    marks[GPU_SLOT_ANNOTATION],
                )  # fmt: skip
        return self._wakes(namespace, name, before)

    def remove(self, namespace: str, name: str) -> frozenset[Key]:
        """A Job is gone. The key of its namespace if a waiting Job may start by it."""
        before = name in self._running[namespace]
        self._forget(namespace, name)
        return self._wakes(namespace, name, before)

    def running(self, namespace: str) -> int:
        """How many run."""
        return len(self._running.get(namespace, ()))

    def of(self, namespace: str) -> GpuJobs:
        """Those of one namespace; the next to start first."""
        waiting = sorted(self._waiting.get(namespace, {}).values(), key=lambda job: (job.place, job.name))
        return GpuJobs(self.running(namespace), tuple(waiting))

    def keys(self) -> frozenset[Key]:
        """The keys of the namespaces in which Jobs wait."""
        return frozenset(gpu_jobs_key(namespace) for namespace, waiting in self._waiting.items() if waiting)

    def _wakes(self, namespace: str, name: str, ran: bool) -> frozenset[Key]:
        fewer = ran and name not in self._running[namespace]
        waits = self._waiting[namespace]
        return frozenset((gpu_jobs_key(namespace),)) if name in waits or (fewer and waits) else frozenset()

    def _forget(self, namespace: str, name: str) -> None:
        self._running[namespace].discard(name)
        self._waiting[namespace].pop(name, None)


def _ended(job: Mapping[str, Any]) -> bool:
    conditions = conditions_of(job.get("status") or {})
    return holds(conditions, "Complete") or holds(conditions, "Failed")
