"""What became of each candidate of one generation, beside the original."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.documents import OtherCandidate
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.status import ComparedModel
from lowbit.decide.remembered import candidate_of, input_hash, once
from lowbit.gate.deciding import deciding_check
from lowbit.state.snapshot import Observed, Snapshot


def of_generation(snapshot: Snapshot) -> dict[int, Observed[ModelRevision]]:
    """The revisions that were made from the present spec, by candidate."""
    hash_ = input_hash(snapshot.model)
    return {
        revision.body.spec.candidate: revision
        for revision in snapshot.revisions
        if revision.body.spec.input_hash == hash_ and not revision.meta.deleting
    }


def compares_all(snapshot: Snapshot) -> bool:
    """Whether candidates after the one that serves are asked for; not by a spec that cannot be read."""
    return snapshot.invalid is None and snapshot.model.body.spec.evaluation.compare == "All"


def others(snapshot: Snapshot, revision: Observed[ModelRevision]) -> Sequence[OtherCandidate]:
    """Candidates that were judged before, for the report of this one; none where nothing is compared."""
    if not compares_all(snapshot):
        return ()
    judged = [each for _, each in sorted(of_generation(snapshot).items()) if each.meta.name != revision.meta.name]
    return [other for each in judged if (other := once(each, _other)) is not None]


def _other(revision: Observed[ModelRevision]) -> OtherCandidate | None:
    status, spec = revision.body.status, revision.body.spec
    if status.verdict is None or status.artifact is None:
        return None
    name, asked, _ = candidate_of(revision, status.artifact.digest)
    return OtherCandidate(
        name=spec.label, evaluation=name, model=asked.model, runtime_key=asked.runtime_key,
        bytes=status.artifact.bytes, verdict=status.verdict.verdict,
    )  # fmt: skip


def comparison(snapshot: Snapshot) -> list[ComparedModel] | None:
    """The original and each candidate of the present spec that there is a revision of; None if none is compared."""
    if not compares_all(snapshot):
        return None
    mine = [revision for _, revision in sorted(of_generation(snapshot).items())]
    if not mine:
        return None
    return [_original(snapshot, mine), *(_row(snapshot, revision) for revision in mine)]


def _original(snapshot: Snapshot, mine: Sequence[Observed[ModelRevision]]) -> ComparedModel:
    name = next((each.body.status.baseline for each in mine if each.body.status.baseline is not None), None)
    seen = snapshot.evaluations.get(name or "")
    summary = seen.body.status.summary if seen is not None else None
    return ComparedModel(
        name="original", evaluation=name, bytes=mine[0].body.spec.source.facts.weight_bytes, ratio="1.00",
        speed=summary.speed if summary is not None else [],
    )  # fmt: skip


def _row(snapshot: Snapshot, revision: Observed[ModelRevision]) -> ComparedModel:
    spec, status = revision.body.spec, revision.body.status
    verdict = status.verdict
    seen = snapshot.evaluations.get(status.evaluation or "")
    summary = seen.body.status.summary if seen is not None else None
    return ComparedModel(
        name=spec.label, candidate=spec.candidate, revision=revision.meta.name,
        evaluation=status.evaluation,
        bytes=status.artifact.bytes if status.artifact is not None else None,
        ratio=status.artifact.ratio if status.artifact is not None else None,
        verdict=verdict.verdict if verdict is not None else None,
        failure=status.failure.reason if status.failure is not None else None,
        decided_by=deciding_check(verdict.verdict, verdict.checks) if verdict is not None else None,
        speed=summary.speed if summary is not None else [],
    )  # fmt: skip
