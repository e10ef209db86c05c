"""How engines run: those that serve, and those that were judged.

Arguments, layout and the cache's type need no look: they are frozen in the revision, and serving is made from it. What
can differ is what only runs show: the image behind a tag, the device, and the kernel that the engine chose on it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.status import EngineRuntime, RunningEngine, RunningEngines
from lowbit.decide.engines import ENGINE, container
from lowbit.decide.serving.target import Target
from lowbit.naming.names import REVISION_LABEL
from lowbit.state.plan import ReadStart
from lowbit.state.snapshot import Observed, PodView, Snapshot

DIGEST_MARK = "@sha256:"
MOST_NODES = 64
"""Nodes whose engines are kept in the status; those of further ones are read again after a restart."""
ImageOnNode = tuple[str | None, str | None]
"""Image and node: engines that share both run alike."""


def running(snapshot: Snapshot, target: Target) -> RunningEngines:
    """How the engines run that serve the target, as far as it is known."""
    known = _known(snapshot, target)
    pods = _pods(snapshot, target)
    if pods:
        there = {_image_on_node(pod) for pod in pods}
        known = {place: how for place, how in known.items() if place in there}
    return RunningEngines(revision=target.label, engines=_grouped(known))


def starts_to_read(snapshot: Snapshot, target: Target) -> tuple[ReadStart, ...]:
    """Engines that answer, and of which nobody knows yet how they run."""
    known = _known(snapshot, target)
    asked: dict[ImageOnNode, PodView] = {}
    for pod in _pods(snapshot, target):
        if pod.ready and _image_on_node(pod) not in known:
            asked.setdefault(_image_on_node(pod), pod)
    return tuple(ReadStart(pod.meta.name, pod.meta.uid, pod.node) for pod in asked.values())


def judged(evaluation: Observed[ModelEvaluation] | None) -> EngineRuntime | None:
    """How the engine ran that a verdict rests on."""
    if evaluation is None or evaluation.body.status.summary is None:
        return None
    status = evaluation.body.status
    return EngineRuntime(image=status.engine_image_id, device=status.device, kernels=evaluation_kernels(evaluation))


def evaluation_kernels(evaluation: Observed[ModelEvaluation]) -> list[str]:
    """Kernels that the evaluation has seen."""
    summary = evaluation.body.status.summary
    return summary.kernels if summary is not None else []


def digest_in(image: str | None) -> str | None:
    """The registry's digest in an image's id. Ids of another kind cannot be compared with it."""
    return image.partition(DIGEST_MARK)[2] or None if image is not None else None


def _pods(snapshot: Snapshot, target: Target) -> list[PodView]:
    """Pods of the target whose engine has started."""
    return [
        pod
        for pod in snapshot.pods
        if pod.meta.labels.get(REVISION_LABEL) == target.label
        and not pod.meta.deleting
        and _image_on_node(pod)[0] is not None
    ]


def _image_on_node(pod: PodView) -> ImageOnNode:
    engine = container(pod, ENGINE)
    return (engine.image_id or None if engine is not None else None), pod.node


def _known(snapshot: Snapshot, target: Target) -> dict[ImageOnNode, EngineRuntime]:
    """What the status tells, and what was read since."""
    told = snapshot.model.body.status.running
    known: dict[ImageOnNode, EngineRuntime] = {}
    for engine in told.engines if told is not None and told.revision == target.label else ():
        how = EngineRuntime(image=engine.image, device=engine.device, kernels=engine.kernels)
        known |= {(engine.image, node): how for node in engine.nodes}
    for pod in _pods(snapshot, target):
        if (start := pod.engine_start) is not None:
            place = _image_on_node(pod)
            known[place] = EngineRuntime(image=place[0], device=start.device, kernels=list(start.kernels))
    return known


def _grouped(known: dict[ImageOnNode, EngineRuntime]) -> list[RunningEngine]:
    kinds: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (_, node), how in known.items():
        kinds.setdefault((how.image or "", how.device or "", tuple(how.kernels)), []).extend([node] if node else [])
    return [
        RunningEngine(image=image or None, device=device or None, kernels=list(kernels), nodes=_most(nodes))
        for (image, device, kernels), nodes in sorted(kinds.items())
    ]


def _most(nodes: Iterable[str]) -> list[str]:
    return sorted(set(nodes))[:MOST_NODES]
