"""The specs that are changed: one that sets all that may be set together, and what Kubernetes itself would refuse."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.api.manifests import good
from tests.faults.properties.changes import Change, Spec, changes, look
from tests.faults.properties.schema import Path, Property, Schema, child, spec_schema
from tests.faults.properties.values import fill

MODELS = spec_schema("quantizedmodels")
STORES = spec_schema("modelstores")
ARTIFACT: Path = ("candidates", "[]", "artifact")
POD: dict[str, Any] = {
    "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "4Gi"}},
    "env": [{"name": "OMP_NUM_THREADS", "value": "8"}],
    "runtimeClassName": "spare",
    "priorityClassName": "spare",
    "serviceAccountName": "spare",
}
BROKEN: tuple[tuple[str, Any], ...] = (
    ("nodeSelector", {"not a label": "x"}),
    ("annotations", {"not a label": "x"}),
    ("tolerations", [{"key": "not a label", "operator": "Exists"}]),
    ("affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
    ("affinity", {"nodeAffinity": "none"}),
    ("resources", {"requests": {"memory": "8Gi"}, "limits": {"memory": "4Gi"}}),
    ("resources", {"limits": {"not a resource": "1"}}),
)
"""Of a pod: what the CRD's schema takes, and Kubernetes does not."""


def full() -> Spec:
    """Everything that may be set together, served."""
    spec = good("full")["spec"]
    spec["serving"]["pod"] |= copy.deepcopy(POD)
    for stage in ("prepare", "quantize", "evaluate"):
        spec["jobs"][stage] = spec["jobs"].get(stage, {}) | copy.deepcopy(POD) | {"maxMemory": "64Gi"}
    filled: Spec = fill((), MODELS, spec)
    for candidate in filled["candidates"]:
        if "artifact" in candidate:
            candidate.pop("calibration", None)  # it reads none
    for suite in filled["evaluation"]["suites"]:
        suite["gate"].pop("nonInferiority", None)  # of tasks alone, and these are fidelity's
    return filled


def artifact_first() -> Spec:
    """As full, and what is served was quantized by somebody else."""
    spec = full()
    return spec | {"candidates": spec["candidates"][::-1]}


def model_changes() -> Iterator[Change]:
    """Every change of every property of a QuantizedModel's spec."""
    yield from (each for each in changes(MODELS, full()) if each.property.path[: len(ARTIFACT)] != ARTIFACT)
    yield from changes(MODELS, artifact_first(), ARTIFACT)


def broken_changes() -> Iterator[Change]:
    """What the schema takes, and Kubernetes does not; of a Job with another seed, so that it is made anew."""
    for stage in ("prepare", "evaluate", "serving"):
        place = ("serving", "pod") if stage == "serving" else ("jobs", stage)
        for field, value in BROKEN:
            after = copy.deepcopy(full())
            look(after, place)[field] = value
            if stage != "serving":
                after["evaluation"]["suites"][0]["fidelity"]["samples"] += 1
            schema = _schema(MODELS, (*place, field))
            yield Change(Property((*place, field), schema), f"broken ({value})", full(), (after,))


def store_changes() -> Iterator[Change]:
    """Every change of every property of a ModelStore's spec."""
    for name in ("store-pvc", "store-s3"):
        spec = good(name)["spec"]
        member = next(iter(spec))
        yield from (each for each in changes(STORES, spec, (member,)))


def _schema(schema: Schema, path: Path) -> Schema:
    for step in path:
        schema = child(schema, step)
    return schema
