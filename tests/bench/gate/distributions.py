"""What texts, prompts and classes may be like: each draws gates whose true value lies on the threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from lowbit.api.status import ClassCounts, MeanStatistics, Measurement, PairedCounts
from lowbit.api.suites.fidelity_metrics import KL_DIVERGENCE, PERPLEXITY_RATIO, TOP1_AGREEMENT
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import ACCURACY_LOSS, F1_LOSS, PRECISION_LOSS
from lowbit.gate.wording import number

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator
Draw = Callable[[Random, tuple[int, int]], Array]
"""Values of the units: a row for each gate."""


@dataclass(frozen=True)
class Case:
    """One distribution on one threshold."""

    metric: Metric
    name: str
    threshold: float
    measure: Callable[[Random, int, int], Iterator[Measurement]]
    """From a number of gates and of units in each."""


def of_means(metric: Metric, name: str, threshold: float, draw: Draw) -> Case:
    """A metric that is a mean over units."""

    def measure(random: Random, gates: int, count: int) -> Iterator[Measurement]:
        return rows(metric, draw(random, (gates, count)))

    return Case(metric, name, threshold, measure)


def rows(metric: Metric, values: Array) -> Iterator[Measurement]:
    """A row of an evaluation for each row of values, as the worker writes it."""
    count = values.shape[1]
    mean = values.mean(1)
    apart = values - mean[:, None]
    squares = np.einsum("ij,ij->i", apart, apart)
    cubes = np.einsum("ij,ij,ij->i", apart, apart, apart)
    with np.errstate(all="ignore"):
        skewness = cubes / count / (squares / count) ** 1.5 * sqrt(count * (count - 1)) / (count - 2)
    errors = np.sqrt(squares / (count - 1) / count)
    for value, error, skew in zip(mean.tolist(), errors.tolist(), skewness.tolist(), strict=True):
        told = MeanStatistics(value=number(value), standard_error=number(error), skewness=number(skew))
        yield Measurement(suite="s", metric=metric.name, count=count, mean=told)


def lognormal(sigma: float) -> Draw:
    return lambda random, size: np.exp(sigma * random.standard_normal(size) - sigma * sigma / 2)


def gamma(shape: float) -> Draw:
    return lambda random, size: random.standard_gamma(shape, size) / shape


def ruined(share: float, factor: float) -> Draw:
    """A share of the texts is so many times as bad as the others are on average."""
    sound = 1 / (1 - share + share * factor)

    def draw(random: Random, size: tuple[int, int]) -> Array:
        values = sound * lognormal(0.5)(random, size)
        return np.where(random.random(size) < share, values * factor, values)

    return draw


def agreement(loss: float, tokens: int, share: float = 0.0, of_ruined: float = 0.0) -> Draw:
    """Beta-binomial share of the tokens of a text that agree; in a share of the texts another one disagrees."""
    base = (loss - share * of_ruined) / (1 - share)

    def draw(random: Random, size: tuple[int, int]) -> Array:
        missing = random.beta(base * 20, (1 - base) * 20, size)
        missing = np.where(random.random(size) < share, of_ruined, missing) if share else missing
        return np.asarray(1 - (random.binomial(tokens, missing) / tokens if tokens else missing))

    return draw


def skewed_ratio(random: Random, size: tuple[int, int]) -> Array:
    return np.asarray((lognormal(0.5)(random, size) - 1) / sqrt(np.exp(0.25) - 1))


def outliers(random: Random, size: tuple[int, int]) -> Array:
    return np.asarray(random.standard_normal(size) + np.where(random.random(size) < 0.02, 6.0, 0.0) - 0.12)


def answers(margin: float, samples: int, kind: str, sharp: bool = False) -> Draw:
    """Loss of prompts that are answered several times each.

    kind: Broken (some prompts fail altogether), Worse (some nearly), Spread (all a little). sharp: nearly every prompt
    is always right, or always wrong.
    """

    def draw(random: Random, size: tuple[int, int]) -> Array:
        right = random.beta(0.16, 0.04, size) if sharp else random.beta(1.6, 0.4, size)  # 0.8 on average
        if kind == "Spread":
            candidate = right * (1 - margin / 0.8)
        else:
            kept = 0.0 if kind == "Broken" else 0.25
            candidate = np.where(random.random(size) < margin / 0.8 / (1 - kept), right * kept, right)
        return np.asarray((random.binomial(samples, right) - random.binomial(samples, candidate)) / samples)

    return draw


def small(draw: Draw) -> Draw:
    """A logarithm of a ratio whose units differ by about 0.1."""
    return lambda random, size: 0.1 * draw(random, size)


def mean_cases() -> list[Case]:
    """Every metric that is a mean."""
    divergences: dict[str, Draw] = {
        "LN 0.5": lognormal(0.5), "LN 1": lognormal(1.0), "LN 1.5": lognormal(1.5), "gamma 4": gamma(4),
        "gamma 1": gamma(1), "gamma 0.5": gamma(0.5), "2 % x25": ruined(0.02, 25), "2 % x8": ruined(0.02, 8),
    }  # fmt: skip
    shares = {
        ".95 beta": (0.05, agreement(0.05, 0)), ".99 beta": (0.01, agreement(0.01, 0)),
        ".90 of 80": (0.10, agreement(0.10, 80)), ".95 of 80": (0.05, agreement(0.05, 80)),
        ".99 of 80": (0.01, agreement(0.01, 80)), ".95 of 10": (0.05, agreement(0.05, 10)),
        ".95, 2 % at .5": (0.05, agreement(0.05, 80, 0.02, 0.5)),
    }  # fmt: skip
    ratios: dict[str, Draw] = {
        "normal": lambda random, size: random.standard_normal(size),
        "t3": lambda random, size: random.standard_t(3, size),
        "skewed": skewed_ratio, "2 % at 6 deviations": outliers,
    }  # fmt: skip
    found = [of_means(KL_DIVERGENCE, name, 1.0, draw) for name, draw in divergences.items()]
    found += [of_means(TOP1_AGREEMENT, name, 1 - loss, draw) for name, (loss, draw) in shares.items()]
    found += [of_means(PERPLEXITY_RATIO, name, 1.0, small(draw)) for name, draw in ratios.items()]
    for margin, samples in ((0.03, 3), (0.03, 10), (0.05, 5)):
        for kind in ("Broken", "Worse", "Spread"):
            for sharp in (False, True):
                name = f"{kind} {'sharp ' if sharp else ''}{margin} x{samples}"
                found.append(of_means(ACCURACY_LOSS, name, margin, answers(margin, samples, kind, sharp)))
    return found


@dataclass(frozen=True)
class Population:
    """A class among others, and how two models tell it."""

    positives: float
    """Share of the units that are of the class."""
    recall: float
    precision: float
    """Both of the original."""
    flips: float
    """Share of its answers that change both ways, without loss."""
    missed: float = 0.0
    """More of the positives that it finds, and the candidate misses."""
    alarms: float = 0.0
    """More of the others that it tells apart, and the candidate takes for the class."""

    def shares(self) -> Array:
        """Of the eight kinds: class or other; then both, original only, candidate only, neither say that it is."""
        alarm = self.recall * self.positives * (1 - self.precision) / self.precision / (1 - self.positives)
        parts = []
        for whole, said, lost, gained in (
            (self.positives, self.recall, self.flips + self.missed, self.flips * self.recall / (1 - self.recall)),
            (1 - self.positives, alarm, self.flips, self.flips * alarm / (1 - alarm) + self.alarms),
        ):
            both, only = said * (1 - lost), said * lost
            candidate, neither = (1 - said) * gained, (1 - said) * (1 - gained)
            parts += [whole * each for each in (both, only, candidate, neither)]
        return np.array(parts)


def loss_of(metric: Metric, shares: Array) -> float:
    """The true loss of precision or F1."""
    both, original, candidate, neither, all_, first, second, _ = shares.tolist()
    found = []
    for right, missed, wrong in (
        (both + original, candidate + neither, all_ + first), (both + candidate, original + neither, all_ + second)
    ):  # fmt: skip
        found.append(right / (right + wrong) if metric is PRECISION_LOSS else 2 * right / (2 * right + missed + wrong))
    return float(found[0] - found[1])


def class_case(metric: Metric, population: Population, margin: float, missed: float, alarms: float) -> Case | None:
    """missed, alarms: in what proportion more positives are missed and others taken. None if that loses nothing."""

    def shares(times: float) -> Array:
        changed = Population(population.positives, population.recall, population.precision, population.flips,
                             missed * times, alarms * times)  # fmt: skip
        return changed.shares()

    low, high = 0.0, 0.9
    if loss_of(metric, shares(high)) < margin:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_of(metric, shares(middle)) < margin else (low, middle)
    found = shares(low)

    def measure(random: Random, gates: int, count: int) -> Iterator[Measurement]:
        for drawn in random.multinomial(round(count / population.positives), found, gates).tolist():
            halves = [PairedCounts(both=a, original_only=b, candidate_only=c, neither=d)
                      for a, b, c, d in (drawn[:4], drawn[4:])]  # fmt: skip
            classes = ClassCounts(of_class=halves[0], others=halves[1])
            yield Measurement(suite="s", metric=metric.name, count=sum(drawn), classes=classes)

    name = f"{population.positives} r {population.recall} p {population.precision} flips {population.flips}"
    return Case(metric, f"{name} missed:alarms {missed}:{alarms} margin {margin}", margin, measure)


def class_cases() -> list[Case]:
    """Precision and F1; units are counted in positives, on average."""
    found = []
    for metric in (PRECISION_LOSS, F1_LOSS):
        for population in (
            Population(0.1, 0.85, 0.85, 0.01), Population(0.3, 0.97, 0.97, 0.0), Population(0.5, 0.7, 0.8, 0.05)
        ):  # fmt: skip
            for missed, alarms in ((1, 1), (1, 0), (0, 1)):
                found.append(class_case(metric, population, 0.03, missed, alarms))
    return [case for case in found if case is not None]
