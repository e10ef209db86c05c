"""The pods that serve: why they do not come up, and whether somebody has to mend it."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.documents import EXIT_LATER, EXIT_REFUSED
from lowbit.api.engines import engine_of, field_path
from lowbit.api.status import Failure
from lowbit.api.termination import TerminationMessage
from lowbit.decide import engines
from lowbit.decide.causes import of_container, of_creation, steady
from lowbit.decide.engines import CRASH_LOOP, ENGINE, RESTARTS_THAT_LAST
from lowbit.decide.jobs.failure import IN_ITS_OWN_WORDS, legible
from lowbit.decide.nodes import engine_group, lacking, waits
from lowbit.decide.outcome import Clock
from lowbit.decide.serving.target import Target
from lowbit.decide.stuck import FETCH, Stuck, no_node, of_pod, pod_to_read, waits_wrongly
from lowbit.desired.probes import startup_seconds
from lowbit.naming.names import GROUP_LABEL, REVISION_LABEL, followers_name
from lowbit.resolve.freeze import frozen_platform
from lowbit.state.plan import ReadEvents
from lowbit.state.snapshot import ContainerState, Metadata, PodView, Snapshot


@dataclass(frozen=True)
class Look:
    """What the pods of one revision are judged by."""

    clock: Clock
    label: str
    engine: str
    """Path of the engine's field in the manifest."""
    startup: float
    """Seconds that an engine may take to start."""

    @property
    def fields(self) -> str:
        """Where the manifest says what the containers ask for."""
        return f"{self.engine}.resources and spec.serving.pod.resources"


@dataclass(frozen=True)
class Trouble:
    """Why one pod does not come up."""

    failure: Failure
    lasting: bool
    """Somebody has to mend it."""
    mend: str
    """What to do about it once the pod is gone, as one sentence."""
    waits: bool = True
    """Nothing of it runs that may answer yet."""


def look_of(snapshot: Snapshot, clock: Clock, target: Target) -> Look:
    """How to judge the pods of a target."""
    startup = startup_seconds(target.revision.body.spec.source.facts.weight_bytes)
    return Look(clock, target.label, field_path(snapshot.model.body.spec.engine), startup)


def trouble(snapshot: Snapshot, clock: Clock, target: Target) -> Failure | None:
    """Why the pods of a revision do not come up, when it is something that a person has to mend."""
    look = look_of(snapshot, clock, target)
    for pod in not_ready(snapshot, target.label):
        if (found := _in_its_status(pod, look)) is not None:
            return found.failure
        if pod.unschedulable:
            return _not_ready(pod, no_node(pod, nodes_missing(snapshot, target)), look)
    stuck = held_up(snapshot, clock, target)
    return _stuck(stuck, look) if stuck is not None and stuck.cause.lasting else None


def trouble_of(pod: PodView, look: Look) -> Trouble | None:
    """Why one pod does not come up although it has a node, and so holds the GPUs that it asks for."""
    if (found := _in_its_status(pod, look)) is not None:
        return found
    stuck = of_pod(look.clock, pod, look.fields)
    if stuck is None or not stuck.holds:
        return None
    return Trouble(_stuck(stuck, look), stuck.cause.lasting, plain(stuck.cause.action))


def held_up_by_members(snapshot: Snapshot, leader: PodView, look: Look) -> Trouble | None:
    """Why the other pods of a leader's group do not come up: it holds its GPUs, and waits for them."""
    group = followers_name(snapshot.model.meta.name, leader.meta.uid)
    for pod in (each for each in snapshot.members if each.meta.labels.get(GROUP_LABEL) == group and not each.ready):
        if (found := trouble_of(pod, look)) is not None:
            return found
        if (stuck := of_pod(look.clock, pod, look.fields)) is not None:
            return Trouble(_stuck(stuck, look), stuck.cause.lasting, plain(stuck.cause.action))
    return None


def plain(action: str) -> str:
    """What to do about a pod, once there is none that Kubernetes could try again."""
    return action.removeprefix("Kubernetes tries again. ")


def _in_its_status(pod: PodView, look: Look) -> Trouble | None:
    """What the status of a pod's containers says."""
    fetch = engines.container(pod, FETCH)
    if fetch is not None and (refused := _refused(pod.meta, fetch, look)) is not None:
        return refused
    if (failure := engines.crash_loop(pod, look.startup, look.label, look.engine, look.clock)) is not None:
        engine = engines.container(pod, ENGINE)
        mend = engines.more_memory(look.engine) if failure.reason == "OutOfMemory" else "Mend what its words say."
        return Trouble(failure, True, mend, waits=engine is not None and engine.reason == CRASH_LOOP)
    for container in pod.containers:
        loops = container.reason == CRASH_LOOP
        if loops and container.restarts < RESTARTS_THAT_LAST:
            continue
        text = _loops(pod, container) if loops and container.name == FETCH else waits_wrongly(pod, container)
        if text is None:
            continue
        cause = of_container(container.reason or "", container.message or "", look.fields)
        mend = f"Look at how container {container.name} ends." if loops else plain(cause.action)
        return Trouble(_not_ready(pod, text, look), loops or cause.lasting, mend)
    return None


