"""What follows from a frozen object is worked out once, and remembered as long as the object lives.

Specs are parsed anew only when they change, so at rest every hash is known. Nothing here changes what a decision is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from lowbit.api import freeze, names
from lowbit.api.base import Digest
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.quantizedmodel import QuantizedModelSpec

Result = TypeVar("Result")


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


def input_hash(spec: QuantizedModelSpec) -> str:
    """As lowbit.api.names.input_hash."""
    return _remembered(_INPUT, names.input_hash, spec)


def baseline_spec(revision: ModelRevisionSpec) -> ModelEvaluationSpec:
    """As lowbit.api.freeze.baseline_spec."""
    return _remembered(_BASELINE, freeze.baseline_spec, revision)


def candidate_spec(revision: ModelRevisionSpec, artifact: Digest) -> ModelEvaluationSpec:
    """As lowbit.api.freeze.candidate_spec."""
    return _remembered(_CANDIDATE, freeze.candidate_spec, revision, artifact)


def evaluation_name(spec: ModelEvaluationSpec) -> str:
    """As lowbit.api.names.evaluation_name."""
    return _remembered(_EVALUATION, names.evaluation_name, spec)


_INPUT, _BASELINE, _CANDIDATE, _EVALUATION = Memory(), Memory(), Memory(), Memory()


def _remembered(memory: Memory, function: Callable[..., Result], subject: object, *rest: Hashable) -> Result:
    known = memory.of(subject)
    if rest not in known:
        known[rest] = function(subject, *rest)
    result: Result = known[rest]
    return result
