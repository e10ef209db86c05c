"""Indexes of the cache: what belongs to a QuantizedModel, to a Job, to an artifact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from lowbit.observe.entries import Entry
from lowbit.observe.keys import Key

Name = TypeVar("Name", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)


class Indexes:
    """Kept as objects come and go. A set goes when it is empty."""

    def __init__(self) -> None:
        self.members: dict[Key, set[tuple[str, str]]] = defaultdict(set)
        """(kind, name) of the objects that name a QuantizedModel by label or owner reference."""
        self.job_pods: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Names of pods, by namespace and Job."""
        self.revisions: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Names of ModelRevisions, by namespace and artifact hash."""

    def add(self, name: str, entry: Entry, manifest: Mapping[str, Any]) -> None:
        """An object has come."""
        for key in entry.keys:
            self.members[key].add((entry.kind, name))
        if (artifact := artifact_hash(manifest)) is not None:
            self.revisions[entry.namespace, artifact].add(name)
        if entry.job is not None:
            self.job_pods[entry.namespace, entry.job].add(name)

    def remove(self, name: str, entry: Entry, manifest: Mapping[str, Any] | None) -> None:
        """An object has gone. manifest: of a ModelRevision."""
        for key in entry.keys:
            _discard(self.members, key, (entry.kind, name))
        if manifest is not None and (artifact := artifact_hash(manifest)) is not None:
            _discard(self.revisions, (entry.namespace, artifact), name)
        if entry.job is not None:
            _discard(self.job_pods, (entry.namespace, entry.job), name)

    def pods_of(self, namespace: str, job: str) -> frozenset[str]:
        """Names of a Job's pods."""
        return frozenset(self.job_pods.get((namespace, job), ()))


def artifact_hash(manifest: Mapping[str, Any]) -> str | None:
    """Of a ModelRevision. It may be another version's, and have none."""
    if manifest["kind"] != "ModelRevision":
        return None
    found = (manifest.get("spec") or {}).get("artifactHash")
    return found if isinstance(found, str) else None


def _discard(sets: dict[Name, set[Member]], key: Name, member: Member) -> None:
    sets[key].discard(member)
    if not sets[key]:
        del sets[key]