def _loops(pod: PodView, container: ContainerState) -> str:
    """A container that ends again and again, in words."""
    how = ", ".join(str(part) for part in (container.terminated_reason, container.exit_code) if part is not None)
    return f"container {container.name} of pod {pod.meta.name} ends again and again, last: {how}"


def _not_ready(pod: PodView, text: str, look: Look) -> Failure:
    return Failure(
        stage="Serve", reason="PodNotReady", message=text, revision=look.label, time=look.clock.text,
        action=f"Look at the pod (kubectl describe pod {pod.meta.name}; "
        f"kubectl logs {pod.meta.name} -c engine).",
    )  # fmt: skip


def _stuck(stuck: Stuck, look: Look) -> Failure:
    return Failure(
        stage="Serve", reason=stuck.cause.reason, message=f"{stuck.message.rstrip('.')}.", revision=look.label,
        time=look.clock.text, action=stuck.cause.action,
    )  # fmt: skip


def nodes_missing(snapshot: Snapshot, target: Target) -> str | None:
    """Which nodes would have to be there for the pods of a target that wait; None if those that are would do."""
    spec, revision = snapshot.model.body.spec, target.revision.body.spec
    pods = not_ready(snapshot, target.label)
    if snapshot.nodes is None or spec.serving is None or not waits(pods):
        return None
    engine = revision.original_engine if target.source else revision.engine
    platform = frozen_platform(revision, snapshot.platform)
    return lacking(
        engine_group(engine, engine_of(spec.engine)[1].resources, spec.serving.pod, platform), pods, snapshot.nodes
    )


def held_up(snapshot: Snapshot, clock: Clock, target: Target) -> Stuck | None:
    """What keeps a pod of a revision from being created, or from starting; in Kubernetes' words."""
    label = target.label
    fields = f"{field_path(snapshot.model.body.spec.engine)}.resources and spec.serving.pod.resources"
    deployment = snapshot.deployment
    if deployment is not None and deployment.refused is not None and deployment.revision == label:
        said = steady(deployment.refused)
        return Stuck(of_creation(said, fields), f"Deployment {deployment.meta.name} has too few pods: {said}")
    missing = nodes_missing(snapshot, target)
    found = (of_pod(clock, pod, fields, missing) for pod in not_ready(snapshot, label))
    return next((stuck for stuck in found if stuck is not None), None)


def events_to_read(snapshot: Snapshot, clock: Clock, label: str) -> tuple[ReadEvents, ...]:
    """Of the pods of a revision that do not start."""
    return tuple(each for pod in not_ready(snapshot, label) for each in pod_to_read(clock, pod))


def may_be_stuck(snapshot: Snapshot, label: str) -> bool:
    """Whether a pod has yet to start: nobody tells when that has taken too long."""
    return any(pod.idle_since is not None for pod in not_ready(snapshot, label))


def not_ready(snapshot: Snapshot, label: str) -> tuple[PodView, ...]:
    """The pods of a revision that do not answer, without those that go away; the newest first. Of a group those before
    that hold up the leader, and those behind that only end with others.
    """
    found = [
        pod
        for pod in (*reversed(snapshot.members), *reversed(snapshot.pods))
        if pod.meta.labels.get(REVISION_LABEL) == label and not pod.ready and not pod.meta.deleting
    ]
    return tuple(sorted(found, key=engines.only_followed))


def setback(snapshot: Snapshot, clock: Clock, label: str) -> Failure | None:
    """The transient failure of an engine that has ended while it served, or before it could."""
    for pod in not_ready(snapshot, label):
        if (ended := engines.last_end((pod,))) is not None:
            return engines.restarted(ended, "Serve", label, clock)
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


def _refused(meta: Metadata, fetch: ContainerState, look: Look) -> Trouble | None:
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
    failure = Failure(
        stage="Serve", reason=refusal.reason if refusal else "ArtifactRefused", exit_code=fetch.exit_code,
        revision=look.label, message=refusal.message if refusal else f"pod {meta.name} refused the artifact",
        action=f"{action}{again}", time=look.clock.text,
    )  # fmt: skip
    return Trouble(failure, fetch.exit_code != EXIT_LATER, action)
