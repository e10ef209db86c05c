"""Who starts a Job: Kueue, Lowbit's own bound on Jobs with GPUs, or nobody but Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lowbit.api.engine import ACCELERATOR
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest
from lowbit.desired.context import JobQueue
from lowbit.naming.names import (
    GPU_SLOT_ANNOTATION,
    QUEUE_ANNOTATION,
    QUEUE_LABEL,
    WORKLOAD_PRIORITY_LABEL,
)


def queue_labels(name: str | None, priority_class: str | None) -> dict[str, str]:
    """The labels that Kueue reads; none without a queue."""
    if name is None:
        return {}
    return {QUEUE_LABEL: name} | ({WORKLOAD_PRIORITY_LABEL: priority_class} if priority_class else {})


def queued(made: Manifest, platform: Platform, asked: JobQueue) -> Manifest:
    """The Job as it is created: suspended if Kueue or the bound on Jobs with GPUs starts it.

    The queue is the manifest's; that of the platform is for Jobs with GPUs. The bound does not count Jobs in a queue.
    """
    gpus = asks_for_gpus(made, platform.gpu_resource)
    name = asked.name or (platform.queue_name if gpus else None)
    if name is not None:
        labels = queue_labels(name, asked.priority_class or platform.workload_priority_class_name)
        return _suspended(made, labels, {QUEUE_ANNOTATION: "/".join(labels.values())})
    if gpus and platform.max_gpu_jobs is not None:
        return _suspended(made, {}, {GPU_SLOT_ANNOTATION: asked.place})
    return made


def asks_for_gpus(job: Mapping[str, Any], gpu_resource: str) -> bool:
    """Whether a container of the Job's pods asks for GPUs, or for another accelerator."""
    return any(name == gpu_resource or ("/" in name and ACCELERATOR.search(name)) for name in _asked(job))


def _asked(job: Mapping[str, Any]) -> Iterator[str]:
    pod = ((job.get("spec") or {}).get("template") or {}).get("spec") or {}
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        for amounts in (container.get("resources") or {}).values():
            yield from amounts if isinstance(amounts, Mapping) else ()


def _suspended(made: Manifest, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Manifest:
    metadata = made["metadata"]
    more = {
        "labels": {**metadata["labels"], **labels},
        "annotations": {**metadata.get("annotations", {}), **annotations},
    }
    return {**made, "metadata": {**metadata, **more}, "spec": {"suspend": True, **made["spec"]}}
