"""What a scrape of /metrics shows of an object: it is kept while the whole of it is compressed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.api.status import EvaluationSummary
from lowbit.api.suites import metrics


@dataclass(frozen=True, slots=True)
class ScrapedModel:
    """A QuantizedModel."""

    stage: str
    revisions: tuple[str, ...]
    """Those that its status names."""


@dataclass(frozen=True, slots=True)
class ScrapedRevision:
    """A ModelRevision."""

    model: str
    verdict: str | None
    evaluation: str | None
    """The name of the ModelEvaluation that it was judged by."""


@dataclass(frozen=True, slots=True)
class ScrapedEvaluation:
    """A ModelEvaluation: suite, metric and value of everything that was measured."""

    values: tuple[tuple[str, str, float], ...]


Scraped = ScrapedModel | ScrapedRevision | ScrapedEvaluation


def scraped_of(body: object) -> Scraped | None:
    """Of a parsed object; None where metrics say nothing of its kind."""
    if isinstance(body, QuantizedModel):
        named = (body.status.current, body.status.candidate)
        return ScrapedModel(
            sys.intern(body.status.stage), tuple(sys.intern(each.name) for each in named if each is not None)
        )
    if isinstance(body, ModelRevision):
        verdict = body.status.verdict
        evaluation = body.status.evaluation
        return ScrapedRevision(
            sys.intern(body.spec.quantized_model),
            sys.intern(verdict.verdict) if verdict else None,
            sys.intern(evaluation) if evaluation else None,
        )
    if isinstance(body, ModelEvaluation):
        summary = body.status.summary
        return ScrapedEvaluation(tuple(evaluation_values(summary)) if summary else ())
    return None


def evaluation_values(summary: EvaluationSummary) -> Iterator[tuple[str, str, float]]:
    """Suite (or suite/task), metric and value of everything that was measured."""
    known = metrics()
    for row in summary.measurements:
        estimate = row.estimate if row.whole and row.metric in known else None
        if estimate is not None:
            yield sys.intern(row.whole_name), sys.intern(row.metric), known[row.metric].of(estimate)
    for speed in summary.speed:
        suite_name = sys.intern(f"speed-{speed.concurrency}")
        yield suite_name, "TokensPerSecond", float(speed.tokens_per_second)
        yield suite_name, "TimeToFirstTokenSeconds", float(speed.time_to_first_token_seconds)
