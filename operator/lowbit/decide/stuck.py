"""Jobs without a pod and pods that do not start, in Kubernetes' own words.

What an object's own status says is told at once. Events are asked for after STUCK_SECONDS, of what is stuck alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowbit.decide.causes import UNSAID, WAITING_IS_WRONG, Cause, of_container, worst
from lowbit.decide.engines import CRASH_LOOP, ENGINE
from lowbit.decide.outcome import Clock
from lowbit.naming.names import QUEUE_LABEL
from lowbit.state.plan import ReadEvents
from lowbit.state.snapshot import ContainerState, EventsRead, JobView, PodView

FETCH = "fetch"
STUCK_SECONDS = 30.0
"""A pod may take this long to be created, or to start its first container, before its events are read."""
LOOK_SECONDS = 30.0
"""Between two looks at what is stuck, or may be."""
BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*": (?:ErrImagePull: )?')


@dataclass(frozen=True)
class Stuck:
    """What holds a pod up."""

    cause: Cause
    message: str
    """What happened: "pod chat-1 fits on no node: 0/3 nodes are available"."""
    seconds: float = 0.0
    """For how long it has been stuck."""
    holds: bool = False
    """The pod has a node, and holds the GPUs that it asks for."""

    @property
    def text(self) -> str:
        """What happened, and what to do."""
        return f"{self.message.rstrip('.')}. {self.cause.action}"


def of_job(clock: Clock, job: JobView, fields: str, missing: str | None = None) -> Stuck | None:
    """What holds a Job up that runs, or will.

    Args:
        clock: The time.
        job: The Job.
        fields: Where the manifest says what its containers ask for.
        missing: Which nodes would have to be there for its pods, as a sentence.
    """
    name = job.meta.name
    if job.suspended:
        return None  # decide/jobs/queued.py
    if job.pods:
        found = (of_pod(clock, pod, fields, missing) for pod in (job.pods[0], *job.members))
        return next((stuck for stuck in found if stuck is not None), None)
    waited = clock.seconds_since(job.started or job.meta.creation_timestamp)
    if waited < STUCK_SECONDS or job.events is None:
        return None
    return _said(job.events, f"Job {name} has no pod", fields, waited)


def of_pod(clock: Clock, pod: PodView, fields: str, missing: str | None = None) -> Stuck | None:
    """What holds a pod up. missing: which nodes would have to be there, as a sentence."""
    name = pod.meta.name
    if pod.unschedulable:
        action = "Free or add a node that fits, or change its resources, nodeSelector or tolerations in the manifest."
        return Stuck(Cause("WaitingForPod", False, action), no_node(pod, missing))
    if pod.gated and (queue := pod.meta.labels.get(QUEUE_LABEL)) is not None:
        action = f"Kueue admits it. It says why not yet: kubectl -n {pod.meta.namespace} describe workloads."
        return Stuck(Cause("Queued", False, action), f"pod {name} waits in the queue {queue}")
    if pod.gated:
        action = "Whoever gates it (Kueue, a controller of its queue) has to let it go."
        return Stuck(Cause("WaitingForPod", False, action), f"pod {name} is held back by its scheduling gates")
    waited = clock.seconds_since(pod.idle_since) if pod.idle_since is not None else 0.0
    for container in pod.containers:
        if (text := waits_wrongly(pod, container)) is not None:
            cause = of_container(container.reason or "", container.message or "", fields)
            # What is missing in the first moments may only be applied a moment later.
            return Stuck(cause._replace(lasting=cause.lasting and waited >= STUCK_SECONDS), text, waited, pod.scheduled)
    if waited < STUCK_SECONDS or pod.prepared or pod.events is None:
        return None
    return _said(pod.events, f"pod {name} does not start", fields, waited, holds=pod.scheduled)


def no_node(pod: PodView, missing: str | None) -> str:
    """What the scheduler says of a pod that waits, and which nodes would have to be there."""
    said = f"pod {pod.meta.name} fits on no node: {pod.unschedulable}"
    return said if missing is None else f"{said.rstrip('.')}. {missing}"


def waits_wrongly(pod: PodView, container: ContainerState) -> str | None:
    """Why a container waits, if something is wrong. Engine and fetch have words of their own for a crash loop."""
    own_words = container.name in (ENGINE, FETCH) and container.reason == CRASH_LOOP
    if container.reason not in WAITING_IS_WRONG or container.running or own_words:
        return None
    # The kubelet says ErrImagePull and ImagePullBackOff in turn, of one and the same cause.
    why = "ImagePullBackOff" if container.reason == "ErrImagePull" else container.reason
    message = BACK_OFF.sub("", container.message or "")
    return f"container {container.name} of pod {pod.meta.name}: {why}: {message}"


def to_read(clock: Clock, job: JobView) -> tuple[ReadEvents, ...]:
    """The events to read of a Job that has no pod, or of its pod, if it does not start."""
    if job.pods:
        return tuple(each for pod in (job.pods[0], *job.members) for each in pod_to_read(clock, pod))
    waits = clock.seconds_since(job.started or job.meta.creation_timestamp) >= STUCK_SECONDS and not job.suspended
    return (ReadEvents("Job", job.meta.name, job.meta.uid),) if waits else ()


def pod_to_read(clock: Clock, pod: PodView) -> tuple[ReadEvents, ...]:
    """The events to read of a pod, if it does not start and its own status does not say why."""
    own_words = pod.unschedulable or pod.gated or any(waits_wrongly(pod, each) for each in pod.containers)
    if pod.idle_since is None or pod.prepared or own_words or clock.seconds_since(pod.idle_since) < STUCK_SECONDS:
        return ()
    return (ReadEvents("Pod", pod.meta.name, pod.meta.uid),)


def _said(events: EventsRead, what: str, fields: str, waited: float, *, holds: bool = False) -> Stuck:
    found = worst(events.warnings, fields)
    if found is None:
        why = f"its events could not be read ({events.unread})" if events.unread else "Kubernetes gives no reason"
        return Stuck(UNSAID, f"{what}: {why}", waited)
    warned, cause = found
    return Stuck(cause, f"{what}: {warned.reason}: {warned.message}", waited, holds)
