"""A snapshot: everything in the store that one QuantizedModel's decision may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lowbit.api.modelrevision import ModelRevision
from lowbit.api.names import MODEL_LABEL
from lowbit.decide.snapshot import DeploymentView, JobView, PodView, Seen, Snapshot
from lowbit.observe.keys import Key, job_of_pod
from lowbit.observe.parse import Unreadable, empty_model

if TYPE_CHECKING:
    from lowbit.observe.store import Store

OWN_FIELDS = frozenset({"QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation", "Job", "Pod"})
"""Kinds that have a field of their own in a snapshot; all others are children."""


def build_snapshot(store: Store, key: Key) -> Snapshot | None:
    """The snapshot of one QuantizedModel, or None when it is not there."""
    manifest = store.get("QuantizedModel", key.namespace, key.name)
    if manifest is None:
        return None
    invalid: str | None = None
    try:
        model = store.view("QuantizedModel", key.namespace, key.name)
    except Unreadable as error:
        return Snapshot(
            empty_model(manifest),
            invalid=f"this version of Lowbit cannot read the spec: {error}",
            platform=store.platform,
            has_pod_monitors=store.has_pod_monitors,
        )
    revisions, shared, unreadable = _revisions(store, key)
    if unreadable is not None:
        invalid = f"this version of Lowbit cannot read {unreadable}"
    return Snapshot(
        model=model,
        invalid=invalid,
        store=_model_store(store, key.namespace, model.body.spec.store_ref),
        revisions=revisions,
        shared_revisions=shared,
        evaluations=store.views("ModelEvaluation", key.namespace),
        unreadable=dict(store.unreadable("ModelEvaluation", key.namespace)),
        jobs=_jobs(store, key.namespace),
        deployment=_deployment(store, key),
        pods=_serving_pods(store, key),
        children=_children(store, key),
        platform=store.platform,
        has_pod_monitors=store.has_pod_monitors,
    )


def _revisions(
    store: Store, key: Key
) -> tuple[tuple[Seen[ModelRevision], ...], tuple[Seen[ModelRevision], ...], str | None]:
    """Its own revisions, those of others that have an artifact, and why one of its own could not be read."""
    seen = store.views("ModelRevision", key.namespace)
    ours = {name for kind, name in store.members(key) if kind == "ModelRevision"}
    unreadable: str | None = None
    for name in sorted(ours - seen.keys()):
        try:
            store.view("ModelRevision", key.namespace, name)
        except Unreadable as error:
            unreadable = f"its ModelRevision {name}: {error}"
    own = [seen[name] for name in ours if name in seen]
    others = [each for name, each in seen.items() if name not in ours and each.body.status.artifact is not None]
    return tuple(sorted(own, key=_age)), tuple(sorted(others, key=_age)), unreadable


def _age(seen: Seen[Any]) -> tuple[str, str]:
    return seen.meta.creation_timestamp, seen.meta.name


def _model_store(store: Store, namespace: str, name: str) -> Any:
    try:
        return store.view("ModelStore", namespace, name)
    except Unreadable:
        return None


def _jobs(store: Store, namespace: str) -> Mapping[str, JobView]:
    return store.views("Job", namespace)


def _deployment(store: Store, key: Key) -> DeploymentView | None:
    if ("Deployment", key.name) not in set(store.members(key)):
        return None
    view: DeploymentView | None = store.view("Deployment", key.namespace, key.name)
    return view


def _serving_pods(store: Store, key: Key) -> tuple[PodView, ...]:
    pods = []
    for kind, name in store.members(key):
        manifest = store.get(kind, key.namespace, name) if kind == "Pod" else None
        if manifest is None or job_of_pod(manifest) is not None:
            continue
        if manifest["metadata"]["labels"].get(MODEL_LABEL) == key.name:
            pods.append(store.view("Pod", key.namespace, name))
    return tuple(sorted(pods, key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name)))


def _children(store: Store, key: Key) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    found = {}
    for kind, name in store.members(key):
        if kind not in OWN_FIELDS and (manifest := store.get(kind, key.namespace, name)) is not None:
            found[kind, name] = manifest
    return MappingProxyType(found)
