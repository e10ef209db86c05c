"""Keys: what the queue holds. An object touches the QuantizedModels that it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from lowbit.api.base import GROUP
from lowbit.decide.serving.serve import SERVING_KINDS
from lowbit.naming.names import MODEL_LABEL

JOB_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
"""Set on the pods of a Job by its controller."""


GUARD_INFIX = "-guard-"
"""Between the QuantizedModel's name and the hash, in the name of a guard's ConfigMap."""


Reference = tuple[str, str, str]
"""Kind, namespace, name."""


class Key(NamedTuple):
    """One object to reconcile."""

    namespace: str
    name: str
    kind: str = "QuantizedModel"


def models_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the QuantizedModels that an object is, or names in its label or its owner references."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "QuantizedModel":
        return (sys.intern(metadata["name"]),)
    names = {
        owner["name"]
        for owner in metadata.get("ownerReferences") or ()
        if owner["kind"] == "QuantizedModel" and owner["apiVersion"].partition("/")[0] == GROUP
    }
    # What stands under a name that a child has is that QuantizedModel's business, whoever made it.
    if manifest["kind"] in SERVING_KINDS:
        names.add(metadata["name"])
    elif manifest["kind"] == "ConfigMap" and GUARD_INFIX in metadata["name"]:
        names.add(metadata["name"].rpartition(GUARD_INFIX)[0])
    if label := (metadata.get("labels") or {}).get(MODEL_LABEL):
        names.add(label)
    return tuple(map(sys.intern, names))


def job_of_pod(pod: Mapping[str, Any]) -> str | None:
    """Name of the Job that a pod belongs to."""
    labels = pod["metadata"].get("labels") or {}
    for label in JOB_NAME_LABELS:
        if name := labels.get(label):
            return str(name)
    return None


def reference(manifest: Mapping[str, Any]) -> Reference:
    """Kind, namespace and name of an object."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def newer(version: str, known: str) -> bool:
    """Whether a resourceVersion is newer. They are ordered as numbers within one kind; others only differ."""
    if version.isdecimal() and known.isdecimal():
        return int(version) > int(known)
    return version != known
