"""The comparison's own tests: one that finds nothing would let every run pass."""

from __future__ import annotations

import itertools
from typing import Any

from tests.faults.compare import breaches, difference, more_than, state
from tests.faults.mirror import Happened, Space


class Told:
    """A history, event by event."""

    def __init__(self, name: str = "plan-000001") -> None:
        self.space = Space(name)
        self._versions = itertools.count(1)

    def happens(self, kind: str, name: str, type_: str = "ADDED", **more: Any) -> None:
        version = next(self._versions)
        known = self.space.objects.get((kind, name), {}).get("metadata", {})
        uid = known.get("uid", f"{version:08x}-0000-0000-0000-000000000000")
        metadata = {"name": name, "namespace": self.space.name, "uid": uid, "resourceVersion": str(version)}
        manifest = {"kind": kind, "metadata": metadata | more.pop("metadata", {})} | more
        self.space.take(Happened(type_, kind, name, version, manifest))

    def serves(self, revision: str) -> None:
        labels = {"lowbit.dev/revision": revision}
        self.happens("Deployment", "chat", spec={"template": {"metadata": {"labels": labels}}})

    def judged(self, revision: str, verdict: str) -> None:
        self.happens("ModelRevision", revision, status={"verdict": {"verdict": verdict}})


def test_a_revision_that_had_passed_may_be_served() -> None:
    told = Told()
    told.judged("one", "Passed")
    told.serves("one")
    assert list(breaches(told.space)) == []


def test_a_revision_that_passed_later_or_never_may_not() -> None:
    told = Told()
    told.judged("one", "Failed")
    told.serves("one")
    told.judged("one", "Passed")
    assert list(breaches(told.space)) == ["Deployment chat served one at 2, which had not passed"]


def test_what_is_owned_by_something_that_is_gone_is_an_orphan() -> None:
    told = Told()
    owner = {"kind": "Job", "name": "one", "uid": "other"}
    told.happens("Job", "one")
    told.happens("Pod", "one-0", metadata={"ownerReferences": [owner]})
    assert list(breaches(told.space)) == ["Pod one-0 is owned by Job one, which is gone"]


def test_two_runs_are_the_same_but_for_uids_versions_times_and_namespace() -> None:
    first, second = Told(), Told("plan-000002")
    second.happens("Job", "before")
    second.happens("Job", "before", "DELETED")
    for each, time in ((first, "2026-01-01T00:00:00Z"), (second, "2026-01-02T03:04:05.678Z")):
        each.happens("Job", "one", status={"startTime": time, "message": f"in {each.space.name}"})
    assert difference(state(first.space), state(second.space)) == ""
    second.happens("Job", "one", "MODIFIED", status={"message": "other"})
    assert "Job one" in difference(state(first.space), state(second.space))


def test_an_object_made_twice_is_one_too_many() -> None:
    told = Told()
    for type_ in ("ADDED", "DELETED", "ADDED"):
        told.happens("Job", "one", type_)
    assert more_than({"Job one": 1}, dict(told.space.counts("ADDED"))) == ["Job one: 2 times, not 1"]
    assert more_than({}, dict(told.space.counts("DELETED"))) == ["Job one: 1 times, not 0"]
