"""A snapshot: everything in the cache that one QuantizedModel's decision may rest on."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from lowbit.api.modelrevision import ModelRevision
from lowbit.desired.topology import workload_kinds
from lowbit.naming.names import GROUP_LABEL, MODEL_LABEL
from lowbit.observe.keys import Key
from lowbit.observe.parse import Unreadable, empty_model
from lowbit.state.snapshot import Observed, PodView, Snapshot

if TYPE_CHECKING:
    from lowbit.observe.cache import Cache

T = TypeVar("T")
Members = frozenset[tuple[str, str]]
"""Kind and name."""

OWN_FIELDS = frozenset({"QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation", "Job", "Pod"})
"""Kinds that have a field of their own in a snapshot; all others are children."""


class Views(Mapping[str, T]):
    """The readable views of one kind in a namespace, by name. Each is made on demand: a decision asks for few.

    It shows the cache as it is, so it must be read before anything else is seen: decide awaits nothing.
    """

    def __init__(self, cache: Cache, kind: str, namespace: str) -> None:
        self._cache, self._kind, self._namespace = cache, kind, namespace

    def __getitem__(self, name: str) -> T:
        view: T | None = self.get(name)
        if view is None:
            raise KeyError(name)
        return view

    def get(self, name: str, default: Any = None) -> Any:
        """The view; default where there is none that can be read."""
        try:
            view = self._cache.view(self._kind, self._namespace, name)
        except Unreadable:
            return default
        return default if view is None else view

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._cache.names(self._kind, self._namespace) if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Complaints(Mapping[str, str]):
    """Why objects of one kind in a namespace cannot be read, by name; the others are not in it."""

    def __init__(self, cache: Cache, kind: str, namespace: str) -> None:
        self._cache, self._kind, self._namespace = cache, kind, namespace

    def __getitem__(self, name: str) -> str:
        try:
            self._cache.view(self._kind, self._namespace, name)
        except Unreadable as error:
            return str(error)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._cache.names(self._kind, self._namespace) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Present(Container[tuple[str, str]]):
    """Kind and name of the objects of a namespace."""

    def __init__(self, cache: Cache, namespace: str) -> None:
        self._cache, self._namespace = cache, namespace

    def __contains__(self, reference: object) -> bool:
        if not isinstance(reference, tuple):
            return False
        kind, name = reference
        return self._cache.get(kind, self._namespace, name) is not None


class Artifacts(Mapping[str, Sequence[Observed[ModelRevision]]]):
    """Revisions of a namespace that have an artifact, by the artifact's hash; also those whose owner is unclear."""

    def __init__(self, cache: Cache, namespace: str) -> None:
        self._cache, self._namespace = cache, namespace

    def __getitem__(self, artifact_hash: str) -> Sequence[Observed[ModelRevision]]:
        revisions: Views[Observed[ModelRevision]] = Views(self._cache, "ModelRevision", self._namespace)
        names = self._cache.revisions_of(self._namespace, artifact_hash)
        seen = [revision for name in names if (revision := revisions.get(name)) is not None]
        found = sorted((each for each in seen if each.body.status.artifact is not None), key=_age)
        if not found:
            raise KeyError(artifact_hash)
        return found

    def __iter__(self) -> Iterator[str]:
        return (each for each in self._cache.artifact_hashes(self._namespace) if each in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def build_snapshot(cache: Cache, key: Key) -> Snapshot | None:
    """The snapshot of one QuantizedModel, or None when it is not there."""
    manifest = cache.get("QuantizedModel", key.namespace, key.name)
    if manifest is None:
        return None
    try:
        model = cache.view("QuantizedModel", key.namespace, key.name)
    except Unreadable as error:
        return Snapshot(
            empty_model(manifest),
            invalid=f"this version of Lowbit cannot read the spec: {error}",
            platform=cache.platform,
            has_pod_monitors=cache.has_pod_monitors,
        )
    mine = cache.members(key)
    revisions, unreadable = _revisions(cache, key, mine)
    return Snapshot(
        model=model,
        invalid=None if unreadable is None else f"this version of Lowbit cannot read {unreadable}",
        store=_model_store(cache, key.namespace, model.body.spec.store_ref),
        revisions=revisions,
        shared_revisions=Artifacts(cache, key.namespace),
        evaluations=Views(cache, "ModelEvaluation", key.namespace),
        unreadable=Complaints(cache, "ModelEvaluation", key.namespace),
        jobs=Views(cache, "Job", key.namespace),
        mine=mine,
        deployment=cache.view("Deployment", key.namespace, key.name) if ("Deployment", key.name) in mine else None,
        pods=_serving_pods(cache, key, mine),
        members=_members(cache, key, mine),
        children=_children(cache, key, mine),
        present=Present(cache, key.namespace),
        nodes=cache.nodes,
        gpu_jobs_running=cache.gpu_jobs.running(key.namespace),
        platform=cache.platform,
        has_pod_monitors=cache.has_pod_monitors,
    )


def _revisions(cache: Cache, key: Key, mine: Members) -> tuple[tuple[Observed[ModelRevision], ...], str | None]:
    """Its own revisions, the oldest first, and why one of them could not be read."""
    own: list[Observed[ModelRevision]] = []
    unreadable: str | None = None
    for name in sorted(name for kind, name in mine if kind == "ModelRevision"):
        try:
            own.append(cache.view("ModelRevision", key.namespace, name))
        except Unreadable as error:
            unreadable = f"its ModelRevision {name}: {error}"
    return tuple(sorted(own, key=_age)), unreadable


def _age(seen: Observed[Any]) -> tuple[str, str]:
    return seen.meta.creation_timestamp, seen.meta.name


def _model_store(cache: Cache, namespace: str, name: str) -> Any:
    try:
        return cache.view("ModelStore", namespace, name)
    except Unreadable:
        return None


def _serving_pods(cache: Cache, key: Key, mine: Members) -> tuple[PodView, ...]:
    pods = []
    for name in (name for kind, name in mine if kind == "Pod"):
        if cache.job_of(key.namespace, name) is not None:
            continue
        pod: PodView | None = cache.view("Pod", key.namespace, name)
        if pod is not None and pod.meta.labels.get(MODEL_LABEL) == key.name and _serves(pod, key.name):
            pods.append(pod)
    return tuple(sorted(pods, key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name)))


def _members(cache: Cache, key: Key, mine: Members) -> tuple[PodView, ...]:
    """The pods beside those that answer: each is controlled by the StatefulSet that its label names."""
    if not any(kind == "StatefulSet" for kind, _ in mine):
        return ()
    pods = (cache.view("Pod", key.namespace, name) for kind, name in mine if kind == "Pod")
    return tuple(sorted(filter(_follows, pods), key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name)))


def _follows(pod: PodView | None) -> bool:
    return pod is not None and any(
        owner.controller and owner.kind == "StatefulSet" and owner.name == pod.meta.labels.get(GROUP_LABEL)
        for owner in pod.meta.owners
    )


def _serves(pod: PodView, name: str) -> bool:
    """Whether what keeps the serving pods controls it: a workload of that name, or a Deployment's ReplicaSet."""
    return any(
        owner.controller
        and (
            (owner.kind in workload_kinds() and owner.name == name)
            or (owner.kind == "ReplicaSet" and owner.name.rpartition("-")[0] == name)
        )
        for owner in pod.meta.owners
    )


def _children(cache: Cache, key: Key, mine: Members) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    found = {}
    for kind, name in mine:
        if kind not in OWN_FIELDS and (manifest := cache.get(kind, key.namespace, name)) is not None:
            found[kind, name] = manifest
    return MappingProxyType(found)
