"""What two runs must have in common, and what no run may ever show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from lowbit.naming.names import APPLIED_ANNOTATION, REVISION_LABEL
from tests.faults.mirror import Happened, Space

State = dict[str, Any]
TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
LASTING = ("Gate", "Serving")
"""Beginnings of the reasons that tell of something that stays true until it is told."""
UNEQUAL = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
"""Metadata that differs between two runs in which the same has happened."""


@dataclass(frozen=True)
class Summary:
    """The outcome of one run."""

    state: State
    created: dict[str, int]
    deleted: dict[str, int]
    told: frozenset[str]
    """Reason and object of the Events that every run must have sent. Stages that were never seen are not told."""


def summary(space: Space) -> Summary:
    told = frozenset(each for each in space.told if each.startswith(LASTING))
    return Summary(state(space), dict(space.counts("ADDED")), dict(space.counts("DELETED")), told)


def state(space: Space) -> State:
    """All objects, without uids, versions and times."""
    return {f"{kind} {name}": _normal(manifest, space.name) for (kind, name), manifest in sorted(space.objects.items())}


def _normal(manifest: dict[str, Any], space: str) -> Any:
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in UNEQUAL}
    if APPLIED_ANNOTATION in (metadata.get("annotations") or {}):  # a hash over uids, too
        metadata["annotations"] = metadata["annotations"] | {APPLIED_ANNOTATION: "HASH"}
    owners = metadata.get("ownerReferences") or ()
    metadata["ownerReferences"] = sorted(f"{each['kind']} {each['name']}" for each in owners)
    spec = {
        name: value for name, value in (manifest.get("spec") or {}).items() if name not in ("clusterIP", "clusterIPs")
    }
    status = dict(manifest.get("status") or {})
    if manifest["kind"] == "Deployment":  # of generations only the QuantizedModel's is a promise
        status.pop("observedGeneration", None)
    text = json.dumps(manifest | {"metadata": metadata, "spec": spec, "status": status}, sort_keys=True)
    return json.loads(UID.sub("UID", TIME.sub("TIME", text.replace(space, "SPACE"))))


def difference(wanted: State, found: State) -> str:
    """The lines that differ, object by object."""
    lines: list[str] = []
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            texts = [json.dumps(each.get(name), indent=1, sort_keys=True).splitlines() for each in (wanted, found)]
            lines += [
                f"{name}:",
                *(line for line in unified_diff(texts[0], texts[1], "clean run", "this run", n=1, lineterm="")),
            ]
    return "\n".join(lines)


def more_than(clean: dict[str, int], run: dict[str, int]) -> list[str]:
    """What a run has done and the clean one has not, or not so often."""
    return [
        f"{name}: {count} times, not {clean.get(name, 0)}" for name, count in run.items() if count > clean.get(name, 0)
    ]


def breaches(space: Space) -> Iterator[str]:
    """Where the run broke a rule that holds in every state on the way, and what it left with an owner that is gone."""
    for event in space.history:
        if event.kind == "Deployment" and event.type != "DELETED":
            labels = event.manifest["spec"]["template"]["metadata"].get("labels") or {}
            revision = labels.get(REVISION_LABEL)
            if not any(_passed(each, revision, event.version) for each in space.history):
                yield f"Deployment {event.name} served {revision} at {event.version}, which had not passed"
    yield from orphans(space)


def orphans(space: Space) -> Iterator[str]:
    """What is owned by something that is gone."""
    uids = {each["metadata"]["uid"] for each in space.objects.values()}
    for (kind, name), manifest in space.objects.items():
        for owner in manifest["metadata"].get("ownerReferences") or ():
            if owner["uid"] not in uids:
                yield f"{kind} {name} is owned by {owner['kind']} {owner['name']}, which is gone"


def _passed(event: Happened, revision: str | None, before: int) -> bool:
    if event.kind != "ModelRevision" or event.name != revision or event.version > before:
        return False
    verdict = event.manifest.get("status", {}).get("verdict") or {}
    return verdict.get("verdict") == "Passed" and event.type != "DELETED"
