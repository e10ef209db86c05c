"""The store of what was seen: filled by watches, compared with LISTs, and by what our own writes answered."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from lowbit.api.documents import ProgressLine
from lowbit.api.platform import Platform
from lowbit.decide.snapshot import Snapshot
from lowbit.observe.entries import WHOLE, Entry, Shelf
from lowbit.observe.keys import Key
from lowbit.observe.parse import TYPES, Unreadable, parse
from lowbit.observe.snapshots import build_snapshot
from lowbit.observe.trim import trim
from lowbit.observe.views import deployment_view, job_view, pod_view

TOMBSTONES = 10_000
"""Uids of removed objects that are remembered, so that a late event brings none of them back."""
UNCHANGED: frozenset[Key] = frozenset()

Reference = tuple[str, str, str]
"""Kind, namespace, name."""
Name = TypeVar("Name", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """What a LIST found that the watches had not brought: the keys it touches, and the objects."""

    keys: frozenset[Key]
    objects: tuple[Reference, ...]


class Comparison:
    """A LIST of one kind, page by page, against what is in the store. Watches may bring more between two pages."""

    def __init__(self, store: Store, kind: str, namespace: str | None) -> None:
        self._store, self._kind, self._namespace = store, kind, namespace
        self._listed: set[Reference] = set()
        self._touched: set[Key] = set()
        self._different: list[Reference] = []

    def take(self, items: Iterable[Mapping[str, Any]]) -> None:
        """One page."""
        for item in items:
            name = reference(item)
            self._listed.add(name)
            before = self._store.version(*name)
            self._touched |= self._store.put(item)
            if self._store.version(*name) != before:
                self._different.append(name)

    def end(self, listed_at: str) -> Difference:
        """There are no more. What was not listed is gone, if it is not newer than the LIST."""
        for version, name in list(self._store.versions(self._kind, self._namespace)):
            if name not in self._listed and not _newer(version, listed_at):
                self._different.append(name)
                self._touched |= self._store.remove(self._store.get(*name) or {})
        return Difference(frozenset(self._touched), tuple(self._different))


class Store:
    """All that was seen. Used from one thread; every change says which keys it touches."""

    def __init__(self, platform: Platform | None = None, whole: int = WHOLE) -> None:
        """whole: so many objects are kept as they are, the others compressed."""
        self.platform = platform or Platform()
        self.has_pod_monitors = False
        self._objects: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        self._shelf = Shelf(whole)
        self._members: dict[Key, set[tuple[str, str]]] = defaultdict(set)
        self._job_pods: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._progress: dict[tuple[str, str], tuple[ProgressLine | None, float]] = {}
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._revisions: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Names of ModelRevisions, by namespace and artifact hash."""
        self.on_job: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], None] | None = None
        """Told of each change of a Job: as it was, as it is."""

    def put(self, manifest: Mapping[str, Any]) -> frozenset[Key]:
        """Take an object as it was seen. The keys that it touches; none when it is not newer than what is known."""
        kind, namespace, name = reference(manifest)
        known = self._objects[kind, namespace].get(name)
        metadata = manifest["metadata"]
        if metadata.get("uid") in self._removed:
            return UNCHANGED
        if known is not None and not _newer(metadata.get("resourceVersion", ""), known.version):
            return UNCHANGED
        touched = self._forget(kind, namespace, name) if known is not None else UNCHANGED
        trimmed = trim(manifest)
        entry = Entry(trimmed)
        self._objects[kind, namespace][name] = entry
        self._index(name, entry, trimmed)
        if kind == "Job" and self.on_job is not None:
            self.on_job(self._shelf.manifest(known) if known is not None else None, trimmed)
        self._shelf.asked(entry)
        return touched | self._keys_of(name, entry)

    def remove(self, manifest: Mapping[str, Any]) -> frozenset[Key]:
        """Take it that an object is gone. The keys that it touches."""
        kind, namespace, name = reference(manifest)
        uid = str(manifest["metadata"].get("uid", ""))
        known = self._objects[kind, namespace].get(name)
        if uid:
            self._removed[uid] = None
            if len(self._removed) > TOMBSTONES:
                self._removed.popitem(last=False)
        if known is None or (uid and known.uid != uid):
            return UNCHANGED  # gone already, or there is a new one of that name
        self._progress.pop((namespace, name) if kind == "Job" else ("", ""), None)
        return self._forget(kind, namespace, name)

    def sync(
        self, kind: str, items: Iterable[Mapping[str, Any]], listed_at: str, namespace: str | None = None
    ) -> Difference:
        """Compare with a LIST of a kind, taken at a resourceVersion (in a namespace, or in all of them)."""
        comparison = self.comparison(kind, namespace)
        comparison.take(items)
        return comparison.end(listed_at)

    def comparison(self, kind: str, namespace: str | None = None) -> Comparison:
        """The same, page by page."""
        return Comparison(self, kind, namespace)

    def versions(self, kind: str, namespace: str | None) -> Iterator[tuple[str, Reference]]:
        """resourceVersion and reference of all objects of a kind (in a namespace, or in all of them)."""
        for space in self.namespaces(kind) if namespace is None else (namespace,):
            for name, entry in self._objects.get((kind, space), {}).items():
                yield entry.version, (kind, space, name)

    def version(self, kind: str, namespace: str, name: str) -> tuple[str, str] | None:
        """Uid and resourceVersion of an object; None where there is none."""
        entry = self._entry(kind, namespace, name)
        return None if entry is None else (entry.uid, entry.version)

    def put_progress(self, namespace: str, job: str, line: ProgressLine | None, read_at: float) -> frozenset[Key]:
        """Take a Job's last progress line (None: there was none), read at a time (seconds since the epoch)."""
        entry = self._objects["Job", namespace].get(job)
        if entry is None:
            return UNCHANGED
        before = self._progress.get((namespace, job), (None, 0.0))[0]
        self._progress[namespace, job] = (line or before, read_at)
        entry.view = None
        return entry.keys if line is not None and line != before else UNCHANGED

    def _keys_of(self, name: str, entry: Entry) -> frozenset[Key]:
        """The keys that an object touches."""
        if entry.kind == "ModelStore":
            return self._models(entry.namespace) | {Key(entry.namespace, name, "ModelStore")}
        keys = entry.keys
        if entry.job is not None and (job := self._entry("Job", entry.namespace, entry.job)):
            keys |= job.keys
        return keys

    def snapshot(self, key: Key) -> Snapshot | None:
        """All that belongs to one QuantizedModel; None when there is none of that name."""
        return build_snapshot(self, key)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object, trimmed."""
        entry = self._entry(kind, namespace, name)
        return None if entry is None else self._shelf.manifest(entry)

    def job_of(self, namespace: str, pod: str) -> str | None:
        """The name of the Job that a pod is of."""
        entry = self._entry("Pod", namespace, pod)
        return None if entry is None else entry.job

    def count(self, kind: str) -> int:
        """How many objects of a kind are known."""
        return sum(len(held) for (each, _), held in self._objects.items() if each == kind)

    def namespaces(self, kind: str) -> tuple[str, ...]:
        """The namespaces that hold objects of a kind."""
        return tuple(namespace for (each, namespace), held in self._objects.items() if each == kind and held)

    def keys(self) -> frozenset[Key]:
        """The keys of all QuantizedModels and ModelStores."""
        return frozenset(
            Key(namespace, name, kind)
            for kind in ("QuantizedModel", "ModelStore")
            for namespace in self.namespaces(kind)
            for name in self._objects[kind, namespace]
        )

    def members(self, key: Key) -> frozenset[tuple[str, str]]:
        """(kind, name) of the objects that name a QuantizedModel by label or owner reference."""
        return frozenset(self._members.get(key, ()))

    def names(self, kind: str, namespace: str) -> tuple[str, ...]:
        """Names of the objects of a kind in a namespace."""
        return tuple(self._objects.get((kind, namespace), ()))

    def artifact_hashes(self, namespace: str) -> tuple[str, ...]:
        """Of the ModelRevisions in a namespace."""
        return tuple(each for space, each in self._revisions if space == namespace)

    def revisions_of(self, namespace: str, artifact_hash: str) -> frozenset[str]:
        """Names of the ModelRevisions in a namespace that need one artifact."""
        return frozenset(self._revisions.get((namespace, artifact_hash), ()))

    def view(self, kind: str, namespace: str, name: str) -> Any:
        """The parsed object or view, kept until it changes. None when it is not there. Raises Unreadable."""
        entry = self._entry(kind, namespace, name)
        if entry is None:
            return None
        manifest = self._shelf.manifest(entry)
        if entry.view is None:
            entry.view = self._make_view(kind, namespace, name, manifest)
        if isinstance(entry.view, Unreadable):
            raise entry.view
        return entry.view

    def views(self, kind: str, namespace: str) -> dict[str, Any]:
        """All readable views of a kind in a namespace, by name."""
        found = {}
        for name in self._objects.get((kind, namespace), ()):
            try:
                found[name] = self.view(kind, namespace, name)
            except Unreadable:
                continue
        return found

    def _make_view(self, kind: str, namespace: str, name: str, manifest: Mapping[str, Any]) -> Any:
        if kind == "Job":
            seen = [self.get("Pod", namespace, pod) for pod in self._job_pods.get((namespace, name), ())]
            pods = [pod for pod in seen if pod is not None]
            return job_view(manifest, pods, self._progress.get((namespace, name)))
        if kind == "Pod":
            return pod_view(manifest)
        if kind == "Deployment":
            return deployment_view(manifest)
        type_: type[BaseModel] = TYPES[kind]
        try:
            return parse(type_, manifest)
        except Unreadable as error:
            return error.with_traceback(None)

    def _entry(self, kind: str, namespace: str, name: str) -> Entry | None:
        held = self._objects.get((kind, namespace))
        return None if held is None else held.get(name)

    def _index(self, name: str, entry: Entry, manifest: Mapping[str, Any]) -> None:
        for key in entry.keys:
            self._members[key].add((entry.kind, name))
        if (artifact := _artifact_hash(manifest)) is not None:
            self._revisions[entry.namespace, artifact].add(name)
        if entry.job is not None:
            self._job_pods[entry.namespace, entry.job].add(name)
            self._stale_job(entry.namespace, entry.job)

    def _forget(self, kind: str, namespace: str, name: str) -> frozenset[Key]:
        """Take an object out of the store and its indexes. The keys that it touched."""
        entry = self._objects[kind, namespace][name]
        touched = self._keys_of(name, entry)
        del self._objects[kind, namespace][name]
        for key in entry.keys:
            _discard(self._members, key, (kind, name))
        if kind == "ModelRevision" and (artifact := _artifact_hash(self._shelf.manifest(entry))) is not None:
            _discard(self._revisions, (namespace, artifact), name)
        if entry.job is not None:
            _discard(self._job_pods, (namespace, entry.job), name)
            self._stale_job(namespace, entry.job)
        self._shelf.forget(entry)
        return touched

    def _stale_job(self, namespace: str, job: str) -> None:
        if entry := self._entry("Job", namespace, job):
            entry.view = None

    def _models(self, namespace: str) -> frozenset[Key]:
        return frozenset(Key(namespace, name) for name in self._objects["QuantizedModel", namespace])


def reference(manifest: Mapping[str, Any]) -> Reference:
    """Kind, namespace and name of an object."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _artifact_hash(manifest: Mapping[str, Any]) -> str | None:
    """Of a ModelRevision. It may be another version's, and have none."""
    if manifest["kind"] != "ModelRevision":
        return None
    found = (manifest.get("spec") or {}).get("artifactHash")
    return found if isinstance(found, str) else None


def _discard(sets: dict[Name, set[Member]], key: Name, member: Member) -> None:
    """Take a member out of a set that goes when it is empty."""
    sets[key].discard(member)
    if not sets[key]:
        del sets[key]


def _newer(version: str, known: str) -> bool:
    """Whether a resourceVersion is newer. They are ordered as numbers within one kind; others only differ."""
    if version.isdecimal() and known.isdecimal():
        return int(version) > int(known)
    return version != known
