"""Parts of manifests that several views read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def name_of(manifest: Mapping[str, Any]) -> str:
    """metadata.name."""
    return str(manifest["metadata"]["name"])


def conditions_of(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions by their type."""
    return {each["type"]: each for each in status.get("conditions") or ()}


def holds(conditions: Mapping[str, Mapping[str, Any]], type_: str) -> bool:
    """Whether a condition is True."""
    return conditions.get(type_, {}).get("status") == "True"


def container_statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statuses of a pod's init containers, then of its containers."""
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def termination(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A container's current termination, else the previous one."""
    for state in ("state", "lastState"):
        terminated: Mapping[str, Any] | None = (status.get(state) or {}).get("terminated")
        if terminated is not None:
            return terminated
    return None
