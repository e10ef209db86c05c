"""Serving: which revision clients reach, and the objects that make it so.

The safety rule: nothing is served but a revision that has passed, or the source where fallback says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowbit.api.engines import engine_of
from lowbit.api.engines.base import EngineSettings
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.serving import Serving
from lowbit.decide.outcome import Clock
from lowbit.decide.owners import controller
from lowbit.decide.remembered import input_hash
from lowbit.decide.serving.drift import drifted
from lowbit.decide.serving.letgo import Due, Held, held, record_of, recorded, removals
from lowbit.decide.serving.rollout import Progress
from lowbit.decide.serving.target import SOURCE, Target, passed
from lowbit.desired.common import Manifest
from lowbit.desired.context import Context, Served
from lowbit.desired.serving.all import serving as serving_manifests
from lowbit.desired.topology import Topology, topology_of, workload_kinds
from lowbit.naming.canonical import digest, short
from lowbit.naming.names import APPLIED_ANNOTATION, LET_GO_ANNOTATION, QUEUE_LABEL, WORKLOAD_PRIORITY_LABEL
from lowbit.resolve.freeze import serving_platform
from lowbit.state.plan import Action, Apply, Create, Delete
from lowbit.state.snapshot import Observed, Snapshot

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


def judged_again(snapshot: Snapshot) -> Observed[ModelRevision] | None:
    """What the Deployment serves, if it is of this generation and has lost its verdict (status was wiped, or restored
    without it): it is left as it is until the verdict comes again, which costs seconds where the store has the results.
    """
    revision = by_name(snapshot, snapshot.deployment.revision if snapshot.deployment else None)
    if revision is None or revision.meta.deleting or revision.body.status.verdict is not None:
        return None
    return revision if revision.body.spec.input_hash == input_hash(snapshot.model) else None


def serve(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, target: Target, stuck: Due | None
) -> tuple[tuple[Action, ...], Held | None]:
    """The actions that make the target what is served, none where everything is as it should be; and how it is held.

    stuck: why its pods are to let their GPUs go now.
    """
    spec, meta = snapshot.model.body.spec, snapshot.model.meta
    if spec.serving is None:
        return (), None
    rests_on = (
        target.revision.body, target.source, store, snapshot.platform, snapshot.has_pod_monitors, meta.uid,
    )  # fmt: skip
    # What it rested on when there was nothing to do: comparing every field of every child costs most in a decision.
    remembered = snapshot.model.derived
    as_ever = stuck is None and recorded(snapshot) is None
    if as_ever and _same(remembered.get("at rest"), rests_on, snapshot.children):
        return (), None
    what = served_now(snapshot, target, spec.serving)
    manifests = serving_manifests(
        context_of(snapshot, store, target, spec.serving), controller(snapshot), meta.name, what,
        pod_monitor=snapshot.has_pod_monitors and snapshot.platform.service_monitor,
    )  # fmt: skip
    held_, manifests = _held(snapshot, clock, manifests, topology_of(what.revision.engine), stuck)
    actions: tuple[Action, ...] = (*_make(snapshot, manifests), *_superfluous(snapshot, manifests))
    if held_ is not None and not actions:
        actions = removals(snapshot, held_)
    if not actions and as_ever:
        remembered["at rest"] = (rests_on, dict(snapshot.children))
    return actions, held_


def served_now(snapshot: Snapshot, target: Target, serving: Serving) -> Served:
    """The target with what the manifest says now of its engine's container and of its queue."""
    spec = snapshot.model.body.spec
    engine = engine_of(spec.original_engine if target.source else spec.engine)[1]
    return served(target, in_queue(snapshot, serving), engine)


def context_of(snapshot: Snapshot, store: ModelStoreSpec, target: Target, serving: Serving) -> Context:
    """Where what serves is made."""
    platform = serving_platform(target.revision.body.spec, snapshot.platform, serving.pod.resources)
    return Context(snapshot.model.meta.namespace, store, platform)


def in_queue(snapshot: Snapshot, serving: Serving) -> Serving:
    """What is served in the queue that its Deployment may have now.

    Kueue refuses another queue while a pod answers, and to leave one at any time: a refused apply would hold all up.
    """
    deployment = snapshot.deployment
    if deployment is None or (deployment.ready == 0 and serving.queue_name is not None):
        return serving
    queue, priority = (deployment.meta.labels.get(label) for label in (QUEUE_LABEL, WORKLOAD_PRIORITY_LABEL))
    return serving.model_copy(update={"queue_name": queue, "workload_priority_class_name": priority})


def _held(
    snapshot: Snapshot, clock: Clock, manifests: list[Manifest], topology: Topology, stuck: Due | None
) -> tuple[Held | None, list[Manifest]]:
    """How the workload is held now, and the manifests of that: with its record, and without pods while it rests."""
    whole = next(each for each in manifests if each["kind"] in topology.workload_kinds)

    def shaped(held_: Held | None) -> Manifest:
        if held_ is None:
            return whole
        rests = topology.paused if held_.record.beside else topology.without_pods
        workload = rests(whole) if held_.resting else whole
        metadata = workload["metadata"]
        annotations = {**metadata.get("annotations", {}), LET_GO_ANNOTATION: held_.record.text()}
        return {**workload, "metadata": {**metadata, "annotations": annotations}}

    of, record = _hash(whole), recorded(snapshot)
    now = held(snapshot, clock, record) if record is not None and record.of == of else None
    if now is not None and not now.resting and rolled_out(snapshot):
        now = None
    seen = snapshot.children.get((whole["kind"], whole["metadata"]["name"]))
    # Pods of another template say nothing of this one: it has not been tried yet.
    tried = seen is not None and not drifted(shaped(now), seen) and not _declared_more(shaped(now), seen)
    worse = now is None or not now.resting or (now.record.beside and stuck is not None and not stuck.beside)
    if stuck is not None and tried and worse:
        now = held(snapshot, clock, record_of(snapshot, clock, of, stuck))
    return now, [shaped(now) if each is whole else each for each in manifests]


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


def stop_serving(snapshot: Snapshot) -> tuple[Delete, ...]:
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


def _superfluous(snapshot: Snapshot, manifests: Sequence[Mapping[str, Any]]) -> tuple[Delete, ...]:
    wanted = {(str(manifest["kind"]), str(manifest["metadata"]["name"])) for manifest in manifests}
    guard = f"{snapshot.model.meta.name}-guard-"
    settled = snapshot.deployment is None or rolled_out(snapshot)
    actions: list[Delete] = []
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
