"""A cluster in memory that keeps what the operator has seen between steps, and an actor for Jobs, pods and Deployments.

As tests.unit.world, with what an arbitrary state needs besides: the operator sees of shared kinds only what carries its
label (or what an AlreadyExists made it look at), an apply merges, finalizers hold what is deleted, clocks go anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lowbit.decide.serving.drift import LIST_KEYS
from lowbit.naming.names import DOCUMENT_ANNOTATION, LET_GO_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL
from lowbit.observe.cache import Cache
from lowbit.observe.entries import Entry
from lowbit.observe.keys import Key
from lowbit.state.plan import Apply, Plan
from tests.unit.world import NAMESPACE, Reference, Stale, World, job_controller

OWN_KINDS = ("QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation")
"""Watched whole; of all other kinds only what carries Lowbit's label."""
DIVERGENCE = {"Passed": 0.01, "Failed": 0.9, "Inconclusive": 0.15}
Manifest = dict[str, Any]


class Invalid(AssertionError):  # noqa: N818
    """A write that the API server would refuse however often it is tried."""


class Objects(dict[Reference, Manifest]):
    """The objects; what the operator watches goes on into its cache."""

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self.cache = cache
        self.looked: set[str] = set()
        """Uids of objects without the label that an AlreadyExists made the operator look at."""

    def __setitem__(self, reference: Reference, manifest: Manifest) -> None:
        super().__setitem__(reference, manifest)
        self.show(manifest)

    def __delitem__(self, reference: Reference) -> None:
        self.pop(reference)

    def pop(self, reference: Reference, default: Any = None) -> Any:
        """Take an object away: the watch says so."""
        gone = super().pop(reference, default)
        if gone is not None:
            self.cache.remove(gone)
        return gone

    def show(self, manifest: Manifest) -> None:
        """The watch brings an object, if it is one that is watched; one that lost its label is gone for the watch."""
        metadata = manifest["metadata"]
        labelled = (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY
        if labelled or manifest["kind"] in OWN_KINDS or metadata["uid"] in self.looked:
            self.cache.put(manifest)
        elif self.cache.get(manifest["kind"], NAMESPACE, metadata["name"]) is not None:
            hide(self.cache, manifest)

    def fork(self) -> Objects:
        """A copy that goes its own way. Manifests and views are never changed in place, so they are shared."""
        copy = Objects(fork(self.cache))
        copy.update(self)
        copy.looked = set(self.looked)
        return copy


def fork(cache: Cache) -> Cache:
    """A copy of a cache that shares manifests and views."""
    copy = Cache(cache.platform)
    copy.has_pod_monitors = cache.has_pod_monitors
    for reference, held in cache._objects.items():
        copy._objects[reference] = {name: copied(entry) for name, entry in held.items()}
    for mine, its in zip(vars(copy._indexes).values(), vars(cache._indexes).values(), strict=True):
        mine.update({key: set(held) for key, held in its.items()})
    copy._readings = deepcopy(cache._readings)
    copy._removed = cache._removed.copy()
    return copy


def copied(entry: Entry) -> Entry:
    """An entry of its own, for the same object and view."""
    copy = Entry.__new__(Entry)
    for name in Entry.__slots__:
        setattr(copy, name, getattr(entry, name))
    return copy


def hide(cache: Cache, manifest: Manifest) -> None:
    """A watch by label says DELETED when the label goes; the object itself may come back under its uid."""
    cache.remove(manifest)
    cache._removed.pop(str(manifest["metadata"]["uid"]), None)


@lru_cache(maxsize=8192)
def read(document: str) -> tuple[str, str]:
    """What a document asks for, without the platform's settings, as canonical text; and the digest of its model."""
    try:
        asked = json.loads(document)
    except ValueError:
        return document, ""  # a hand has been at it
    asked.pop("platform", None)
    model = asked.get("model") if isinstance(asked.get("model"), dict) else {}
    return json.dumps(asked, sort_keys=True), str((model or {}).get("digest", ""))


def document_of(manifest: Mapping[str, Any], annotation: str = DOCUMENT_ANNOTATION) -> str | None:
    """The document in the pod template of a Job or Deployment; None where a hand has taken it out."""
    template = (manifest.get("spec") or {}).get("template") or {}
    text = ((template.get("metadata") or {}).get("annotations") or {}).get(annotation)
    return None if text is None else str(text)


@dataclass
class Cluster(World):
    """A World with a cache that lives as long as it does. seed decides how good each artifact is."""

    seed: int = 0
    foreign: set[str] = field(default_factory=set)
    """Uids of objects that belong to somebody else."""
    forged: set[str] = field(default_factory=set)
    """Digests of artifacts that a damaged status says have passed."""
    lies: set[str] = field(default_factory=set)
    """Digests of artifacts that only an impostor has told of."""
    held: bool = False
    """Finalizers stay for ever."""
    stuck: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Deployments whose pods cannot start, as deploy.CANNOT_START says: the number there, and of tries that fail so."""
    outcomes: list[str] = field(default_factory=list)
    """How the next Jobs end: see OUTCOMES in actor; then all succeed."""

    def __post_init__(self) -> None:
        if not isinstance(self.objects, Objects):
            self.objects = Objects(Cache())
        self.kl = lambda evaluation: DIVERGENCE[self.quality(self.measured_digest(evaluation))]
        self.engine_image = self.image_of_engine

    @property
    def seen(self) -> Objects:
        """The objects with what the operator sees of them."""
        assert isinstance(self.objects, Objects)
        return self.objects

    def fork(self, seed: int | None = None) -> Cluster:
        """A copy that goes its own way."""
        copy = Cluster(objects=self.seen.fork(), now=self.now, seed=self.seed if seed is None else seed)
        copy.found, copy.stored, copy.stuck = dict(self.found), dict(self.stored), dict(self.stuck)
        copy.lies = set(self.lies)
        copy.versions = self.versions
        return copy

    def quality(self, digest: str) -> str:
        """The verdict that an artifact deserves."""
        number = hashlib.sha256(f"{self.seed} {digest}".encode()).digest()[0]
        return ("Passed", "Passed", "Failed", "Inconclusive")[number % 4]

    def image_of_engine(self, job: str) -> str:
        """The image that the engine of an evaluate Job runs: the one of the digest that it names, else the first."""
        containers = self.objects["Job", job]["spec"]["template"]["spec"].get("initContainers") or ()
        images = [each.get("image") or "" for each in containers if each["name"] == "engine"]
        return next((each for each in images if "@sha256:" in each), "engine@sha256:1")

    def measured_digest(self, job: str) -> str:
        """The digest of the model that an evaluate Job measures."""
        text = document_of(self.objects["Job", job])
        return "" if text is None else read(text)[1]

    def snapshot(self, name: str) -> Any:
        """As observe builds it from what was seen."""
        return self.seen.cache.snapshot(Key(NAMESPACE, name))

    def write(self, reference: Reference, whole: Manifest) -> Manifest:
        """Cache an object under a new resourceVersion."""
        metadata = whole["metadata"] | {"resourceVersion": str(next(self.versions))}
        stored = whole | {"metadata": metadata}
        self.objects[reference] = stored
        return stored

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Server-side apply by force: declared fields change, what others have added stays.

        As the executor does it: what was not seen is looked for first, and then it is decided anew. Raises Stale.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        known = self.objects.get((kind, name))
        if known is not None and self.seen.cache.get(kind, NAMESPACE, name) is None:
            self.look(known)
            raise Stale(f"{kind} {name} had not been seen")
        merged = dict(manifest) if known is None else merge(without_record(known), manifest)
        controllers = [each for each in merged["metadata"].get("ownerReferences") or () if each.get("controller")]
        if len(controllers) > 1:
            raise Invalid(f"{manifest['kind']} {manifest['metadata']['name']} would have two controllers")
        self.put(merged)

    def execute(self, plan: Plan) -> None:
        """Carry out a plan. Raises Stale where the executor would decide anew."""
        for action in plan.actions:
            if isinstance(action, Apply):
                self._count(action.manifest)
                self.apply(action.manifest)
            else:
                super().execute(Plan(actions=(action,)))
        if plan.status is not None:
            super().execute(Plan(status=plan.status, events=plan.events))
        super().execute(Plan(read_logs=plan.read_logs))
        self.show_read(self.seen.cache)

    def create(self, manifest: Mapping[str, Any]) -> None:
        """POST; AlreadyExists makes the operator look at what is there."""
        known = self.objects.get((manifest["kind"], manifest["metadata"]["name"]))
        if known is None:
            super().create(manifest)
            return
        self.look(known)

    def look(self, known: Manifest) -> None:
        """The operator has got an object that its watches do not bring."""
        self.seen.looked.add(known["metadata"]["uid"])
        self.seen.show(known)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; a finalizer holds it."""
        known = self.objects.get((kind, name))
        if known is None:
            return
        if known["metadata"].get("finalizers"):
            if not known["metadata"].get("deletionTimestamp"):
                gone = {"deletionTimestamp": f"{self.now:%Y-%m-%dT%H:%M:%SZ}"}
                self.write((kind, name), known | {"metadata": known["metadata"] | gone})
            return
        self.objects.pop((kind, name), None)
        if kind == "Job":
            for pod in [each for each in self.objects if each[0] == "Pod" and each[1].startswith(name)]:
                self.objects.pop(pod, None)
        self.collect()

    def add_pod(self, name: str, job: str, phase: str, statuses: list[dict[str, Any]]) -> None:
        """A pod of a Job, with the labels that its template gives it."""
        self.put(
            {
                "apiVersion": "v1", "kind": "Pod", "spec": {},
                "metadata": {
                    "name": name,
                    "labels": {"batch.kubernetes.io/job-name": job, MANAGED_BY_LABEL: MANAGED_BY},
                    "ownerReferences": [job_controller(job, self.objects["Job", job]["metadata"]["uid"])],
                },
                "status": {"phase": phase, "containerStatuses": statuses},
            }
        )  # fmt: skip

    def owners_of(self, name: str) -> list[Reference]:
        """What is labelled as a QuantizedModel's."""
        return [
            r for r, each in self.objects.items() if (each["metadata"].get("labels") or {}).get(MODEL_LABEL) == name
        ]


def without_record(known: Manifest) -> Manifest:
    """An object without the annotation, and the pause, that the operator applied: an apply that lacks them takes them
    away.
    """
    annotations = {k: v for k, v in (known["metadata"].get("annotations") or {}).items() if k != LET_GO_ANNOTATION}
    if annotations == (known["metadata"].get("annotations") or {}):
        return known
    spec = {key: value for key, value in known["spec"].items() if key != "paused"}
    return known | {"metadata": known["metadata"] | {"annotations": annotations}, "spec": spec}


def merge(known: Any, declared: Any) -> Any:
    """known with what is declared: maps by key, lists of named things by their names, all else as declared."""
    if isinstance(known, dict) and isinstance(declared, dict):
        return known | {key: merge(known.get(key), item) for key, item in declared.items()}
    if isinstance(known, list) and isinstance(declared, list) and declared:
        key = next((k for k in ("uid", *LIST_KEYS) if _named(known, k) and _named(declared, k)), None)
        if key is not None:
            mine = {item[key]: item for item in declared}
            kept = [merge(item, mine.pop(item[key], item)) for item in known]
            return kept + list(mine.values())
    return declared


def _named(items: list[Any], key: str) -> bool:
    return all(isinstance(item, dict) and key in item for item in items) and len({i[key] for i in items}) == len(items)
