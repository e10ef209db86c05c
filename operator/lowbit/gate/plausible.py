"""Results that no honest comparison gives. Where there is one, nothing passes until a person has looked.

A suite that cannot tell good from bad approves everything, and a candidate that beats its original is more often a
mistake (another model, another template, answers in the calibration data) than luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lowbit.api.evaluation import MinimumThreshold, ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts
from lowbit.api.suites import metrics
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import PARSED_SHARE, TASK_METRICS
from lowbit.gate.bounds import Bounds, NotANumberError, NotMeasuredError, bounds
from lowbit.gate.measured import number, of_slice
from lowbit.gate.proportion import clopper_pearson
from lowbit.gate.unsound import unsound
from lowbit.gate.wording import apart

SURE = 0.95
"""One-sided confidence that a candidate is better than its original by what nobody expects."""
CHANCE = 0.95
"""One-sided confidence that the original is better than chance, or than its floor."""
LEAST_PARSED = 0.98
"""A smaller share of answers that could be read says as much of the format as of the model."""


def implausible(gates: Sequence[ResolvedGate], summary: EvaluationSummary) -> list[str]:
    """What cannot be believed, one sentence each; none where all is as one would expect."""
    asked = {gate.suite: gate for gate in gates}
    known = {metric.name: metric for metric in TASK_METRICS} | dict(metrics())
    found: list[str] = []
    for row in summary.measurements:
        if (bad := unsound(row)) is not None:
            found.append(bad)
        gate, metric = asked.get(row.suite), known.get(row.metric)
        if gate is not None and metric is not None:
            found += _of_row(metric, row, gate)
    return sorted(set(found))


def _of_row(metric: Metric, row: Measurement, gate: ResolvedGate) -> Iterator[str]:
    if (better := too_good(metric, row)) is not None:
        yield better
    if metric.name == PARSED_SHARE.name and row.slice is None and (unread := unparsed(row)) is not None:
        yield unread
    if row.pairs is not None:
        share_of = next((each for each in TASK_METRICS if each.loss == metric.name), None)
        if share_of is not None:
            yield from useless(share_of, row, row.pairs, floors(gate).get(share_of.name))


def floors(gate: ResolvedGate) -> Mapping[str, MinimumThreshold]:
    """What the original itself must reach, by metric."""
    return {each.metric: each for each in gate.original}


def too_good(metric: Metric, row: Measurement) -> str | None:
    """A candidate that is better than its original by more than noise allows."""
    if metric.implausible is None:
        return None
    found = _bounds(metric, row)
    if found is None or found.upper >= metric.implausible:
        return None
    name, value, least = f"{metric.title}{of_slice(row)} of suite {row.suite}", f"{found.value:.3g}", metric.implausible
    return (
        f"{name} is {value}, surely below {least:g}. No quantized model is so much better than its original: look "
        "whether both are the same model with the same chat template, and whether the calibration data has the answers"
    )


def _bounds(metric: Metric, row: Measurement) -> Bounds | None:
    try:
        return bounds(metric, row, SURE)
    except (NotMeasuredError, NotANumberError):
        return None


def unparsed(row: Measurement) -> str | None:
    """Answers of which too many could not be read."""
    if row.successes is None or not row.count or row.successes / row.count >= LEAST_PARSED:
        return None
    return (
        f"Suite {row.suite} could read {row.successes} of {row.count} answers, less than {LEAST_PARSED:.0%}: constrain "
        "the answers, give them more tokens, or mend the prompt"
    )


def useless(metric: Metric, row: Measurement, pairs: PairedCounts, floor: MinimumThreshold | None) -> Iterator[str]:
    """An original that does no better than chance, or than its declared floor: losing nothing is no merit then."""
    right = pairs.both + pairs.original_only
    if not row.count:
        return
    sure, _ = clopper_pearson(right, row.count, CHANCE)
    told = f"The original's {metric.name}{of_slice(row)} in suite {row.suite} is {right} of {row.count}"
    # A chance that is no number is surely not beaten either.
    if row.chance is not None and not sure > (chance := number(row.chance)):
        yield (
            f"{told}, not surely better than the chance of {apart(chance, sure)}: the suite cannot tell "
            "good from bad; mend its prompt or its answers, or take a task that the model can do"
        )
    if floor is not None and row.whole and sure < float(floor.value):
        yield f"{told}, not surely as much as its floor of {floor.value}: the suite is not what it should be"
