"""Whether the nodes that are there could hold an engine's pods, even if nothing else ran on them.

It is said beside the scheduler's own words, of pods that wait, and refuses nothing: an autoscaler adds nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lowbit.api.engine import Resources
from lowbit.api.engines import ResolvedEngine
from lowbit.api.gpus import memory_of
from lowbit.api.platform import Platform
from lowbit.api.pods import PodOptions, Toleration
from lowbit.api.quantity import quantity
from lowbit.desired.topology import topology_of
from lowbit.naming.names import product_of
from lowbit.state.snapshot import NodeView, PodView, Taint

SHOWN: Final = 3
"""Nodes that a message names."""
MEMORY_LABEL: Final = "nvidia.com/gpu.memory"
"""Of one GPU, in MiB."""
KEEPS_AWAY: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Group:
    """Pods that have to run together, and where they may."""

    resource: str
    """Resource name of their GPUs."""
    sizes: tuple[int, ...]
    """GPUs of each pod."""
    selector: Mapping[str, str]
    tolerations: Sequence[Toleration] = ()


def engine_group(engine: ResolvedEngine, asked: Resources, options: PodOptions, platform: Platform) -> Group:
    """The pods of one engine. asked: what the manifest says of its container, options: of its pods."""
    return group(tuple(pod.gpus for pod in topology_of(engine).pods(engine)), asked, options, platform)


def group(sizes: tuple[int, ...], asked: Resources, options: PodOptions, platform: Platform) -> Group:
    """Pods with so many GPUs each. An accelerator that the manifest names is asked for in their place."""
    resource, named = platform.gpu_resource, asked.accelerators
    if named and resource not in named:
        resource, amount = next(iter(named.items()))
        sizes = tuple(int(quantity(amount)) if size else 0 for size in sizes)
    return Group(resource, sizes, options.node_selector, options.tolerations)


def missing(group: Group, nodes: Sequence[NodeView]) -> str | None:
    """Which nodes would have to be there, as one sentence; None if those that are could hold all pods.

    It is never said of pods that could run. Of pods of one size that cannot it always is.
    """
    fitting = [node for node in nodes if kept_away(group, node) is None]
    for size in sorted({size for size in group.sizes if size}, reverse=True):
        wanted = sum(each >= size for each in group.sizes)
        there = sum(node.allocatable.get(group.resource, 0) // size for node in fitting)
        if there < wanted:
            return _sentence(group, nodes, size, wanted - there)
    return None


def kept_away(group: Group, node: NodeView) -> str | None:
    """Why the pods may not run on a node, whatever it has; None if they may, as far as affinity allows."""
    for label, value in group.selector.items():
        if node.labels.get(label) != value:
            return f"nodeSelector wants {label}={value}"
    for taint in node.taints:
        own = taint.key == group.resource  # the admission plugin ExtendedResourceToleration adds that one
        if taint.effect in KEEPS_AWAY and not own and not any(tolerates(each, taint) for each in group.tolerations):
            return f"its taint {taint.text} is not tolerated"
    return None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """As Kubernetes compares them: no key tolerates every one, no effect every effect."""
    if toleration.effect is not None and toleration.effect != taint.effect:
        return False
    if toleration.key is not None and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (toleration.key is not None and (toleration.value or "") == taint.value)


def largest_gpu(group: Group, nodes: Sequence[NodeView]) -> str | None:
    """The GPU with most memory among the nodes that the pods may use, as memory_of() reads it; None if none says so."""
    named = (gpu_of(node) for node in nodes if group.resource in node.allocatable and kept_away(group, node) is None)
    return max((name for name in named if name is not None), key=lambda name: memory_of(name) or 0, default=None)


def gpu_of(node: NodeView) -> str | None:
    """A node's GPU by its product, or by its memory, as NVIDIA's feature discovery labels them."""
    product, memory = product_of(node.labels), node.labels.get(MEMORY_LABEL, "")
    if product is not None and memory_of(product) is not None:
        return product
    return f"{memory}Mi" if memory.isdecimal() else None


def _sentence(group: Group, nodes: Sequence[NodeView], size: int, more: int) -> str:
    of_all = f" of the group's {len(group.sizes)}" if len(group.sizes) > 1 else ""
    count = f"{more} pods{of_all} find" if more > 1 else f"1 pod{of_all} finds" if of_all else "the pod finds"
    having = sorted(
        (node for node in nodes if node.allocatable.get(group.resource, 0)),
        key=lambda node: (-node.allocatable[group.resource], node.name),
    )
    fitting = [node for node in having if kept_away(group, node) is None]
    said = f"No set of the nodes could hold it: {count} no node with {size} {group.resource}"
    if fitting:
        return f"{said}. Of those that it may use, the largest have {_amounts(group, fitting)}."
    if having:
        first = having[0]
        return f"{said}. It may use none: {first.name} has {_amount(group, first)}, and {kept_away(group, first)}."
    return f"{said}. No node has any."


def _amount(group: Group, node: NodeView) -> int:
    return node.allocatable[group.resource]


def _amounts(group: Group, nodes: Sequence[NodeView]) -> str:
    return ", ".join(f"{_amount(group, node)} ({node.name})" for node in nodes[:SHOWN])


def waits(pods: Sequence[PodView]) -> bool:
    """Whether the scheduler finds no node for one of them."""
    return any(pod.unschedulable for pod in pods)


def lacking(group: Group | None, pods: Sequence[PodView], nodes: Sequence[NodeView] | None) -> str | None:
    """The sentence of missing() on a group, while the scheduler finds no node for one of its pods."""
    if group is None or nodes is None or not waits(pods):
        return None
    return missing(group, nodes)
