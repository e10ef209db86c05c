"""Sentences that explain a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from lowbit.api.status import Verdict
from lowbit.gate.measured import Bounds


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


def points(share: float) -> float:
    """A share in percentage points, exactly."""
    return float(Decimal(repr(share)).scaleb(2))


RELATIONS: dict[tuple[str, Verdict], tuple[str, str]] = {
    ("Maximum", "Passed"): ("upper", "is at most"),
    ("Maximum", "Failed"): ("lower", "is above"),
    ("Minimum", "Passed"): ("lower", "is at least"),
    ("Minimum", "Failed"): ("upper", "is below"),
}
"""The bound that decides, and what it shows."""


@dataclass(frozen=True)
class Side:
    """What is judged, and by what."""

    name: str
    bound: str
    threshold: float
    confidence: float
    units: str
    """What is counted, in the plural."""
    part: str = ""
    """Which class or task they are of, to follow them."""


def decided(side: Side, found: Bounds, verdict: Verdict) -> str:
    """KLDivergence 0.112 (95 % upper bound 0.131) is at most 0.15."""
    if side.bound == "NonInferiority":
        return loss_decided(side, found, verdict)
    end, shows = RELATIONS[side.bound, verdict]
    bound = found.upper if end == "upper" else found.lower
    return (
        f"{side.name} {apart(found.value, side.threshold)} ({percent(side.confidence)} {end} bound "
        f"{apart(bound, side.threshold)}) {shows} {side.threshold:.10g}"
    )


def loss_decided(side: Side, found: Bounds, verdict: Verdict) -> str:
    """Accuracy loses 0.4 points against the original, at most 1.6 with 95 % confidence over 500 questions: within the
    margin of 2 points.
    """
    margin, passed = points(side.threshold), verdict == "Passed"
    bound = apart(points(found.upper if passed else found.lower), margin)
    return (
        f"{loss(side, found)} {'at most' if passed else 'at least'} {bound} {over(side, found)}: "
        f"{'within' if passed else 'more than'} the margin of {margin:.10g} points"
    )


def loss(side: Side, found: Bounds) -> str:
    """How much is lost, or gained; the loss's bounds follow."""
    lost = apart(abs(points(found.value)), points(side.threshold))
    if found.value < 0:
        return f"{side.name} gains {lost} points against the original, and loses"
    return f"{side.name} loses {lost} points against the original,"


def over(side: Side, found: Bounds) -> str:
    """The confidence, and how much it rests on."""
    return f"with {percent(side.confidence)} confidence over {found.count} {side.units}"


@dataclass(frozen=True)
class Needed:
    """How many units would decide."""

    count: int | None
    """None if no number would."""
    least: int | None = 0
    """Below it not even an equal candidate passes."""


def inconclusive(side: Side, found: Bounds, needed: Needed) -> str:
    """Says both bounds, and how many fresh units would decide: what was looked at once may not be looked at again."""
    sentence = loss_open(side, found) if side.bound == "NonInferiority" else value_open(side, found)
    least = needed.least or 0
    if found.count < least:
        what = "margin" if side.bound == "NonInferiority" else "threshold"
        return f"{sentence}; this {what} needs at least {least} {side.units}"
    if needed.count is None:
        return f"{sentence}; no number of {side.units} would tell the two apart"
    fresh = f"{rounded_up(needed.count)} fresh {side.units}{side.part}"
    return f"{sentence}; about {fresh} would decide, none of them measured before"


def value_open(side: Side, found: Bounds) -> str:
    """KLDivergence 0.14 is too close to 0.15 to call: its bounds."""
    lower, upper = apart(found.lower, side.threshold), apart(found.upper, side.threshold)
    return (
        f"{side.name} {apart(found.value, side.threshold)} is too close to {side.threshold:.10g} to call: its "
        f"{percent(side.confidence)} bounds are {lower} and {upper} over {found.count} {side.units}"
    )


def loss_open(side: Side, found: Bounds) -> str:
    """Accuracy loses 1 points against the original, between -0.2 and 2.2: too close to the margin to call."""
    margin = points(side.threshold)
    lower, upper = apart(points(found.lower), margin), apart(points(found.upper), margin)
    return (
        f"{loss(side, found)} between {lower} and {upper} {over(side, found)}: too close to the margin of "
        f"{margin:.10g} points to call"
    )


def rounded_up(count: int) -> int:
    """Two significant digits, upwards: an estimate should not look like more."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def no_gate(suites: Sequence[str]) -> str:
    """The message if a threshold is missing: without one nothing can pass."""
    if suites:
        return f"Suite {suites[0]} has no threshold, so nothing says what is good enough"
    return "There is no gate, so nothing says what is good enough"
