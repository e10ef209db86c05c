"""Parts of every stage's Job: the pod failure policy, and the containers that run Lowbit's worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lowbit.api.base import Wire
from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.api.engine import EnvironmentVariable
from lowbit.api.paths import SCRATCH_PATH
from lowbit.api.platform import Platform
from lowbit.api.pods import may_be_set
from lowbit.desired.common import (
    Manifest,
    OwnerReference,
    container_security,
    environment,
    metadata,
    placement,
    pod_security,
    without_empty,
    worker_environment,
)
from lowbit.desired.context import Context, JobRun
from lowbit.desired.jobs.document import document_annotations
from lowbit.desired.jobs.queue import queued
from lowbit.desired.volumes import Mount, pod_volumes, volume_mounts

BACKOFF_LIMIT = 4
EXIT_KILLED = 137
"""SIGKILL: out of memory, a person, or a failing node. decide tells them apart, and retries once."""
LAST_WORDS: Manifest = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""What a container that failed without a termination message said last is read from its status: its pod may be gone."""
WORKER_COMMAND = ["python3", "-m", "lowbit.worker"]

POD_FAILURE_POLICY: Manifest = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"operator": "In", "values": [EXIT_REFUSED, EXIT_CRASHED, EXIT_LATER]},
        },
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "worker", "operator": "In", "values": [EXIT_KILLED]},
        },
    ]
}
"""A lost node costs no attempt. What a retry at once cannot help, and a SIGKILL, fails the Job at once."""


def worker_container(
    name: str, image: str, platform: Platform, mounts: Sequence[Mount], env: list[Manifest], needs: Manifest | None
) -> Manifest:
    """A container that runs Lowbit's worker on the document at DOCUMENT_PATH. env: from worker_variables()."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": WORKER_COMMAND,
        "workingDir": SCRATCH_PATH,
        "env": env,
        "volumeMounts": volume_mounts(mounts),
        "securityContext": container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    } | without_empty({"resources": needs})


def worker_variables(
    platform: Platform, plain: Mapping[str, str] | None = None, own: Sequence[EnvironmentVariable] = ()
) -> list[Manifest]:
    """A worker's environment: that of every worker, overridden by the stage's, overridden by the manifest's.

    What would tell the interpreter or the loader where to find code is never taken from a manifest.
    """
    chosen = [variable for variable in own if may_be_set(variable.name)]
    return environment(worker_environment(platform) | dict(plain or {}), chosen)


@dataclass(frozen=True)
class JobPod:
    """Content of a Job's pod."""

    documents: Mapping[str, Wire]
    """Documents by annotation."""
    containers: Sequence[Manifest]
    mounts: Sequence[Mount]
    init_containers: Sequence[Manifest] = ()


def job(
    context: Context, owners: Sequence[OwnerReference], labels_: dict[str, str], run: JobRun, inside: JobPod
) -> Manifest:
    """A Job of one pod. Raises DocumentTooLarge."""
    platform, options = context.platform, run.options
    pod = {
        "restartPolicy": "Never",
        "securityContext": pod_security(platform),
        "containers": [container | LAST_WORDS for container in inside.containers],
        "volumes": pod_volumes(inside.mounts),
    }
    documents = document_annotations(f"Job {run.name}", inside.documents)
    annotations = platform.job_pod_annotations | dict(options.annotations) | documents
    made = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(run.name, context.namespace, owners, labels_),
        "spec": {
            "backoffLimit": BACKOFF_LIMIT,
            "activeDeadlineSeconds": options.deadline_seconds,
            "ttlSecondsAfterFinished": run.ttl,
            "podFailurePolicy": POD_FAILURE_POLICY,
            "template": {
                "metadata": {"labels": platform.job_pod_labels | labels_, "annotations": annotations},
                "spec": pod
                | without_empty({"initContainers": [container | LAST_WORDS for container in inside.init_containers]})
                | placement(options, platform, priority_class=platform.priority_class_name),
            },
        },
    }
    return queued(made, platform, run.queue)
