"""The pods that serve: why they do not come up, and whether somebody has to mend it."""

from __future__ import annotations

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.engines import field_path
from lowbit.api.status import Failure
from lowbit.api.termination import TerminationMessage
from lowbit.decide import engines
from lowbit.decide.causes import of_creation, steady
from lowbit.decide.engines import CRASH_LOOP, ENGINE, RESTARTS_THAT_LAST
from lowbit.decide.jobs.failure import IN_ITS_OWN_WORDS, legible
from lowbit.decide.outcome import Clock
from lowbit.decide.serving.target import Target
from lowbit.decide.stuck import Stuck, of_pod, pod_to_read, waits_wrongly
from lowbit.desired.probes import startup_seconds
from lowbit.naming.names import REVISION_LABEL
from lowbit.state.plan import ReadEvents
from lowbit.state.snapshot import ContainerState, Metadata, PodView, Snapshot


def trouble(snapshot: Snapshot, clock: Clock, target: Target) -> Failure | None:
    """Why the pods of a revision do not come up, when it is something that a person has to mend."""
    label, engine = target.label, field_path(snapshot.model.body.spec.engine)
    startup = startup_seconds(target.revision.body.spec.source.facts.weight_bytes)
    for pod in not_ready(snapshot, label):
        for container in pod.containers:
            failure = _refused(pod.meta, container, label, clock)
            if container.name == "fetch" and failure is not None:
                return failure
        if (failure := engines.crash_loop(pod, startup, label, engine, clock)) is not None:
            return failure
        text = waiting_for(pod)
        if text is not None:
            return Failure(
                stage="Serve", reason="PodNotReady", message=text, revision=label, time=clock.text,
                action=f"Look at the pod (kubectl describe pod {pod.meta.name}; "
                f"kubectl logs {pod.meta.name} -c engine).",
            )  # fmt: skip
    stuck = held_up(snapshot, clock, label)
    if stuck is None or not stuck.cause.lasting:
        return None
    return Failure(
        stage="Serve", reason=stuck.cause.reason, message=f"{stuck.message.rstrip('.')}.", revision=label,
        time=clock.text, action=stuck.cause.action,
    )  # fmt: skip


def held_up(snapshot: Snapshot, clock: Clock, label: str) -> Stuck | None:
    """What keeps a pod of a revision from being created, or from starting; in Kubernetes' words."""
    fields = f"{field_path(snapshot.model.body.spec.engine)}.resources and spec.serving.pod.resources"
    deployment = snapshot.deployment
    if deployment is not None and deployment.refused is not None and deployment.revision == label:
        said = steady(deployment.refused)
        return Stuck(of_creation(said, fields), f"Deployment {deployment.meta.name} has too few pods: {said}")
    found = (of_pod(clock, pod, fields) for pod in not_ready(snapshot, label))
    return next((stuck for stuck in found if stuck is not None), None)


def events_to_read(snapshot: Snapshot, clock: Clock, label: str) -> tuple[ReadEvents, ...]:
    """Of the pods of a revision that do not start."""
    return tuple(each for pod in not_ready(snapshot, label) for each in pod_to_read(clock, pod))


def may_be_stuck(snapshot: Snapshot, label: str) -> bool:
    """Whether a pod has yet to start: nobody tells when that has taken too long."""
    return any(pod.idle_since is not None for pod in not_ready(snapshot, label))


def not_ready(snapshot: Snapshot, label: str) -> tuple[PodView, ...]:
    """The pods of a revision that do not answer, the newest first."""
    return tuple(
        pod for pod in reversed(snapshot.pods) if pod.meta.labels.get(REVISION_LABEL) == label and not pod.ready
    )


def setback(snapshot: Snapshot, clock: Clock, label: str) -> Failure | None:
    """The transient failure of an engine that has ended while it served, or before it could."""
    for pod in not_ready(snapshot, label):
        if (ended := engines.last_end((pod,))) is not None:
            return engines.restarted(ended, "Serve", label, clock)
    return None


def waiting_for(pod: PodView) -> str | None:
    """What a pod that is not ready waits for, in words. An engine in a crash loop has words of its own."""
    if pod.unschedulable:
        return f"pod {pod.meta.name} fits on no node: {pod.unschedulable}"
    for container in pod.containers:
        passing = container.reason == CRASH_LOOP and container.restarts < RESTARTS_THAT_LAST
        if not passing and (text := waits_wrongly(pod, container)) is not None:
            return text
    return None


def restarted(snapshot: Snapshot, label: str) -> str | None:
    """Which container of a pod that is not ready has ended and was started again, and how it ended; in words."""
    for pod in not_ready(snapshot, label):
        for container in pod.containers:
            if container.restarts:
                how = ", ".join(str(part) for part in (container.reason, container.exit_code) if part is not None)
                error = pod.engine_log.error if container.name == ENGINE and pod.engine_log else None
                why = f": {error}" if error else ""
                return (
                    f"container {container.name} of pod {pod.meta.name} restarted {container.restarts} time(s), "
                    f"last: {how}{why}"
                )
    return None


def _refused(meta: Metadata, fetch: ContainerState, label: str, clock: Clock) -> Failure | None:
    """Why fetch lets no engine start: at once what cannot pass, and what may pass once it does not."""
    if fetch.exit_code not in IN_ITS_OWN_WORDS:
        return None
    try:
        refusal = legible(TerminationMessage.model_validate_json(fetch.message or "{}"))
    except ValueError:
        refusal = None
    lasting = fetch.exit_code == EXIT_REFUSED
    if not lasting and (refusal is None or fetch.restarts < RESTARTS_THAT_LAST):
        return None
    action = refusal.action if refusal else "Restore the artifact's files in the store."
    again = "" if lasting else ". The kubelet starts it again by itself."
    return Failure(
        stage="Serve", reason=refusal.reason if refusal else "ArtifactRefused", exit_code=fetch.exit_code,
        revision=label, message=refusal.message if refusal else f"pod {meta.name} refused the artifact",
        action=f"{action}{again}", time=clock.text,
    )  # fmt: skip
