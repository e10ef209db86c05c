"""Sentences that explain a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.api.status import Verdict
from lowbit.gate.bounds import Bounds


def number(value: float) -> str:
    """Six significant digits, without an exponent where a person would write none: 0.112345."""
    return f"{value:.6g}"


def percent(confidence: float) -> str:
    """95 % for 0.95, 97.5 % for 0.975."""
    return f"{100 * confidence:.6g} %"


def apart(value: float, threshold: float) -> str:
    """A value in three digits, or in as many as show on which side of the threshold it lies."""
    for digits in range(3, 17):
        text = f"{value:.{digits}g}"
        shown = float(text)
        if (shown > threshold, shown < threshold) == (value > threshold, value < threshold):
            return text
    return repr(value)


RELATIONS: dict[tuple[str, Verdict], tuple[str, str]] = {
    ("Maximum", "Passed"): ("upper", "is at most"),
    ("Maximum", "Failed"): ("lower", "is above"),
    ("Minimum", "Passed"): ("lower", "is at least"),
    ("Minimum", "Failed"): ("upper", "is below"),
}
"""The bound that decides, and what it shows."""


def decided(
    name: str, value: float, bound: float, threshold: float, confidence: float, relation: tuple[str, str]
) -> str:
    """KLDivergence 0.112 (95 % upper bound 0.131) is at most 0.15."""
    side, shows = relation
    return (
        f"{name} {apart(value, threshold)} ({percent(confidence)} {side} bound {apart(bound, threshold)}) "
        f"{shows} {threshold:.10g}"
    )


@dataclass(frozen=True)
class Needed:
    """How many units would decide."""

    count: int | None
    """None if no number would."""
    unit: str
    """What is counted, in the singular."""


def inconclusive(name: str, found: Bounds, threshold: float, confidence: float, needed: Needed) -> str:
    """Says both bounds, and how many units would decide."""
    units = f"{needed.unit}s"
    sentence = (
        f"{name} {apart(found.value, threshold)} is too close to {threshold:.10g} to call: its {percent(confidence)} "
        f"bounds are {apart(found.lower, threshold)} and {apart(found.upper, threshold)} over {found.count} {units}"
    )
    if needed.count is None:
        return f"{sentence}; no number of {units} would tell the two apart"
    return f"{sentence}; about {rounded_up(needed.count)} {units} would decide"


def rounded_up(count: int) -> int:
    """Two significant digits, upwards: an estimate should not look like more."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def no_gate(suites: Sequence[str]) -> str:
    """The message if a threshold is missing: without one nothing can pass."""
    if suites:
        return f"Suite {suites[0]} has no threshold, so nothing says what is good enough"
    return "There is no gate, so nothing says what is good enough"
