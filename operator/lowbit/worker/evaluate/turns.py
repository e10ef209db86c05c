"""Suites whose two sides take turns: each start of a fresh engine is an evaluation of its own, with its own samples.

The candidate's own evaluation comes last. It measures none of these suites, and compares what all starts gave.
"""

from __future__ import annotations

from typing import Any

from lowbit.api.documents import EvaluateDocument
from lowbit.api.evaluation import ResolvedSuite, starts_of
from lowbit.api.modelevaluation import Turn
from lowbit.naming.canonical import digest
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate import results
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store


def suites_of(document: EvaluateDocument) -> list[ResolvedSuite]:
    """The suites that this evaluation measures: those of its turn, or those whose sides are measured separately."""
    if document.turn is None:
        return [suite for suite in document.protocol.suites if starts_of(suite) == 0]
    return [suite for suite in document.protocol.suites if starts_of(suite) >= document.turn.start]


def key_of(document: EvaluateDocument, suite: ResolvedSuite) -> str:
    """Key of the samples that this evaluation measures."""
    return results.suite_key(document, suite, document.model, document.engine, document.turn)


def start_key(document: EvaluateDocument, baseline: results.StoredResult, suite: ResolvedSuite, start: int) -> str:
    """Key of what one start gave, for the candidate's document. start: index in document.turns."""
    side: results.StoredResult | EvaluateDocument = document if start % 2 else baseline
    other = baseline if start % 2 else document
    runtime = digest("runtime", other.engine)
    turn = Turn(start=start // 2 + 1, other=other.model.digest, other_runtime=runtime)
    return results.suite_key(document, suite, side.model, side.engine, turn)


def read_start(
    document: EvaluateDocument, store: Store, baseline: results.StoredResult, suite: ResolvedSuite, start: int
) -> Any:
    """Samples of one start. Raises RefusalError if the store has none of the baseline's engine version."""
    version = baseline.versions.get("engine", UNKNOWN_VERSION)
    found = results.read_suite(store, start_key(document, baseline, suite, start), suite, version)
    if found is None:
        raise missing(document, suite, start)
    return found


def read_starts(
    document: EvaluateDocument, store: Store, baseline: results.StoredResult, suite: ResolvedSuite
) -> list[tuple[Any, Any]]:
    """Samples of the original and the candidate, start by start. Raises RefusalError where some are missing."""
    found = [read_start(document, store, baseline, suite, start) for start in range(2 * starts_of(suite))]
    return list(zip(found[::2], found[1::2], strict=True))


def missing(document: EvaluateDocument, suite: ResolvedSuite, start: int) -> RefusalError:
    """The refusal of a comparison that lacks a start."""
    name = document.turns[start] if start < len(document.turns) else "turn-<hash>"
    jobs = f"{name} and {document.evaluation}"
    return RefusalError(
        "Damaged",
        f"{document.evaluation} compares what suite {suite.name} gave at each start of the engines, and the store "
        f"lacks that of start {start // 2 + 1} of the {'candidate' if start % 2 else 'original'} ({name}), or another "
        "version of the engine gave it",
        f"delete the folder evaluations/{name} in the store, the ModelEvaluation {name}, and the Jobs {jobs}, so that "
        "it is measured again",
    )
