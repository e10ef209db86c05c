"""Suites whose two sides take turns: each start of a fresh engine is an evaluation of its own, with its own samples.

The candidate's own evaluation comes last. It measures none of these suites, and compares what all starts gave.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from lowbit.api.documents import EvaluateDocument
from lowbit.api.evaluation import ResolvedSuite, starts_of
from lowbit.api.modelevaluation import Turn
from lowbit.naming.canonical import digest
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate import results
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store


def suites_of(document: EvaluateDocument) -> list[ResolvedSuite]:
    """The suites that this evaluation measures: those of its turn, or those whose sides are measured separately."""
    if document.turn is None:
        return [suite for suite in document.protocol.suites if starts_of(suite) == 0]
    return [suite for suite in document.protocol.suites if starts_of(suite) >= document.turn.start]


def input_of(document: EvaluateDocument, suite: ResolvedSuite) -> dict[str, Any]:
    """What the samples that this evaluation measures depend on."""
    return results.suite_input(document, suite, document.model, document.engine, document.turn)


def read_original(
    document: EvaluateDocument, store: Store, baseline: StoredResult, suite: ResolvedSuite, number: int
) -> Any:
    """What the original gave at a start. Raises RefusalError if the store lacks it."""
    of = results.suite_input(document, suite, baseline.model, baseline.engine, turn_with(document, number))
    return _read(Start("original", number, results.suite_key(of)), document, store, baseline, suite)


def read_candidate(
    document: EvaluateDocument, store: Store, baseline: StoredResult, suite: ResolvedSuite, number: int
) -> Any:
    """What the candidate gave at a start. Raises RefusalError if the store lacks it."""
    of = results.suite_input(document, suite, document.model, document.engine, turn_with(baseline, number))
    return _read(Start("candidate", number, results.suite_key(of)), document, store, baseline, suite)


def read_starts(
    document: EvaluateDocument, store: Store, baseline: StoredResult, suite: ResolvedSuite
) -> list[tuple[Any, Any]]:
    """What the original and the candidate gave, start by start. Raises RefusalError if the store lacks some of it."""
    return [
        (
            read_original(document, store, baseline, suite, number),
            read_candidate(document, store, baseline, suite, number),
        )
        for number in range(1, starts_of(suite) + 1)
    ]


def turn_with(other: EvaluateDocument | StoredResult, number: int) -> Turn:
    """A start in turn with the other model, in that model's engine."""
    return Turn(start=number, other=other.model.digest, other_runtime=digest("runtime", other.engine))


class Start(NamedTuple):
    """One start of one of the two engines."""

    side: Literal["original", "candidate"]
    number: int
    key: str
    """Of its samples."""


def _read(start: Start, document: EvaluateDocument, store: Store, baseline: StoredResult, suite: ResolvedSuite) -> Any:
    found = results.read_suite(store, start.key, suite, baseline.versions.get("engine", UNKNOWN_VERSION))
    if found is None:
        raise missing(start, document, suite)
    return found


def missing(start: Start, document: EvaluateDocument, suite: ResolvedSuite) -> RefusalError:
    """The refusal of a comparison that lacks a start."""
    name = document.turns[2 * (start.number - 1) + (start.side == "candidate")]
    return RefusalError(
        "Damaged",
        f"{document.evaluation} compares what suite {suite.name} gave at each start of the engines, and the store "
        f"lacks that of start {start.number} of the {start.side} ({name}), or another version of the engine gave it",
        f"delete the folder evaluations/{name} in the store, the ModelEvaluation {name}, and the Jobs {name} and "
        f"{document.evaluation}, so that it is measured again",
    )
