"""Nodes as decisions see them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import InvalidOperation
from typing import Any

from lowbit.api.quantity import quantity
from lowbit.state.snapshot import NodeView, Taint


def node_view(manifest: Mapping[str, Any]) -> NodeView:
    """A node's labels, taints, and how much it has of each extended resource (nvidia.com/gpu)."""
    metadata, spec, status = (manifest.get(part) or {} for part in ("metadata", "spec", "status"))
    taints = (
        Taint(each.get("key", ""), each.get("value") or "", each.get("effect", "")) for each in spec.get("taints") or ()
    )
    amounts = {name: _count(text) for name, text in (status.get("allocatable") or {}).items() if "/" in name}
    return NodeView(
        name=metadata.get("name", ""),
        labels=metadata.get("labels") or {},
        taints=tuple(taints),
        allocatable={name: amount for name, amount in amounts.items() if amount},
    )


def _count(text: str) -> int:
    try:
        return int(quantity(text))
    except InvalidOperation:
        return 0
