"""Counts how often the gate that ships passes a candidate on the threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, NonInferiorityThreshold, ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import ACCURACY, ACCURACY_LOSS, TASK_METRICS
from lowbit.gate import exact, judge
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds, minimum_count
from tests.bench.gate.distributions import Case

CONFIDENCES = (0.95, 0.99)
CANDIDATES = (1, 2, 3)
MOST_VALUES = 2_000_000
"""Drawn at once."""
JUDGED = 100
"""Gates of each cell that go through `judge` as a whole, beside the bounds that all go through."""


@dataclass(frozen=True)
class Cell:
    """One rate."""

    metric: str
    name: str
    count: int
    confidence: float
    candidates: int
    rate: float
    """Share of gates that passed."""
    gates: int
    """How many were drawn; 0 if the rate is a sum."""

    @property
    def nominal(self) -> float:
        """The error that was declared."""
        return (1 - self.confidence) / self.candidates


def simulated(case: Case, gates: int, seed: int, more: Iterable[int] = (256, 1000)) -> Iterator[Cell]:
    """The cells of one case: at the fewest units of the first and of the last confidence, and at more."""
    random = np.random.default_rng(seed)
    asked = {(confidence, k): least(case, 1 - (1 - confidence) / k) for confidence in CONFIDENCES for k in CANDIDATES}
    for count in sorted({min(asked.values()), max(asked.values()), *more}):
        here = {key: fewest for key, fewest in asked.items() if fewest <= count}
        passed = dict.fromkeys(here, 0)
        done = 0
        while done < gates:
            now = min(gates - done, max(1, MOST_VALUES // count))
            for number, row in enumerate(case.measure(random, now, count), start=done):
                for confidence, k in here:
                    found = passes(case.metric, row, 1 - (1 - confidence) / k, case.threshold)
                    passed[confidence, k] += found
                    if number < JUDGED and found != judged(case, row, confidence, k):
                        raise AssertionError(f"judge and bounds differ on {row}")
            done += now
        for (confidence, k), hits in passed.items():
            yield Cell(case.metric.name, case.name, count, confidence, k, hits / gates, gates)


def least(case: Case, confidence: float) -> int:
    """The fewest units that the gate takes."""
    return max(100, minimum_count(case.metric, confidence, case.threshold) or 0)


def passes(metric: Metric, row: Measurement, confidence: float, threshold: float) -> bool:
    """Whether the bound that decides is on the right side."""
    try:
        found = bounds(metric, row, confidence, threshold)
    except (NotMeasuredError, NotANumberError):
        return False
    return found.lower >= threshold if metric.better == "Higher" else found.upper <= threshold


def judged(case: Case, row: Measurement, confidence: float, candidates: int) -> bool:
    """Whether a gate with this one threshold passes."""
    value, name = repr(case.threshold), case.metric.name
    owner = next((metric.name for metric in TASK_METRICS if metric.loss == name), None)
    gate = ResolvedGate.model_construct(
        suite="s", confidence=str(confidence), maximum=[], minimum=[], non_inferiority=[]
    )  # fmt: skip
    if owner is not None:
        gate.non_inferiority.append(NonInferiorityThreshold(metric=owner, margin=value))
    elif case.metric.better == "Higher":
        gate.minimum.append(MinimumThreshold.model_construct(metric=name, value=value))
    else:
        gate.maximum.append(MaximumThreshold.model_construct(metric=name, value=value))
    summary = EvaluationSummary(measurements=[row], speed=[])
    return judge([gate], summary, candidates, 1, "2026-01-01T00:00:00Z").verdict == "Passed"


def pairs(count: int, lost: int, gained: int) -> Measurement:
    """A row of paired counts."""
    cells = PairedCounts(both=count - lost - gained, original_only=lost, candidate_only=gained, neither=0)
    return Measurement(suite="s", metric=ACCURACY_LOSS.name, count=count, pairs=cells)


def passing(count: int, margin: float, confidence: float, most_gained: int) -> list[int]:
    """By number of gains: the largest number of losses with which the gate passes; -1 if with none."""
    found, most = [], -1
    for gained in range(count + 1):
        fits = partial(_fits, count, margin, confidence, gained)
        most = min(most, count - gained)
        while gained <= most_gained and most + 1 + gained <= count and fits(most + 1):
            most += 1
        found.append(most)
    return found


def _fits(count: int, margin: float, confidence: float, gained: int, lost: int) -> bool:
    return passes(ACCURACY_LOSS, pairs(count, lost, gained), confidence, margin)


DISCORDANCES = (0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.3)
"""Beyond the margin."""


def summed_pairs(margin: float, counts: Iterable[int], confidence: float, candidates: int) -> Iterator[Cell]:
    """Exact rates of paired losses: over all counts that may be observed."""
    divided = 1 - (1 - confidence) / candidates
    fewest = minimum_count(ACCURACY_LOSS, divided, margin) or 0
    for count in sorted({fewest, *(each for each in counts if each > fewest)}):
        most = math.ceil(count * 0.15 + 7 * math.sqrt(count * 0.15))
        region = passing(count, margin, divided, most)
        for more in DISCORDANCES:
            discordance = margin + more
            rate = exact.probability(region, count, more / 2, more / 2 + margin)
            name = f"margin {margin}, discordance {discordance:.2f}"
            yield Cell(ACCURACY_LOSS.name, name, count, confidence, candidates, rate, 0)


def power(count: int, margin: float, confidence: float, discordance: float) -> float:
    """Exact probability that a candidate as good as the original passes."""
    most = math.ceil(count * discordance / 2 + 7 * math.sqrt(count * discordance / 2))
    return exact.probability(passing(count, margin, confidence, most), count, discordance / 2, discordance / 2)


def summed_shares(value: float, count: int, confidence: float, candidates: int) -> Cell:
    """The exact rate of a share of the candidate's own."""
    divided = 1 - (1 - confidence) / candidates
    low, high = 0, count + 1
    while low < high:
        middle = (low + high) // 2
        row = Measurement(suite="s", metric=ACCURACY.name, count=count, successes=min(middle, count))
        low, high = (low, middle) if passes(ACCURACY, row, divided, value) else (middle + 1, high)
    terms = (exact.binomial(number, count, value) for number in range(low, count + 1))
    return Cell(ACCURACY.name, f"minimum {value}", count, confidence, candidates, math.fsum(terms), 0)
