"""How many units a gate needs, known before anything runs: with fewer nothing can pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from lowbit.api.evaluation import AttemptsPolicy, Suite, suite_of
from lowbit.api.problem import Problem, some
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.gate.attempts import confidence_of
from lowbit.gate.bounds import minimum_count
from lowbit.gate.judge import divide, thresholds
from lowbit.gate.looks import confidence_at
from lowbit.gate.paired import REPEATED
from lowbit.gate.thresholds import Question, question
from lowbit.gate.wording import points

RATIOS = frozenset({"ClassPrecision", "ClassF1"})
OF_THE_OTHERS = "Specificity"
"""The metric whose units are those that are not of the class."""


@dataclass(frozen=True)
class Need:
    """Units without which one threshold passes nothing."""

    asked: Question
    count: int | None
    """None: no number of units would do."""
    why: str
    """To follow "N is not enough for a verdict: ..."."""


def needed(suite: Suite, candidates: int, attempts: AttemptsPolicy = "Warn") -> int:
    """Units without which the suite's gate passes nothing."""
    return max((need.count or 0 for need in needs(suite, candidates, attempts)), default=0)


def needs(suite: Suite, candidates: int, attempts: AttemptsPolicy = "Warn") -> Iterator[Need]:
    """What each threshold of a suite's gate needs, at the first attempt."""
    kind, settings = suite_of(suite)
    confidence = last_confidence(suite, candidates, attempts)
    for threshold in thresholds(suite.gate):
        asked = question(suite.name, threshold, several=False)
        least = minimum_count(asked.measured, confidence, float(asked.threshold))
        why = reason(asked, least)
        if least is not None and least < REPEATED and kind.repeats(settings) > 1:
            least, why = REPEATED, f"the mean of fewer than {REPEATED} prompts, each answered often, has no good bound"
        yield Need(asked, least, why)


def last_confidence(suite: Suite, candidates: int, attempts: AttemptsPolicy = "Warn") -> float:
    """One-sided confidence of a bound once all samples are there: at the first attempt, divided over the candidates."""
    looks = suite_of(suite)[0].looks
    # The last of several looks asks for a little more than one look would.
    return confidence_at(divide(confidence_of(suite.gate.confidence, attempts), candidates), looks, looks)


def reason(asked: Question, least: int | None) -> str:
    """Why fewer units than these pass nothing."""
    units, method = f"{asked.metric.unit}s", asked.measured.bound
    if least is None:
        return f"no number of {units} shows that a share is {asked.threshold}"
    if method in RATIOS:
        return f"not even an equal candidate passes with fewer than {least} {units} of a class"
    if asked.bound == "NonInferiority":
        margin = points(float(asked.threshold))
        return f"a loss of {margin:.10g} points could go unseen among fewer than {least} {units}"
    if method == "Proportion":
        return f"fewer than {least} {units} do not show a share of {asked.threshold}, even if all answers are right"
    return f"damage to 2 % of the {units} could go unseen among fewer than {least}"


def check_counts(spec: QuantizedModelSpec) -> list[Problem]:
    """Suites that ask for fewer units than their gate needs."""
    candidates, attempts = len(spec.candidates), spec.evaluation.attempts
    return [problem for suite in spec.evaluation.suites for problem in _check_count(suite, candidates, attempts)]


def _check_count(suite: Suite, candidates: int, attempts: AttemptsPolicy) -> Iterator[Problem]:
    kind, settings = suite_of(suite)
    asked = getattr(settings, kind.count_field)
    short = [need for need in needs(suite, candidates, attempts) if need.count is None or need.count > asked]
    if not short:
        return
    worst = max(short, key=lambda need: float("inf") if need.count is None else need.count)
    yield Problem(
        f"spec.evaluation.suites[{suite.name}].{kind.name}.{to_camel(kind.count_field)}",
        "TooFewSamples",
        f"{asked} is not enough for a verdict: {how_sure(suite, candidates)}, {worst.why}",
        f"write at least {worst.count}" if worst.count is not None else "ask for less",
    )


def check_class_counts(
    suite: Suite, counts: Mapping[str, int], candidates: int, attempts: AttemptsPolicy = "Warn", *, left: bool = False
) -> list[Problem]:
    """Classes with too few units for the thresholds that judge each class, from the data.

    counts: units by class. left: whether the dataset has more units than are drawn.
    """
    whole, problems = sum(counts.values()), []
    for need in needs(suite, candidates, attempts):
        if not need.asked.per_class or need.count is None:
            continue
        others = need.asked.metric.name == OF_THE_OTHERS
        units = {name: whole - count if others else count for name, count in counts.items()}
        short = {name: count for name, count in sorted(units.items()) if count < need.count}
        if short:
            problems.append(_too_small(suite, candidates, need, short, left=left))
    return problems


def _too_small(suite: Suite, candidates: int, need: Need, short: Mapping[str, int], *, left: bool) -> Problem:
    kind, _ = suite_of(suite)
    more = f", raise {to_camel(kind.count_field)}" if left else ""
    unit, what = f"{need.asked.metric.unit}s", need.asked.metric.name
    of, each = ("of other classes than", "of others to each") if what == OF_THE_OTHERS else ("of class", "of each")
    less = "allow a larger loss" if need.asked.bound == "NonInferiority" else "ask for less"
    listed = some([f"{name} ({count})" for name, count in short.items()])
    return Problem(
        f"spec.evaluation.suites[{suite.name}].{kind.name}.dataset",
        "TooFewSamples",
        f"there are too few {unit} {of} {listed} for a verdict on {what}: {how_sure(suite, candidates)}, {need.why}",
        f"add {unit} until there are {need.count} {each}{more}, or {less}",
    )


def how_sure(suite: Suite, candidates: int) -> str:
    """The confidence, and over how many candidates its error is divided, for messages."""
    several = f" for each of {candidates} candidates" if candidates > 1 else ""
    return f"with confidence {suite.gate.confidence}{several}"
