"""Where a verdict does not hold: engines that serve and run as none that was judged, and how they are judged again."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from lowbit.api.engines import field_path, resolved_engine
from lowbit.api.modelevaluation import Place
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.status import EngineRuntime, JudgedAgain, RunningEngine, RunningEngines
from lowbit.decide.owners import owns
from lowbit.decide.remembered import baseline_of, candidate_of, names_at
from lowbit.decide.serving.runtime import DIGEST_MARK, digest_in, judged, running
from lowbit.decide.serving.serve import by_name, deployed, rolled_out
from lowbit.decide.serving.target import Target
from lowbit.naming.names import second_attempt
from lowbit.state.snapshot import Observed, Snapshot

MOST_JUDGED = 8
"""Further verdicts that a revision keeps."""
NOT_PASSED = "NotPassedHere"


@dataclass(frozen=True)
class Again:
    """An engine that serves and is to be judged."""

    engine: RunningEngine
    place: Place
    """Where the revision is evaluated, so that its engine runs as this one."""
    kept: tuple[JudgedAgain, ...]
    """The verdicts that stay beside the new one."""


@dataclass(frozen=True)
class Stale:
    """Some engine that serves does not run as one that was judged, or as one that has passed."""

    reason: str
    message: str
    """What differs, and where."""
    action: str
    """What to do about it."""
    again: Again | None = None
    """What is evaluated next; of several engines one after the other. None if all are judged."""


def stale(snapshot: Snapshot, target: Target, serving: RunningEngines) -> Stale | None:
    """Why the verdict does not hold for all engines that serve; None while it does, as far as is known."""
    revision = target.revision
    was = None if target.source else judged(snapshot.evaluations.get(revision.body.status.evaluation or ""))
    if was is None:
        return None
    asked = (_stale(snapshot, revision, was, serving, engine) for engine in serving.engines)
    found = [each for each in asked if each is not None]
    first = min(found, key=lambda each: each.reason != NOT_PASSED, default=None)
    if first is None:
        return None
    open_ = [each.again for each in found if each.again is not None]
    # What has begun goes on, although another engine has come meanwhile.
    again = min(open_, key=lambda each: not _begun(snapshot, revision, each.place), default=None)
    return replace(first, message=f"{target.label} {first.message}", again=again)


def names_needed(snapshot: Snapshot) -> frozenset[str]:
    """Names of the Jobs and evaluations that judge again what the Deployment serves.

    While its pods come and go, or its verdict was wiped and comes again, nothing of that is given up.
    """
    serving, deployment = snapshot.model.body.spec.serving, snapshot.deployment
    target = deployed(snapshot, serving) if serving is not None else None
    if serving is None or deployment is None or (target is not None and target.source):
        return frozenset()
    artifact = target.revision.body.status.artifact if target is not None else None
    if target is None or artifact is None:
        return frozenset(_placed(snapshot)) if by_name(snapshot, deployment.revision) is not None else frozenset()
    found = stale(snapshot, target, running(snapshot, target))
    again = found.again if found is not None else None
    needed = names_at(target.revision, artifact.digest, again.place) if again is not None else frozenset[str]()
    if rolled_out(snapshot):
        return needed
    return needed.union(_placed(snapshot, {artifact.digest, target.revision.body.spec.source.digest}))


def _placed(snapshot: Snapshot, models: Container[str] | None = None) -> Iterator[str]:
    """Names of evaluations that were made for what serves, and of their Jobs. models: digests; None for any."""
    for kind, name in snapshot.mine:
        seen = snapshot.evaluations.get(name) if kind == "ModelEvaluation" else None
        if seen is None or seen.body.spec.place is None:
            continue
        if models is None or seen.body.spec.model.digest in models:
            yield from (name, second_attempt(name))


def alike(one: EngineRuntime, other: EngineRuntime) -> bool:
    """Whether two engines run alike, as far as is known."""
    kernels = not one.kernels or not other.kernels or set(one.kernels) == set(other.kernels)
    return kernels and not _other_device(one, other) and not _other_image(one, other)


def _other_device(one: EngineRuntime, other: EngineRuntime) -> bool:
    return one.device is not None and other.device is not None and one.device != other.device


def _other_image(one: EngineRuntime, other: EngineRuntime) -> bool:
    digests = digest_in(one.image), digest_in(other.image)
    return None not in digests and digests[0] != digests[1]


def _stale(
    snapshot: Snapshot, revision: Observed[ModelRevision], was: EngineRuntime, serving: RunningEngines,
    engine: RunningEngine,
) -> Stale | None:  # fmt: skip
    again = revision.body.status.judged_again
    judged_so = [each for each in again if alike(each, engine)]
    if alike(was, engine) or any(each.verdict == "Passed" for each in judged_so):
        return None
    found = _difference(was, engine, field_path(revision.body.spec.engine))
    if judged_so:
        return _not_passed(judged_so[-1], was, engine, field_path(revision.body.spec.engine))
    kept = _kept(revision, was, serving)
    place = next_place(snapshot, revision, was, engine) if len(kept) < MOST_JUDGED else None
    if place is not None:
        return replace(found, again=Again(engine, place, kept))
    why = "Its engine ran otherwise again when it was evaluated once more for this one."
    if len(kept) == MOST_JUDGED:
        why = f"{MOST_JUDGED} further kinds of engines that serve are judged, and no more are."
    return replace(found, message=f"{found.message} {why}")


def _kept(revision: Observed[ModelRevision], was: EngineRuntime, serving: RunningEngines) -> tuple[JudgedAgain, ...]:
    """The further verdicts without the oldest that no engine needs, if there is no room for one more."""
    again = tuple(revision.body.status.judged_again)
    while len(again) >= MOST_JUDGED:
        unused = next((each for each in again if not _in_use(revision, was, serving, each)), None)
        if unused is None:
            return again
        again = tuple(each for each in again if each is not unused)
    return again


def _in_use(revision: Observed[ModelRevision], was: EngineRuntime, serving: RunningEngines, known: JudgedAgain) -> bool:
    """Whether a verdict is of an engine that serves, or was an attempt to judge one."""
    places = (place for engine in serving.engines for place in _places(revision, was, engine))
    return any(alike(known, engine) for engine in serving.engines) or known.evaluation in {
        name for place in places if (name := _name(revision, place)) is not None
    }


def next_place(
    snapshot: Snapshot, revision: Observed[ModelRevision], was: EngineRuntime, engine: RunningEngine
) -> Place | None:
    """Where to evaluate so that the engine runs as the one that serves: by its device first, then on one of its nodes.

    None once both were tried.
    """
    places, done = list(_places(revision, was, engine)), {each.evaluation for each in revision.body.status.judged_again}
    by_device = [each for each in places if each.node is None and _name(revision, each) not in done]
    by_node = [each for each in places if each.node is not None]
    if by_device or any(_name(revision, each) in done for each in by_node):
        return by_device[0] if by_device else None
    begun = (each for each in by_node if _begun(snapshot, revision, each))
    return next(begun, by_node[0] if by_node else None)


def _places(revision: Observed[ModelRevision], was: EngineRuntime, engine: RunningEngine) -> Iterator[Place]:
    image = None
    if _other_image(was, engine):
        image = (
            f"{repository(resolved_engine(revision.body.spec.engine)[1].image)}{DIGEST_MARK}{digest_in(engine.image)}"
        )
    if engine.device is not None and (image is not None or _other_device(was, engine)):
        yield Place(image=image, device=engine.device)
    yield from (Place(image=image, node=node) for node in engine.nodes)


def _name(revision: Observed[ModelRevision], place: Place) -> str | None:
    artifact = revision.body.status.artifact
    return candidate_of(revision, artifact.digest, place).name if artifact is not None else None


def _begun(snapshot: Snapshot, revision: Observed[ModelRevision], place: Place) -> bool:
    seen = snapshot.evaluations.get(baseline_of(revision, place).name)
    return seen is not None and owns(snapshot, seen.meta)


def repository(image: str) -> str:
    """An image's name without tag and digest."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return path + slash + name.partition(":")[0]


