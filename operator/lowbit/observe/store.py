"""The store of what was seen: filled by watches, compared with LISTs, and by what our own writes answered."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lowbit.api.documents import ProgressLine
from lowbit.api.platform import Platform
from lowbit.decide.snapshot import Snapshot
from lowbit.observe.keys import Key, direct_keys, job_of_pod
from lowbit.observe.parse import TYPES, Unreadable, parse
from lowbit.observe.snapshots import build_snapshot
from lowbit.observe.trim import trim
from lowbit.observe.views import deployment_view, job_view, pod_view

TOMBSTONES = 10_000
"""Uids of removed objects that are remembered, so that a late event brings none of them back."""
UNCHANGED: frozenset[Key] = frozenset()

Reference = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(slots=True)
class Entry:
    """One object, trimmed, and the view of it that was made last."""

    manifest: dict[str, Any]
    view: Any = None

    @property
    def uid(self) -> str:
        return str(self.manifest["metadata"].get("uid", ""))

    @property
    def version(self) -> str:
        return str(self.manifest["metadata"].get("resourceVersion", ""))


@dataclass(frozen=True)
class Difference:
    """What a LIST found that the watches had not brought: the keys it touches, and the objects."""

    keys: frozenset[Key]
    objects: tuple[Reference, ...]


class Store:
    """All that was seen. Used from one thread; every change says which keys it touches."""

    def __init__(self, platform: Platform | None = None) -> None:
        self.platform = platform or Platform()
        self.has_pod_monitors = False
        self._objects: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        self._members: dict[Key, set[tuple[str, str]]] = defaultdict(set)
        self._job_pods: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._progress: dict[tuple[str, str], tuple[ProgressLine | None, float]] = {}
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._unreadable: dict[tuple[str, str], dict[str, str]] = {}
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
        entry = Entry(trim(manifest))
        self._objects[kind, namespace][name] = entry
        self._index(kind, namespace, name, entry.manifest)
        if kind == "Job" and self.on_job is not None:
            self.on_job(known.manifest if known is not None else None, entry.manifest)
        return touched | self.keys_of(entry.manifest)

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
        self, kind: str, items: Iterable[Mapping[str, Any]], listed_at: str, namespaces: Iterable[str] | None = None
    ) -> Difference:
        """Compare with a LIST of a kind, taken at a resourceVersion (in these namespaces, or in all of them)."""
        listed: set[Reference] = set()
        touched: set[Key] = set()
        different: list[Reference] = []
        for item in items:
            listed.add(reference(item))
            before = self.get(*reference(item))
            if keys := self.put(item):
                touched |= keys
            if self.get(*reference(item)) is not before:
                different.append(reference(item))
        for entry in list(self._of_kind(kind, namespaces)):
            # What is newer than the LIST was made after it.
            if reference(entry.manifest) not in listed and not _newer(entry.version, listed_at):
                different.append(reference(entry.manifest))
                touched |= self.remove(entry.manifest)
        return Difference(frozenset(touched), tuple(different))

    def put_progress(self, namespace: str, job: str, line: ProgressLine | None, read_at: float) -> frozenset[Key]:
        """Take a Job's last progress line (None: there was none), read at a time (seconds since the epoch)."""
        entry = self._objects["Job", namespace].get(job)
        if entry is None:
            return UNCHANGED
        before = self._progress.get((namespace, job), (None, 0.0))[0]
        self._progress[namespace, job] = (line or before, read_at)
        entry.view = None
        return direct_keys(entry.manifest) if line is not None and line != before else UNCHANGED

    def keys_of(self, manifest: Mapping[str, Any]) -> frozenset[Key]:
        """The keys that an object touches."""
        kind, namespace, name = reference(manifest)
        if kind == "ModelStore":
            return self._models(namespace) | {Key(namespace, name, "ModelStore")}
        keys = direct_keys(manifest)
        if kind == "Pod" and (job := job_of_pod(manifest)) and (entry := self._objects["Job", namespace].get(job)):
            keys |= direct_keys(entry.manifest)
        return keys

    def snapshot(self, key: Key) -> Snapshot | None:
        """All that belongs to one QuantizedModel; None when there is none of that name."""
        return build_snapshot(self, key)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object, trimmed."""
        entry = self._objects[kind, namespace].get(name) if (kind, namespace) in self._objects else None
        return entry.manifest if entry is not None else None

    def count(self, kind: str) -> int:
        """How many objects of a kind are known."""
        return sum(1 for _ in self._of_kind(kind, None))

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

    def members(self, key: Key) -> Iterator[tuple[str, str]]:
        """(kind, name) of the objects that name a QuantizedModel by label or owner reference."""
        yield from self._members.get(key, ())

    def view(self, kind: str, namespace: str, name: str) -> Any:
        """The parsed object or view, kept until it changes. None when it is not there. Raises Unreadable."""
        entry = self._objects[kind, namespace].get(name) if (kind, namespace) in self._objects else None
        if entry is None:
            return None
        if entry.view is None:
            entry.view = self._make_view(kind, namespace, name, entry.manifest)
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

    def unreadable(self, kind: str, namespace: str) -> Mapping[str, str]:
        """Of the objects of a kind that were looked at, those that cannot be read, by name: why."""
        return self._unreadable.get((kind, namespace), {})

    def _make_view(self, kind: str, namespace: str, name: str, manifest: Mapping[str, Any]) -> Any:
        if kind == "Job":
            known = self._objects["Pod", namespace]
            pods = [known[pod].manifest for pod in self._job_pods.get((namespace, name), ()) if pod in known]
            return job_view(manifest, pods, self._progress.get((namespace, name)))
        if kind == "Pod":
            return pod_view(manifest)
        if kind == "Deployment":
            return deployment_view(manifest)
        type_: type[BaseModel] = TYPES[kind]
        try:
            return parse(type_, manifest)
        except Unreadable as error:
            self._unreadable.setdefault((kind, namespace), {})[name] = str(error)
            return error.with_traceback(None)

    def _index(self, kind: str, namespace: str, name: str, manifest: Mapping[str, Any]) -> None:
        for key in direct_keys(manifest):
            self._members[key].add((kind, name))
        if kind == "Pod" and (job := job_of_pod(manifest)):
            self._job_pods[namespace, job].add(name)
            self._stale_job(namespace, job)

    def _forget(self, kind: str, namespace: str, name: str) -> frozenset[Key]:
        """Take an object out of the store and its indexes. The keys that it touched."""
        manifest = self._objects[kind, namespace][name].manifest
        touched = self.keys_of(manifest)
        del self._objects[kind, namespace][name]
        if (kind, namespace) in self._unreadable:
            self._unreadable[kind, namespace].pop(name, None)
        for key in direct_keys(manifest):
            members = self._members.get(key, set())
            members.discard((kind, name))
            if not members:
                self._members.pop(key, None)
        if kind == "Pod" and (job := job_of_pod(manifest)):
            self._job_pods[namespace, job].discard(name)
            if not self._job_pods[namespace, job]:
                del self._job_pods[namespace, job]
            self._stale_job(namespace, job)
        return touched

    def _stale_job(self, namespace: str, job: str) -> None:
        if entry := self._objects["Job", namespace].get(job):
            entry.view = None

    def _models(self, namespace: str) -> frozenset[Key]:
        return frozenset(Key(namespace, name) for name in self._objects["QuantizedModel", namespace])

    def _of_kind(self, kind: str, namespaces: Iterable[str] | None) -> Iterator[Entry]:
        wanted = None if namespaces is None else set(namespaces)
        for (each, namespace), held in list(self._objects.items()):
            if each == kind and (wanted is None or namespace in wanted):
                yield from held.values()


def reference(manifest: Mapping[str, Any]) -> Reference:
    """Kind, namespace and name of an object."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _newer(version: str, known: str) -> bool:
    """Whether a resourceVersion is newer. They are ordered as numbers within one kind; others only differ."""
    if version.isdecimal() and known.isdecimal():
        return int(version) > int(known)
    return version != known
