"""Suites whose two sides take turns: each start of a fresh engine is an evaluation of its own, with its own samples.

The candidate's own evaluation comes last. It measures none of these suites, and compares what all starts gave.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lowbit.api.base import Digest
from lowbit.api.documents import EvaluateDocument
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import ResolvedSuite, starts_of
from lowbit.api.modelevaluation import Turn
from lowbit.worker.evaluate import results
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store


class Side(NamedTuple):
    """One of the two models, and its engine."""

    model: Digest
    engine: ResolvedEngine


def suites_of(document: EvaluateDocument) -> list[ResolvedSuite]:
    """The suites that this evaluation measures: those of its turn, or those whose sides are measured separately."""
    if document.turn is None:
        return [suite for suite in document.protocol.suites if starts_of(suite) == 0]
    return [suite for suite in document.protocol.suites if starts_of(suite) >= document.turn.number]


def key_of(document: EvaluateDocument, suite: ResolvedSuite) -> str:
    """Key of the samples that this evaluation measures."""
    return results.suite_key(document, suite, document.model.digest, document.engine, document.turn)


def original_key(document: EvaluateDocument, baseline: results.StoredResult, suite: ResolvedSuite) -> str:
    """Key of the original's samples that a candidate's are compared with."""
    if document.turn is None:
        return baseline.suites.get(suite.name, "none")
    turn = Turn(number=document.turn.number, other=document.model.digest)
    return results.suite_key(document, suite, baseline.model.digest, baseline.engine, turn)


def read_starts(
    document: EvaluateDocument, store: Store, baseline: results.StoredResult, suite: ResolvedSuite, version: str
) -> list[tuple[Any, Any]]:
    """Samples of the original and the candidate, start by start. Raises RefusalError where some are missing."""
    original = Side(baseline.model.digest, baseline.engine)
    candidate = Side(document.model.digest, document.engine)
    found = []
    for number in range(1, starts_of(suite) + 1):
        pair = []
        for side, other in ((original, candidate), (candidate, original)):
            turn = Turn(number=number, other=other.model)
            key = results.suite_key(document, suite, side.model, side.engine, turn)
            samples = results.read_suite(store, key, suite, version)
            if samples is None:
                raise missing(document, suite, number, key)
            pair.append(samples)
        found.append((pair[0], pair[1]))
    return found


def missing(document: EvaluateDocument, suite: ResolvedSuite, number: int, key: str) -> RefusalError:
    """The refusal of a comparison that lacks a start."""
    return RefusalError(
        "Damaged",
        f"{document.evaluation} compares what suite {suite.name} gave at each start of the engines, and the store "
        f"lacks that of start {number} (measured/{key}), or another version of the engine gave it",
        "delete the ModelEvaluations whose names begin with turn-, and their folders below evaluations/ in the store, "
        "so that both models are measured again",
    )
