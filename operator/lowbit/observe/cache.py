"""The cache of what was seen: filled by watches, compared with LISTs, and by what our own writes answered."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from lowbit.api.documents import ProgressLine
from lowbit.api.platform import Platform
from lowbit.observe.compare import Comparison, Difference
from lowbit.observe.entries import WHOLE, Entry, Shelf
from lowbit.observe.gpujobs import GpuJobIndex
from lowbit.observe.indexes import Indexes
from lowbit.observe.jobviews import job_view
from lowbit.observe.keys import Key, Reference, newer, reference
from lowbit.observe.parse import TYPES, Unreadable, parse
from lowbit.observe.readings import Readings
from lowbit.observe.scraped import scraped_of
from lowbit.observe.snapshots import build_snapshot
from lowbit.observe.trim import trim
from lowbit.observe.views import deployment_view
from lowbit.state.snapshot import EngineLog, EngineStart, EventsRead, NodeView, ResultRead, Snapshot

TOMBSTONES = 10_000
"""Uids of removed objects that are remembered, so that a late event brings none of them back."""
UNCHANGED: frozenset[Key] = frozenset()
NOT_MADE = ("ModelStore", "Pod")
"""Kinds that belong to QuantizedModels and are made by others."""


class Cache:
    """All that was seen. Used from one thread; every change says which keys it touches."""

    def __init__(self, platform: Platform | None = None, whole: int = WHOLE) -> None:
        """whole: so many objects are kept as they are, the others compressed."""
        self.platform = platform or Platform()
        self.has_pod_monitors = False
        self.nodes: tuple[NodeView, ...] | None = None
        self._objects: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        self._shelf = Shelf(whole)
        self._indexes = Indexes()
        self.gpu_jobs = GpuJobIndex()
        self._readings = Readings()
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._bereft: set[Key] = set()
        """Of the QuantizedModels that are known, those of which somebody else has deleted something."""
        self.on_job: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], None] | None = None
        """Told of each change of a Job: as it was, as it is."""

    def put(self, manifest: Mapping[str, Any]) -> frozenset[Key]:
        """Take an object as it was seen. The keys that it touches; none when it is not newer than what is known."""
        kind, namespace, name = reference(manifest)
        known = self._objects[kind, namespace].get(name)
        metadata = manifest["metadata"]
        if metadata.get("uid") in self._removed:
            return UNCHANGED
        if known is not None and not newer(metadata.get("resourceVersion", ""), known.version):
            return UNCHANGED
        touched = self._forget(kind, namespace, name) if known is not None else UNCHANGED
        trimmed = trim(manifest)
        entry = Entry(trimmed)
        self._objects[kind, namespace][name] = entry
        self._indexes.add(name, entry, trimmed)
        self._stale_job(entry)
        if kind == "Job":
            touched |= self._put_job(known, manifest, trimmed)
        self._shelf.asked(entry)
        return touched | self._keys_of(name, entry)

    def _put_job(self, known: Entry | None, manifest: Mapping[str, Any], trimmed: Mapping[str, Any]) -> frozenset[Key]:
        """What a Job changes beside itself: the key of those that wait for its GPUs."""
        if self.on_job is not None:
            self.on_job(self._shelf.manifest(known) if known is not None else None, trimmed)
        if _suspended(trimmed):
            # It begins anew: what its former pods said of their progress holds no more.
            self._readings.forget("Job", trimmed["metadata"].get("namespace", ""), trimmed["metadata"]["name"])
        return self.gpu_jobs.put(manifest, self.platform.gpu_resource)

    def remove(self, manifest: Mapping[str, Any], *, by_us: bool = False) -> frozenset[Key]:
        """Take it that an object is gone, deleted by us or by somebody else. The keys that it touches."""
        kind, namespace, name = reference(manifest)
        uid = str(manifest["metadata"].get("uid", ""))
        known = self._objects[kind, namespace].get(name)
        if uid:
            self._removed[uid] = None
            if len(self._removed) > TOMBSTONES:
                self._removed.popitem(last=False)
        if known is None or (uid and known.uid != uid):
            return UNCHANGED  # gone already, or there is a new one of that name
        self._readings.forget(kind, namespace, name)
        touched = self._forget(kind, namespace, name)
        woken = self.gpu_jobs.remove(namespace, name) if kind == "Job" else UNCHANGED
        if kind == "QuantizedModel":
            self._bereft.discard(Key(namespace, name))
        elif kind not in NOT_MADE and not by_us:
            self._bereft |= {key for key in touched if self._entry(key.kind, key.namespace, key.name)}
        return touched | woken

    def is_bereft(self, key: Key) -> bool:
        """Whether something that we had made for a QuantizedModel was deleted, and not by us: it may be gone itself."""
        return key in self._bereft

    def found(self, key: Key) -> None:
        """A bereft QuantizedModel was asked for, and is there."""
        self._bereft.discard(key)

    def sync(
        self, kind: str, items: Iterable[Mapping[str, Any]], listed_at: str, namespace: str | None = None
    ) -> Difference:
        """Compare with a LIST of a kind, taken at a resourceVersion (in a namespace, or in all of them)."""
        comparison = self.comparison(kind, namespace)
        comparison.take(items)
        return comparison.end(listed_at)

    def rest(self, key: Key) -> None:
        """Nothing is to be done for a QuantizedModel: keep what belongs to it compressed until somebody asks for it."""
        for kind, name in self._indexes.members.get(key, ()):
            self.pack(kind, key.namespace, name)
            for pod in self._indexes.pods_of(key.namespace, name) if kind == "Job" else ():
                if self._only(key, name):
                    self._readings.results.pop((key.namespace, pod), None)
                self.pack("Pod", key.namespace, pod)

    def _only(self, key: Key, job: str) -> bool:
        """Whether a Job is of this QuantizedModel alone: another one may still wait for its result."""
        entry = self._entry("Job", key.namespace, job)
        return entry is not None and entry.keys == {key}

    def pack(self, kind: str, namespace: str, name: str) -> None:
        """Keep an object compressed until somebody asks for it."""
        if entry := self._entry(kind, namespace, name):
            self._shelf.pack(entry)

    def comparison(self, kind: str, namespace: str | None = None) -> Comparison:
        """The same, part by part."""
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
        if entry is None or _suspended(self._shelf.manifest(entry)):
            return UNCHANGED
        entry.view = None
        return entry.keys if self._readings.put_progress((namespace, job), line, read_at) else UNCHANGED

    def put_engine_log(self, namespace: str, pod: str, log: EngineLog) -> frozenset[Key]:
        """Take what was read of the log of a pod's engine, which has ended."""
        entry = self._entry("Pod", namespace, pod)
        if entry is None:
            return UNCHANGED
        self._readings.engines[namespace, pod] = log
        return self._read(pod, entry)

    def put_engine_start(self, namespace: str, pod: str, start: EngineStart) -> frozenset[Key]:
        """Take what was read of how a pod's engine runs."""
        entry = self._entry("Pod", namespace, pod)
        if entry is None or entry.uid != start.uid:
            return UNCHANGED
        self._readings.starts[namespace, pod] = start
        return self._read(pod, entry)

    def put_result(self, namespace: str, pod: str, result: ResultRead) -> frozenset[Key]:
        """Take a result that was read in a worker's log. It is kept until nothing is to be done any more."""
        entry = self._entry("Pod", namespace, pod)
        known = self._readings.results.get((namespace, pod))
        if entry is None or (known is not None and known.message == result.message):
            return UNCHANGED  # unread again, as a rule: who is woken asks again at once
        self._readings.results[namespace, pod] = result
        return self._read(pod, entry)

    def events_read_at(self, kind: str, namespace: str, name: str) -> float:
        """When an object's events were read last (seconds since the epoch)."""
        read = self._readings.events.get((kind, namespace, name))
        return read.at if read is not None else float("-inf")

    def put_nodes(self, nodes: tuple[NodeView, ...]) -> bool:
        """Take the nodes with GPUs. Whether they differ from those so far."""
        differ, self.nodes = nodes != self.nodes, nodes
        return differ

    def put_events(self, kind: str, namespace: str, name: str, read: EventsRead) -> frozenset[Key]:
        """Take the events of a Job or pod. Nobody is touched if they say nothing new."""
        entry = self._entry(kind, namespace, name)
        if entry is None or entry.uid != read.uid or not self._readings.put_events((kind, namespace, name), read):
            return UNCHANGED
        return self._read(name, entry)

    def _read(self, pod: str, entry: Entry) -> frozenset[Key]:
        """Something was read of a pod's log: the views that show it are made anew."""
        entry.view = None
        self._stale_job(entry)
        return self._keys_of(pod, entry)

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
        """The keys of all QuantizedModels and ModelStores, and of the namespaces in which Jobs wait for GPUs."""
        return self.gpu_jobs.keys() | frozenset(
            Key(namespace, name, kind)
            for kind in ("QuantizedModel", "ModelStore")
            for namespace in self.namespaces(kind)
            for name in self._objects[kind, namespace]
        )

    def members(self, key: Key) -> frozenset[tuple[str, str]]:
        """(kind, name) of the objects that name a QuantizedModel by label or owner reference."""
        return frozenset(self._indexes.members.get(key, ()))

    def names(self, kind: str, namespace: str) -> tuple[str, ...]:
        """Names of the objects of a kind in a namespace."""
        return tuple(self._objects.get((kind, namespace), ()))

    def artifact_hashes(self, namespace: str) -> tuple[str, ...]:
        """Of the ModelRevisions in a namespace."""
        return tuple(each for space, each in self._indexes.revisions if space == namespace)

    def revisions_of(self, namespace: str, artifact_hash: str) -> frozenset[str]:
        """Names of the ModelRevisions in a namespace that need one artifact."""
        return frozenset(self._indexes.revisions.get((namespace, artifact_hash), ()))

    def view(self, kind: str, namespace: str, name: str) -> Any:
        """The parsed object or view, kept until it changes. None when it is not there. Raises Unreadable."""
        entry = self._entry(kind, namespace, name)
        if entry is None:
            return None
        manifest = self._shelf.manifest(entry)
        if entry.view is None:
            entry.view = self._make_view(kind, namespace, name, manifest)
            entry.scraped = entry.scraped or scraped_of(getattr(entry.view, "body", None))
        if isinstance(entry.view, Unreadable):
            raise entry.view
        return entry.view

    def views(self, kind: str, namespace: str) -> dict[str, Any]:
        """All readable views of a kind in a namespace, by name."""
        found = {}
        for name in self.names(kind, namespace):
            with suppress(Unreadable):
                found[name] = self.view(kind, namespace, name)
        return found

    def scraped(self, kind: str, namespace: str) -> dict[str, Any]:
        """What metrics say of all readable objects of one of Lowbit's kinds in a namespace, by name."""
        found = {}
        for name, entry in self._objects.get((kind, namespace), {}).items():
            if entry.scraped is None:
                with suppress(Unreadable):
                    self.view(kind, namespace, name)
                    self._shelf.pack(entry)
            if entry.scraped is not None:
                found[name] = entry.scraped
        return found

    def _make_view(self, kind: str, namespace: str, name: str, manifest: Mapping[str, Any]) -> Any:
        if kind == "Job":
            seen = [self.get("Pod", namespace, pod) for pod in self._indexes.pods_of(namespace, name)]
            pods = [pod for pod in seen if pod is not None]
            return job_view(manifest, pods, self._readings)
        if kind == "Pod":
            return self._readings.pod(manifest)
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

    def _forget(self, kind: str, namespace: str, name: str) -> frozenset[Key]:
        """Take an object out of the cache and its indexes. The keys that it touched."""
        entry = self._objects[kind, namespace][name]
        touched = self._keys_of(name, entry)
        del self._objects[kind, namespace][name]
        self._indexes.remove(name, entry, self._shelf.manifest(entry) if kind == "ModelRevision" else None)
        self._stale_job(entry)
        self._shelf.forget(entry)
        return touched

    def _stale_job(self, pod: Entry) -> None:
        """A Job's view shows its pods."""
        if pod.job is not None and (entry := self._entry("Job", pod.namespace, pod.job)):
            entry.view = None

    def _models(self, namespace: str) -> frozenset[Key]:
        return frozenset(Key(namespace, name) for name in self._objects["QuantizedModel", namespace])


def _suspended(job: Mapping[str, Any]) -> bool:
    return bool((job.get("spec") or {}).get("suspend"))
