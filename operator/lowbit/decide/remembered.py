"""Values derived from an observed object: computed once, and kept with the object until a newer one replaces it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from lowbit.api.base import Digest
from lowbit.api.modelevaluation import ModelEvaluationSpec, Place
from lowbit.api.modelrevision import ModelRevision, ModelRevisionSpec
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.naming import names
from lowbit.resolve import freeze
from lowbit.state.snapshot import Observed

Result = TypeVar("Result")
Part = TypeVar("Part", bound=BaseModel)


class NamedEvaluation(NamedTuple):
    """An evaluation that a revision needs."""

    name: str
    spec: ModelEvaluationSpec
    hash: str
    """The whole hash, which the name is short for."""


def once(seen: Observed[Any], function: Callable[..., Result], *rest: Hashable) -> Result:
    """function(seen, *rest), called the first time only."""
    key = (function, *rest)
    if key not in seen.derived:
        seen.derived[key] = function(seen, *rest)
    result: Result = seen.derived[key]
    return result


def input_hash(model: Observed[QuantizedModel]) -> str:
    """Hash of what revisions are made from."""
    return once(model, _input_hash)


def baseline_of(revision: Observed[ModelRevision], place: Place | None = None) -> NamedEvaluation:
    """The evaluation of the original. place: where it is evaluated again."""
    return once(revision, _baseline, place)


def candidate_of(revision: Observed[ModelRevision], artifact: Digest, place: Place | None = None) -> NamedEvaluation:
    """The evaluation of the revision's artifact. place: where it is evaluated again."""
    return once(revision, _candidate, artifact, place)


def turns_of(revision: Observed[ModelRevision], artifact: Digest, place: Place | None = None) -> list[NamedEvaluation]:
    """The evaluations of both models in turn; none if no suite is measured so. place: where they are made again."""
    return once(revision, _turns, artifact, place)


def ask_hash(revision: Observed[ModelRevision]) -> str:
    """Hash of what a revision is asked once it serves."""
    return once(revision, _ask_hash)


def names_used(revision: Observed[ModelRevision]) -> frozenset[str]:
    """Names of the Jobs and evaluations that a revision uses, further attempts included."""
    return once(revision, _names_used)


def names_at(revision: Observed[ModelRevision], artifact: Digest, place: Place) -> frozenset[str]:
    """Names of the Jobs and evaluations that measure a revision again, further attempts included."""
    return once(revision, _names_at, artifact, place)


def is_named_by_content(revision: Observed[ModelRevision]) -> bool:
    """Whether a revision's name follows from its content. A copy under another name, or another content, does not."""
    return once(revision, _is_named_by_content)


def kept(model: Observed[QuantizedModel], field: str, old: Part | None, new: Part | None) -> Part | None:
    """The old value of a status field if it equals the new one. Equal objects are compared once."""
    if old is None or new is None:
        return new
    if model.derived.get(field) is not new:
        if old != new:
            return new
        model.derived[field] = new
    return old


def _input_hash(model: Observed[QuantizedModel]) -> str:
    return names.input_hash(model.body.spec)


def _is_named_by_content(revision: Observed[ModelRevision]) -> bool:
    return revision.meta.name == names.revision_name(revision.body.spec)


def _named(spec: ModelEvaluationSpec) -> NamedEvaluation:
    return NamedEvaluation(names.evaluation_name(spec), spec, names.evaluation_hash(spec))


def _baseline(revision: Observed[ModelRevision], place: Place | None) -> NamedEvaluation:
    return _named(freeze.baseline_spec(revision.body.spec, place))


def _candidate(revision: Observed[ModelRevision], artifact: Digest, place: Place | None) -> NamedEvaluation:
    return _named(freeze.candidate_spec(revision.body.spec, artifact, place))


def _ask_hash(revision: Observed[ModelRevision]) -> str:
    return names.ask_hash(revision.meta.name, revision.body.spec)


def _turns(revision: Observed[ModelRevision], artifact: Digest, place: Place | None) -> list[NamedEvaluation]:
    return [_named(spec) for spec in freeze.turn_specs(revision.body.spec, artifact, place)]


def _names_at(revision: Observed[ModelRevision], artifact: Digest, place: Place) -> frozenset[str]:
    pair = baseline_of(revision, place), candidate_of(revision, artifact, place)
    used = [each.name for each in (*pair, *turns_of(revision, artifact, place))]
    return frozenset((*used, *map(names.second_attempt, used)))


def _names_used(revision: Observed[ModelRevision]) -> frozenset[str]:
    spec: ModelRevisionSpec = revision.body.spec
    used = [names.quantize_job_name(spec.artifact_hash), baseline_of(revision).name]
    artifact = revision.body.status.artifact
    if artifact is not None:
        used.append(candidate_of(revision, artifact.digest).name)
        used += [turn.name for turn in turns_of(revision, artifact.digest)]
    used += [name for again in revision.body.status.judged_again for name in (again.baseline, again.evaluation)]
    return frozenset((*used, *map(names.second_attempt, used)))
