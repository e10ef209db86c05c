"""Serving: which revision clients reach, and the objects that make it so.

The safety rule: nothing is served but a revision that has passed, or the source where fallback says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.engines import engine_of, field_path
from lowbit.api.engines.base import EngineSettings
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.serving import Serving
from lowbit.api.status import Failure
from lowbit.api.termination import TerminationMessage
from lowbit.decide import engines
from lowbit.decide.engines import CRASH_LOOP, ENGINE, RESTARTS_THAT_LAST
from lowbit.decide.jobs.failure import legible
from lowbit.decide.jobs.request import WAITING_IS_WRONG
from lowbit.decide.outcome import Clock
from lowbit.decide.owners import controller
from lowbit.decide.remembered import input_hash
from lowbit.decide.serving.drift import drifted
from lowbit.decide.serving.rollout import Progress
from lowbit.decide.serving.target import SOURCE, Target, passed
from lowbit.desired.context import Context, Served
from lowbit.desired.probes import startup_seconds
from lowbit.desired.serving.all import serving as serving_manifests
from lowbit.desired.topology import workload_kinds
from lowbit.naming.canonical import digest, short
from lowbit.naming.names import APPLIED_ANNOTATION, REVISION_LABEL
from lowbit.resolve.freeze import frozen_platform
from lowbit.state.plan import Action, Apply, Create, Delete
from lowbit.state.snapshot import Metadata, Observed, PodView, Snapshot

SERVING_KINDS = (*workload_kinds(), "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "PodMonitor")


def by_name(snapshot: Snapshot, name: str | None) -> Observed[ModelRevision] | None:
    """This QuantizedModel's revision of that name."""
    return next((revision for revision in snapshot.revisions if revision.meta.name == name), None)


def deployed(snapshot: Snapshot, serving: Serving) -> Target | None:
    """What the Deployment serves now, if it is something that may be served."""
    label = snapshot.deployment.revision if snapshot.deployment else None
    if label == SOURCE and serving.fallback == "Source" and snapshot.revisions:
        return Target(snapshot.revisions[-1], source=True)
    revision = by_name(snapshot, label)
    return Target(revision) if revision is not None and passed(revision) else None


def judged_again(snapshot: Snapshot) -> bool:
    """Whether what the Deployment serves is of this generation and has lost its verdict (status was wiped, or restored
    without it): it is left as it is until the verdict comes again, which costs seconds where the store has the results.
    """
    revision = by_name(snapshot, snapshot.deployment.revision if snapshot.deployment else None)
    if revision is None or revision.meta.deleting or revision.body.status.verdict is not None:
        return False
    return revision.body.spec.input_hash == input_hash(snapshot.model)


def serve(snapshot: Snapshot, store: ModelStoreSpec, target: Target) -> tuple[Action, ...]:
    """The actions that make the target what is served; none where everything is as it should be."""
    spec, meta = snapshot.model.body.spec, snapshot.model.meta
    if spec.serving is None:
        return ()
    rests_on = (
        target.revision.body, target.source, store, snapshot.platform, snapshot.has_pod_monitors, meta.uid,
    )  # fmt: skip
    # What it rested on when there was nothing to do: comparing every field of every child costs most in a decision.
    remembered = snapshot.model.derived
    if _same(remembered.get("at rest"), rests_on, snapshot.children):
        return ()
    manifests = serving_manifests(
        Context(meta.namespace, store, frozen_platform(target.revision.body.spec, snapshot.platform)),
        controller(snapshot), meta.name, served(target, spec.serving, engine_of(spec.engine)[1]),
        pod_monitor=snapshot.has_pod_monitors and snapshot.platform.service_monitor,
    )  # fmt: skip
    actions = (*_make(snapshot, manifests), *_superfluous(snapshot, manifests))
    if not actions:
        remembered["at rest"] = (rests_on, dict(snapshot.children))
    return actions


def served(target: Target, serving: Serving, engine: EngineSettings) -> Served:
    """The target as its Deployment is made from it: the artifact, or the original."""
    spec, record = target.revision.body.spec, target.revision.body.status.artifact
    if target.source or record is None:
        original = EvaluatedModel(kind="Source", digest=spec.source.digest)
        spec = spec.model_copy(update={"engine": spec.original_engine})
        return Served(target.label, spec, original, spec.source.facts.weight_bytes, serving, engine)
    artifact = EvaluatedModel(kind="Artifact", digest=record.digest)
    return Served(target.label, spec, artifact, record.bytes, serving, engine)