def _difference(was: EngineRuntime, engine: RunningEngine, field: str) -> Stale:
    """What differs. The two are not alike."""
    where = _where(engine)
    if _other_device(was, engine):
        return Stale(
            "DeviceNotJudged",
            f"was judged on {was.device} and serves on {engine.device} ({where}), where its numbers may be others.",
            "To keep it on what it was judged on, set spec.serving.pod.nodeSelector.",
        )
    if _other_image(was, engine):
        return Stale(
            "EngineImageDiffers",
            f"was judged in the engine {was.image} and serves in {engine.image} ({where}): the tag has moved.",
            f"Write {field}.image with a digest ({engine.image}): no tag moves then.",
        )
    return Stale(
        "KernelDiffers",
        f"was judged with {_listed(was.kernels)} and serves with {_listed(engine.kernels)} ({where}): the nodes "
        "differ.",
        "Keep evaluation and serving on alike nodes (spec.jobs.evaluate.nodeSelector and "
        "spec.serving.pod.nodeSelector).",
    )


def _not_passed(known: JudgedAgain, was: EngineRuntime, engine: RunningEngine, field: str) -> Stale:
    in_what = f" in {engine.image}" if _other_image(was, engine) else ""
    action = "Keep it off those nodes (spec.serving.pod.nodeSelector), or add another candidate (spec.candidates)."
    if in_what:
        action = (
            f"Write {field}.image with the digest that it has passed in ({was.image}), or add another candidate "
            "(spec.candidates)."
        )
    return Stale(
        "NotPassedHere",
        f"was evaluated again as it serves {_where(engine)}{in_what}, and has {known.verdict} there "
        f"({known.evaluation}): {known.message.rstrip('.')}. It serves on.",
        action,
    )


def _where(engine: RunningEngine) -> str:
    return f"on {_listed(engine.nodes)}" if engine.nodes else "in its pods"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
