"""A verdict holds for engines that run as the judged one did. Here is told where those that serve do not.

Arguments, layout and the cache's type need no look: they are frozen in the revision, and serving is made from it. What
can differ is what only runs show: the image behind a tag, the device, and the kernel that the engine chose on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lowbit.api.engines import field_path
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
Place = tuple[str | None, str | None]
"""Image and node: engines that share both run alike."""


@dataclass(frozen=True)
class Stale:
    """Some engine that serves does not run as the judged one did."""

    reason: str
    message: str


def running(snapshot: Snapshot, target: Target) -> RunningEngines:
    """How the engines run that serve the target, as far as it is known."""
    known = _known(snapshot, target)
    pods = _pods(snapshot, target)
    if pods:
        there = {_place(pod) for pod in pods}
        known = {place: how for place, how in known.items() if place in there}
    return RunningEngines(revision=target.label, engines=_grouped(known))


def starts_to_read(snapshot: Snapshot, target: Target) -> tuple[ReadStart, ...]:
    """Engines that answer, and of which nobody knows yet how they run."""
    known = _known(snapshot, target)
    asked: dict[Place, PodView] = {}
    for pod in _pods(snapshot, target):
        if pod.ready and _place(pod) not in known:
            asked.setdefault(_place(pod), pod)
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


def stale(snapshot: Snapshot, target: Target, serving: RunningEngines) -> Stale | None:
    """Why the verdict does not hold for all engines that serve; None while it does, as far as is known."""
    revision = target.revision
    was = None if target.source else judged(snapshot.evaluations.get(revision.body.status.evaluation or ""))
    if was is None:
        return None
    found = (_difference(was, engine, field_path(revision.body.spec.engine)) for engine in serving.engines)
    first = next((each for each in found if each is not None), None)
    if first is None:
        return None
    return Stale(first.reason, f"{target.label} {first.message}")


def _difference(was: EngineRuntime, engine: RunningEngine, field: str) -> Stale | None:
    where = f"on {_listed(engine.nodes)}" if engine.nodes else "in its pods"
    if was.device and engine.device and was.device != engine.device:
        return Stale(
            "DeviceNotJudged",
            f"was judged on {was.device} and serves on {engine.device} ({where}), where its numbers may be others. "
            f"Keep it on what it was judged on (spec.serving.pod.nodeSelector), or have it judged there: set "
            f"{field}.gpu or spec.jobs.evaluate.nodeSelector to such nodes and delete its ModelEvaluations.",
        )
    if _digest(was.image) and _digest(engine.image) and _digest(was.image) != _digest(engine.image):
        return Stale(
            "EngineImageDiffers",
            f"was judged in the engine {was.image} and serves in {engine.image} ({where}): the tag has moved. Write "
            f"{field}.image with a digest ({engine.image}); it is then judged in that engine, and served if it passes.",
        )
    if was.kernels and engine.kernels and set(was.kernels) != set(engine.kernels):
        return Stale(
            "KernelDiffers",
            f"was judged with {_listed(was.kernels)} and serves with {_listed(engine.kernels)} ({where}): the nodes "
            "differ. Keep evaluation and serving on alike nodes (spec.jobs.evaluate.nodeSelector and "
            "spec.serving.pod.nodeSelector).",
        )
    return None


def _digest(image: str | None) -> str | None:
    """The registry's digest. Ids of another kind cannot be compared with it."""
    return image.partition(DIGEST_MARK)[2] or None if image is not None else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _pods(snapshot: Snapshot, target: Target) -> list[PodView]:
    """Pods of the target whose engine has started."""
    return [
        pod
        for pod in snapshot.pods
        if pod.meta.labels.get(REVISION_LABEL) == target.label and not pod.meta.deleting and _place(pod)[0] is not None
    ]


def _place(pod: PodView) -> Place:
    engine = container(pod, ENGINE)
    return (engine.image_id or None if engine is not None else None), pod.node


def _known(snapshot: Snapshot, target: Target) -> dict[Place, EngineRuntime]:
    """What the status tells, and what was read since."""
    told = snapshot.model.body.status.running
    known: dict[Place, EngineRuntime] = {}
    for engine in told.engines if told is not None and told.revision == target.label else ():
        how = EngineRuntime(image=engine.image, device=engine.device, kernels=engine.kernels)
        known |= {(engine.image, node): how for node in engine.nodes}
    for pod in _pods(snapshot, target):
        if (start := pod.engine_start) is not None:
            place = _place(pod)
            known[place] = EngineRuntime(image=place[0], device=start.device, kernels=list(start.kernels))
    return known


def _grouped(known: dict[Place, EngineRuntime]) -> list[RunningEngine]:
    kinds: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (_, node), how in known.items():
        kinds.setdefault((how.image or "", how.device or "", tuple(how.kernels)), []).extend([node] if node else [])
    return [
        RunningEngine(image=image or None, device=device or None, kernels=list(kernels), nodes=_most(nodes))
        for (image, device, kernels), nodes in sorted(kinds.items())
    ]


def _most(nodes: Iterable[str]) -> list[str]:
    return sorted(set(nodes))[:MOST_NODES]
