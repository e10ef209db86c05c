"""Suites that look several times: a candidate is measured in parts, until its gate is decided or all parts are there.

The original is measured whole, once for all candidates. Everything happens in one start of the engine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from lowbit.api.documents import EvaluateDocument
from lowbit.api.evaluation import ResolvedGate
from lowbit.api.modelevaluation import StoppingGate
from lowbit.api.status import CountedAttempt
from lowbit.gate.attempts import gate_at
from lowbit.gate.stopping import is_decided
from lowbit.worker.suites.base import Ask, LookingRunner, Part, Runner, SeparateRunner, Summary


def stopping_of(document: EvaluateDocument, suite: str) -> StoppingGate | None:
    """What ends measuring a suite early; None if all its samples are measured."""
    return next((each for each in document.stopping or [] if each.gate.suite == suite), None)


class Ending(NamedTuple):
    """The gate that ends measuring a suite, as it judges this attempt."""

    gate: ResolvedGate
    candidates: int


def gate_of(document: EvaluateDocument, suite: str, attempt: CountedAttempt | None) -> Ending | None:
    """The gate that ends measuring a suite early; None if all its samples are measured."""
    found = stopping_of(document, suite)
    if found is None:
        return None
    return Ending(gate_at(found.gate, found.attempts, attempt.ordinal if attempt is not None else 1), found.candidates)


class Against(NamedTuple):
    """What a suite's samples are compared with, and what ends measuring them early."""

    original: Any | None
    gate: Ending | None


async def measure(runner: Runner[Any, Any], ask: Ask[Any], original: Any | None, gate: Ending | None) -> Any:
    """Samples of one model: all of them, or as many as decide the gate."""
    if not isinstance(runner, LookingRunner) or gate is None or original is None:
        return await runner.measure(ask, original)
    samples: Any | None = None
    for number in range(1, ask.looks + 1):
        progress = ask.progress.part((number - 1) / ask.looks, number / ask.looks)
        part = Part(number, ask.looks)
        samples = await runner.measure_part(replace(ask, progress=progress), original, samples, part)
        if number < ask.looks and is_decided(
            gate.gate, summarize(runner, ask.suite, samples, original, ask.looks).rows, gate.candidates
        ):
            ask.progress.report(1.0, f"suite {ask.suite}: decided at look {number} of {ask.looks}")
            break
    return samples


def summarize(
    runner: SeparateRunner[Any, Any], suite: str, samples: Any, original: Any | None, looks: int
) -> Summary:  # fmt: skip
    """The measurements of a suite. Those of a candidate that is looked at several times say at which look."""
    found = runner.summarize(suite, samples, original)
    if not isinstance(runner, LookingRunner) or original is None:
        return found
    look = runner.parts(samples)
    return replace(found, rows=[row.model_copy(update={"look": look, "looks": looks}) for row in found.rows])


def same_texts(runner: Runner[Any, Any], candidate: Any, original: Any) -> bool:
    """Whether a candidate was asked what its original was asked: of several parts, what those have."""
    asked, texts = runner.texts(candidate), runner.texts(original)
    return asked == (texts[: len(asked)] if isinstance(runner, LookingRunner) else texts)
