"""The samples that a manifest's gates need, threshold by threshold and for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Final, NamedTuple

from lowbit.api.evaluation import Suite, suite_of
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import assumptions, power, skewed
from lowbit.gate.counts import Need, last_confidence, needs
from lowbit.gate.power import POWER

SIGNS: Final = {"Maximum": "<=", "Minimum": ">=", "NonInferiority": "loss <="}
"""Directions of thresholds, by their bound."""


@dataclass(frozen=True)
class Size:
    """What one threshold needs, of one class if it is judged by class."""

    suite: str
    metric: str
    threshold: str
    """The value or the margin, with its direction."""
    candidates: int
    confidence: float
    """One-sided, of the bound: divided over the candidates, and at the last look if there are several."""
    assumption: str
    least: int
    """Fewer units give no verdict."""
    needed: int | None
    """Units for a power of 0.8; None if no number would do, or it is not known."""
    jointly: int | None
    """The same, so that all thresholds pass together with a power of 0.8."""
    asked: int | None
    """Units that the manifest asks for; None if that follows from the data alone."""
    power: float | None
    """At `asked`; None if it is not known."""
    slice: str | None = None

    @property
    def cannot_pass(self) -> bool:
        """Whether the manifest asks for too few units for any verdict."""
        return self.asked is not None and self.asked < self.least


@dataclass(frozen=True)
class Sizes:
    """Every threshold, and all together."""

    rows: tuple[Size, ...]
    joint: float | None
    """Probability that a good candidate passes all, if the thresholds are independent; None if one is not known."""

    def samples(self) -> dict[str, int | None]:
        """By suite: samples for a joint power of 0.8; None where no number would do, or it is not known."""
        found: dict[str, int | None] = {}
        for row in self.rows:
            before = found.get(row.suite, 0)
            found[row.suite] = None if before is None or row.jointly is None else max(before, row.jointly)
        return found


@dataclass(frozen=True)
class Asked:
    """One threshold of one suite, with all that its size depends on."""

    need: Need
    candidates: int
    confidence: float
    samples: int
    pilot: Measurement | None = None
    share: float | None = 1.0
    """Share of the samples that count for it; None if that is not known: a class without a pilot."""
    slice: str | None = None

    @property
    def metric(self) -> Metric:
        """What is held against the threshold."""
        return self.need.asked.measured

    @property
    def value(self) -> float:
        """The value or the margin."""
        return float(self.need.asked.threshold)

    @property
    def least(self) -> int:
        """Fewer units give no verdict."""
        return self.need.count or 1

    @property
    def told(self) -> str:
        """The threshold, for people."""
        return f"{SIGNS[self.need.asked.bound]} {self.need.asked.threshold}"


def sizes(spec: QuantizedModelSpec, pilot: Sequence[Measurement] = ()) -> Sizes:
    """What every threshold of a manifest needs. pilot: measurements of an earlier evaluation, if any."""
    asked = [one for suite in spec.evaluation.suites for one in asked_of(suite, spec, pilot)]
    each = power.each(POWER, len(asked))
    rows = tuple(size(one, each) for one in asked)
    powers = [row.power for row in rows if row.power is not None]
    return Sizes(rows, prod(powers) if len(powers) == len(rows) else None)


def asked_of(suite: Suite, spec: QuantizedModelSpec, pilot: Sequence[Measurement]) -> Iterator[Asked]:
    """The thresholds of one suite: for each of its tasks, and for each class where a threshold is by class and a pilot
    tells the classes."""
    kind, settings = suite_of(suite)
    candidates, attempts = len(spec.candidates), spec.evaluation.attempts
    confidence, samples = last_confidence(suite, candidates, attempts), getattr(settings, kind.count_field)
    for need in needs(suite, candidates, attempts):
        rows = [row for row in pilot if row.metric == need.asked.measured.name and row.suite == suite.name]
        whole = next((row for row in rows if row.slice is None), None)
        one = Asked(need, candidates, confidence, samples, whole)
        classes = [row for row in rows if row.slice_kind == "Class"]
        if not need.asked.per_class:
            tasks = {row.slice: row for row in rows if row.slice_kind == "Task"}
            names = kind.tasks(settings)
            yield from (replace(one, pilot=tasks.get(name), slice=name) for name in names)
            yield from () if names else (one,)
        elif not classes:
            yield replace(one, pilot=None, share=None, slice="each class")
        else:
            total = whole.count if whole is not None else sum(row.count for row in classes)
            for row in classes:
                yield replace(one, pilot=row, share=row.count / max(total, 1), slice=row.slice)


def size(one: Asked, each: float) -> Size:
    """What one threshold needs. each: the power that it needs for the joint one."""
    found = calculation(one)
    units = None if one.share is None else int(one.samples * one.share)

    def samples(units: int | None) -> int | None:
        """Samples of which so many count."""
        if units is None or one.share is None:
            return units
        return ceil(round(max(units, found.least) / one.share, 6))

    return Size(
        suite=one.need.asked.suite, metric=one.metric.name, threshold=one.told, candidates=one.candidates,
        confidence=one.confidence, assumption=found.assumption, least=samples(found.least) or found.least,
        needed=samples(found.needed(POWER)), jointly=samples(found.needed(each)),
        asked=None if one.share is None else one.samples,
        power=None if units is None else 0.0 if units < found.least else found.power(units),
        slice=one.slice,
    )  # fmt: skip


class Calculation(NamedTuple):
    """How the samples of one threshold are computed."""

    assumption: str
    """In words."""
    least: int
    """Fewer units give no verdict."""
    needed: Callable[[float], int | None]
    """Units by power."""
    power: Callable[[int], float | None]
    """Power by units."""


def calculation(one: Asked) -> Calculation:
    """By the metric's bound."""
    found = CALCULATIONS.get(one.metric.bound or "")
    if found is not None:
        return found(one)
    return Calculation("not known before it is measured", one.least, lambda _: None, lambda _: None)


def _paired(one: Asked) -> Calculation:
    good, margin, confidence = assumptions.pairs(one.value, one.pilot), one.value, one.confidence
    return Calculation(
        good.told,
        one.least,
        lambda wanted: power.paired_needed(margin, good.discordance, confidence, wanted, good.loss),
        lambda count: power.paired_power(count, margin, good.discordance, confidence, good.loss),
    )


def _share(one: Asked) -> Calculation:
    true, told = assumptions.share(one.value, one.pilot)
    return Calculation(
        told,
        one.least,
        lambda wanted: power.share_needed(one.value, true, one.confidence, wanted),
        lambda count: power.share_power(count, one.value, true, one.confidence),
    )


def _mean(one: Asked) -> Calculation:
    good = assumptions.units(one.metric, one.value, one.pilot)
    least = one.least
    if good is None:
        return Calculation("the pilot's numbers cannot be used", least, lambda _: None, lambda _: None)
    bar = good.bar(one.confidence)
    return Calculation(
        good.told,
        least,
        lambda wanted: skewed.needed(good.shape, bar, wanted, least),
        lambda count: skewed.power(good.shape, count, bar),
    )


CALCULATIONS: Final[Mapping[str, Callable[[Asked], Calculation]]] = {
    "Paired": _paired,
    "Proportion": _share,
    "Hall": _mean,
    "GuardedHall": _mean,
}
"""By the name of the bound that a metric declares. The others are not known before they are measured."""
