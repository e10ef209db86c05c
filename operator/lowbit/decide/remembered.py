"""What follows from a frozen object is worked out once, and remembered as long as the object lives.

Specs are parsed anew only when they change, so at rest every hash is known. Nothing here changes what a decision is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from pydantic import BaseModel

from lowbit.api.base import Digest
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.naming import names
from lowbit.resolve import freeze

Result = TypeVar("Result")
Said = TypeVar("Said", bound=BaseModel)


class Memory:
    """Values by an object's identity; gone with the object."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], dict[Hashable, Any]]] = {}

    def of(self, subject: object) -> dict[Hashable, Any]:
        """What is remembered of an object."""
        key = id(subject)
        known = self._known.get(key)
        if known is None:
            # The reference calls back before the identity can belong to another object.
            gone = weakref.ref(subject, lambda _: self._known.pop(key, None))
            known = self._known[key] = (gone, {})
        return known[1]

    def __len__(self) -> int:
        return len(self._known)


MEMORY = Memory()


def once(function: Callable[..., Result], subject: object, *rest: Hashable) -> Result:
    """What the function says of a frozen object: worked out the first time."""
    known, key = MEMORY.of(subject), (function, *rest)
    if key not in known:
        known[key] = function(subject, *rest)
    result: Result = known[key]
    return result


def input_hash(spec: QuantizedModelSpec) -> str:
    """As lowbit.naming.names.input_hash."""
    return once(names.input_hash, spec)


def baseline_spec(revision: ModelRevisionSpec) -> ModelEvaluationSpec:
    """As lowbit.resolve.freeze.baseline_spec."""
    return once(freeze.baseline_spec, revision)


def candidate_spec(revision: ModelRevisionSpec, artifact: Digest) -> ModelEvaluationSpec:
    """As lowbit.resolve.freeze.candidate_spec."""
    return once(freeze.candidate_spec, revision, artifact)


def evaluation_name(spec: ModelEvaluationSpec) -> str:
    """As lowbit.naming.names.evaluation_name."""
    return once(names.evaluation_name, spec)


def revision_names(revision: ModelRevisionSpec, artifact: Digest | None) -> frozenset[str]:
    """Names of the Jobs and evaluations that a revision uses, further attempts included. artifact is None until it is made."""
    return once(_revision_names, revision, artifact)


def _revision_names(revision: ModelRevisionSpec, artifact: Digest | None) -> frozenset[str]:
    used = [names.quantize_job_name(revision.artifact_hash), evaluation_name(baseline_spec(revision))]
    if artifact is not None:
        used.append(evaluation_name(candidate_spec(revision, artifact)))
    return frozenset((*used, *map(names.second_attempt, used)))


def kept(subject: object, field: str, old: Said | None, new: Said | None) -> Said | None:
    """The old value of a field of a frozen object itself, where the new one says the same: it is held against it once."""
    if old is None or new is None:
        return new
    known = MEMORY.of(subject)
    if known.get(field) is not new:
        if old != new:
            return new
        known[field] = new
    return old
