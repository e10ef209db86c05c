"""Topologies: an engine has the first one that holds it."""

from __future__ import annotations

from lowbit.api.engines import ResolvedEngine
from lowbit.api.tagged import Registry
from lowbit.desired.topology.base import EnginePod, Topology
from lowbit.desired.topology.group import Group
from lowbit.desired.topology.one_pod import OnePod

__all__ = ["TOPOLOGIES", "EnginePod", "Topology", "topology_of", "workload_kinds"]

TOPOLOGIES: Registry[Topology] = Registry("topology", Group(), OnePod())


def topology_of(engine: ResolvedEngine) -> Topology:
    """The shape of an engine's pods."""
    return next(each for each in TOPOLOGIES if each.holds(engine))


def workload_kinds() -> tuple[str, ...]:
    """Kinds of objects that keep serving pods, in any topology."""
    return tuple(dict.fromkeys(kind for each in TOPOLOGIES for kind in each.workload_kinds))
