"""Bands of the grades: from measured numbers to excellent, good or needs work, a dimension at a time.

Grades explain; they decide nothing. A number is graded by the bound on its bad side where it has one, so that few
samples make nothing excellent. A dimension has the grade of its worst number. docs/report.md has the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

from lowbit.report.model import Dimension, Grade, GradeName, MeasuredRow, Report


@dataclass(frozen=True)
class Band:
    """Where a number becomes good, and where excellent."""

    dimension: Dimension
    number: str
    """Name of a metric, or of one of OTHER_NUMBERS."""
    title: str
    excellent: float
    good: float

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller numbers are better."""
        return self.excellent < self.good

    def grade(self, value: float) -> GradeName:
        """The grade of a number."""
        if not isfinite(value):
            return "NeedsWork"
        sign = 1 if self.lower_is_better else -1
        if sign * value <= sign * self.excellent:
            return "Excellent"
        return "Good" if sign * value <= sign * self.good else "NeedsWork"


SPEED_UP, SIZE_RATIO = "SpeedUp", "SizeRatio"
NOT_FINITE, ROUNDED, DECODE_DIFFERENCE = "NotFinite", "RoundedExperts", "DecodeDifference"

BANDS: Final = (
    Band("Fidelity", "KLDivergence", "KL divergence", 0.02, 0.1),
    Band("Fidelity", "PerplexityRatio", "Perplexity ratio", 1.01, 1.05),
    Band("Fidelity", "Top1Agreement", "Top-1 agreement", 0.95, 0.88),
    Band("Tasks", "AccuracyLoss", "Loss of accuracy", 0.01, 0.02),
    Band("Tasks", "RecallLoss", "Loss of recall", 0.01, 0.02),
    Band("Tasks", "SpecificityLoss", "Loss of specificity", 0.01, 0.02),
    Band("Tasks", "PrecisionLoss", "Loss of precision", 0.01, 0.02),
    Band("Tasks", "F1Loss", "Loss of F1", 0.01, 0.02),
    Band("Speed", SPEED_UP, "Speed-up", 2.0, 1.5),
    Band("Size", SIZE_RATIO, "Times smaller", 2.5, 1.5),
    Band("Health", NOT_FINITE, "Numbers that are not finite", 0.0, 0.5),
    Band("Health", ROUNDED, "Share of experts rounded to nearest", 0.0, 0.01),
    Band("Health", "CoveredMass", "Covered mass", 0.9, 0.75),
    Band("Health", DECODE_DIFFERENCE, "Difference of decode and prefill, nats", 0.05, 0.2),
)  # fmt: skip
DIMENSIONS: Final[tuple[Dimension, ...]] = ("Fidelity", "Tasks", "Speed", "Size", "Health")
WORSE_FIRST: Final[tuple[GradeName, ...]] = ("NeedsWork", "Good", "Excellent")
NOT_MEASURED: Final = {
    "Fidelity": "no suite compares next-token distributions",
    "Tasks": "no suite asks for answers that can be right",
    "Speed": "there is no speed of both models",
    "Size": "the store has no record of the artifact",
    "Health": "nothing was measured",
}


def grades(report: Report) -> list[Grade]:
    """The grade of every dimension; none on a baseline, which is what others are compared with."""
    return [grade(report, dimension) for dimension in DIMENSIONS] if report.subject.baseline else []


def grade(report: Report, dimension: Dimension) -> Grade:
    """The grade of one dimension: that of its worst number."""
    graded = [
        (WORSE_FIRST.index(band.grade(value)), band, value, where)
        for band in BANDS
        if band.dimension == dimension
        for value, where in numbers(report, band)
    ]
    if not graded:
        return Grade(dimension=dimension, grade="NotMeasured", reason=NOT_MEASURED[dimension])
    place, band, value, where = min(graded, key=lambda one: (one[0], -farness(one[1], one[2])))
    name, limit = ("excellent", band.excellent) if WORSE_FIRST[place] == "Excellent" else ("good", band.good)
    relation = "at most" if band.lower_is_better else "at least"
    reason = f"{band.title} {value:.4g}{where}; {name} is {relation} {limit:g}"
    return Grade(dimension=dimension, grade=WORSE_FIRST[place], reason=reason)


def farness(band: Band, value: float) -> float:
    """How far a number is on the bad side of what is excellent, in widths of the band."""
    if not isfinite(value):
        return float("inf")
    return (value - band.excellent) / (band.good - band.excellent)


def numbers(report: Report, band: Band) -> list[tuple[float, str]]:
    """The numbers that a band is about, with where they come from."""
    if band.number in OTHER_NUMBERS:
        return OTHER_NUMBERS[band.number](report)
    rows = [(bad_side(row), where_of(row)) for row in report.measurements if row.metric == band.number]
    return [(value, where) for value, where in rows if value is not None]


def speed_up(report: Report) -> list[tuple[float, str]]:
    """How many times as fast as the original, with the most requests at once."""
    known = [row for row in report.speed if row.original_tokens_per_second]
    most = max(known, key=lambda row: row.concurrency, default=None)
    return (
        [(most.tokens_per_second / (most.original_tokens_per_second or 1.0), f" ({most.concurrency} requests at once)")]
        if most
        else []
    )


def not_finite(report: Report) -> list[tuple[float, str]]:
    """The most numbers behind one measurement that are NaN or infinite."""
    return [(float(max(row.not_finite for row in report.measurements)), "")] if report.measurements else []


OTHER_NUMBERS: Final[Mapping[str, Callable[[Report], list[tuple[float, str]]]]] = {
    SPEED_UP: speed_up,
    SIZE_RATIO: lambda report: [(report.sizes.ratio, "")] if report.sizes.ratio is not None else [],
    NOT_FINITE: not_finite,
    ROUNDED: lambda report: [(report.rounded_experts / report.experts, "")] if report.experts else [],
    DECODE_DIFFERENCE: lambda report: [(report.decode_difference, "")] if report.decode_difference is not None else [],
}
"""Numbers that are no metrics of suites."""


def bad_side(row: MeasuredRow) -> float | None:
    """The bound on the bad side, else the value; infinite where numbers behind it are not finite."""
    if row.not_finite:
        return float("inf")
    bound = row.upper if row.better == "Lower" else row.lower
    return bound if bound is not None else row.value


def where_of(row: MeasuredRow) -> str:
    """Suite and slice, for people, and whether a bound is graded."""
    worst = "at worst, " if (row.upper if row.better == "Lower" else row.lower) is not None else ""
    return f" ({worst}{row.suite}, {row.slice})" if row.slice else f" ({worst}{row.suite})"
