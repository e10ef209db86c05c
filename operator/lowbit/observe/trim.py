"""What is kept of an object: the fields that are read, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_JOB_SPEC = ("ttlSecondsAfterFinished", "suspend")
_POD_STATUS = ("phase", "reason", "conditions", "containerStatuses", "initContainerStatuses", "podIP")


def trim(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without managedFields: of a pod's spec the node alone, of a Job's little, immutable ConfigMaps without
    data."""
    kind = manifest["kind"]
    metadata = {
        name: value for name, value in manifest["metadata"].items() if name not in ("managedFields", "selfLink")
    }
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    trimmed = {name: value for name, value in manifest.items() if name != "metadata"} | {"metadata": metadata}
    if kind == "Pod":
        metadata.pop("annotations", None)
        status = manifest.get("status") or {}
        trimmed["status"] = {name: status[name] for name in _POD_STATUS if name in status}
        node = (manifest.get("spec") or {}).get("nodeName")
        trimmed.pop("spec", None)
        trimmed |= {"spec": {"nodeName": node}} if node else {}
    if kind == "Job":
        spec = manifest.get("spec") or {}
        trimmed["spec"] = {name: spec[name] for name in _JOB_SPEC if name in spec}
    if kind == "StatefulSet":
        trimmed.pop("spec", None)
        trimmed.pop("status", None)
    if kind == "ConfigMap" and manifest.get("immutable"):
        trimmed.pop("data", None)
        trimmed.pop("binaryData", None)
    return trimmed
