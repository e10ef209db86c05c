"""How many units a suite's gate needs, known before anything runs: with fewer nothing can pass."""

from __future__ import annotations

from pydantic.alias_generators import to_camel

from lowbit.api.evaluation import AttemptsPolicy, Suite, suite_of
from lowbit.api.problem import Problem
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.gate.attempts import confidence_of
from lowbit.gate.bounds import minimum_count
from lowbit.gate.judge import divide
from lowbit.gate.looks import confidence_at


def needed(suite: Suite, candidates: int, attempts: AttemptsPolicy = "Warn") -> int:
    """Units without which the suite's gate passes nothing."""
    kind, _ = suite_of(suite)
    asked = suite.gate.asked()
    # The last of several looks asks for a little more than one look would.
    confidence = confidence_at(
        divide(confidence_of(suite.gate.confidence, attempts), candidates), kind.looks, kind.looks
    )
    return max((minimum_count(metric, confidence) for metric in kind.metrics if metric.name in asked), default=0)


def check_counts(spec: QuantizedModelSpec) -> list[Problem]:
    """Suites that ask for fewer units than their gate needs."""
    problems = []
    for suite in spec.evaluation.suites:
        kind, settings = suite_of(suite)
        least, asked = (
            needed(suite, len(spec.candidates), spec.evaluation.attempts),
            getattr(settings, kind.count_field),
        )
        if asked >= least:
            continue
        several = f" for each of {len(spec.candidates)} candidates" if len(spec.candidates) > 1 else ""
        problems.append(
            Problem(
                f"spec.evaluation.suites[{suite.name}].{kind.name}.{to_camel(kind.count_field)}",
                "TooFewSamples",
                f"{asked} is not enough for a verdict: with confidence {suite.gate.confidence}{several}, damage to 2 % "
                f"of the texts could go unseen among fewer than {least}",
                f"write at least {least}",
            )
        )
    return problems