def _same(known: Any, rests_on: tuple[object, ...], children: Mapping[tuple[str, str], Any]) -> bool:
    """Whether all of it is the very same object that it was: what is seen is replaced, never changed."""
    if known is None or len(known[1]) != len(children):
        return False
    before, seen = known
    if not all(mine is its for mine, its in zip(rests_on, before, strict=True)):
        return False
    return all(seen.get(reference) is child for reference, child in children.items())


def stop_serving(snapshot: Snapshot) -> tuple[Action, ...]:
    """Delete everything that serves."""
    return _superfluous(snapshot, ())


def _make(snapshot: Snapshot, manifests: Sequence[Mapping[str, Any]]) -> tuple[Action, ...]:
    actions: list[Action] = []
    for manifest in manifests:
        kind, name = str(manifest["kind"]), str(manifest["metadata"]["name"])
        seen = snapshot.children.get((kind, name))
        if kind == "ConfigMap":
            actions += [Create(manifest)] if seen is None else []
        elif seen is None or drifted(manifest, seen) or _declared_more(manifest, seen):
            actions.append(Apply(_marked(manifest)))
    return tuple(actions)


def _marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a hash of itself."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED_ANNOTATION: _hash(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _declared_more(manifest: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether something else was declared when it was applied. A field no longer declared is no drift of others.

    An object that was applied without a hash says nothing.
    """
    before = (seen["metadata"].get("annotations") or {}).get(APPLIED_ANNOTATION)
    return before is not None and before != _hash(manifest)


def _hash(manifest: Mapping[str, Any]) -> str:
    """Without the owners: their uids are others on a cluster that was restored, and declare nothing more."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "ownerReferences"}
    return short(digest("applied", {**manifest, "metadata": metadata}))


def _superfluous(snapshot: Snapshot, manifests: Sequence[Mapping[str, Any]]) -> tuple[Action, ...]:
    wanted = {(str(manifest["kind"]), str(manifest["metadata"]["name"])) for manifest in manifests}
    guard = f"{snapshot.model.meta.name}-guard-"
    settled = snapshot.deployment is None or rolled_out(snapshot)
    actions: list[Action] = []
    for (kind, name), seen in sorted(snapshot.children.items()):
        old_guard = kind == "ConfigMap" and name.startswith(guard) and settled
        if (kind, name) in wanted or not (kind in SERVING_KINDS or old_guard):
            continue
        meta = seen["metadata"]
        if not meta.get("deletionTimestamp"):
            actions.append(Delete(kind, name, str(meta["uid"]), str(meta["resourceVersion"])))
    return tuple(actions)


def rolled_out(snapshot: Snapshot) -> bool:
    """Whether every replica is of the Deployment's present template, and answers."""
    deployment, serving = snapshot.deployment, snapshot.model.body.spec.serving
    if deployment is None or serving is None or deployment.observed_generation < deployment.meta.generation:
        return False
    counts = (deployment.replicas, deployment.updated, deployment.ready, deployment.available)
    return all(count == serving.replicas for count in counts)


def progress(snapshot: Snapshot) -> Progress:
    """How far a rollout is."""
    deployment = snapshot.deployment
    return Progress(deployment.revision if deployment else None, rolled_out(snapshot))


def trouble(snapshot: Snapshot, clock: Clock, target: Target) -> Failure | None:
    """Why the pods of a revision do not come up, when it is something that a person has to mend."""
    label, engine = target.label, field_path(snapshot.model.body.spec.engine)
    startup = startup_seconds(target.revision.body.spec.source.facts.weight_bytes)
    for pod in not_ready(snapshot, label):
        for container in pod.containers:
            failure = _refused(pod.meta, container.exit_code, container.message, label, clock)
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
    return None


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
        transient = container.reason == CRASH_LOOP and (
            container.name == ENGINE or container.restarts < RESTARTS_THAT_LAST
        )
        if container.reason in WAITING_IS_WRONG and not container.running and not transient:
            return f"container {container.name} of pod {pod.meta.name}: {container.reason}: {container.message or ''}"
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


def _refused(meta: Metadata, exit_code: int | None, message: str | None, label: str, clock: Clock) -> Failure | None:
    if exit_code != EXIT_REFUSED:
        return None
    try:
        refusal = legible(TerminationMessage.model_validate_json(message or "{}"))
    except ValueError:
        refusal = None
    return Failure(
        stage="Serve", reason=refusal.reason if refusal else "ArtifactRefused", exit_code=exit_code, revision=label,
        message=refusal.message if refusal else f"pod {meta.name} refused the artifact",
        action=refusal.action if refusal else "Restore the artifact's files in the store.", time=clock.text,
    )  # fmt: skip
