"""The next remedy by name: the one place that decides what to try after a verdict.

docs/report.md lists the names. Rules are asked in order; the first one that holds names the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final

from lowbit.api.status import GateCheck, Verdict
from lowbit.report.model import Remedy, Report

FEW_SAMPLES = 128
"""Calibration samples below which more of them are worth a try first."""
FAR = 2.0
"""A value this many times its threshold is beyond what smaller groups mend."""
SMALLEST_GROUP = 32


@dataclass(frozen=True)
class Name:
    """A remedy's name, and what to write."""

    name: str
    how: str


NOTHING: Final = Name("nothing", "It may serve. Watch its answers in production as those of any other model.")
FASTER: Final = Name(
    "a faster kernel",
    "Look which kernel ran (below), and try another group size, or another engine image; more requests at once show "
    "more of a gain.",
)
MORE_SAMPLES: Final = Name(
    "more samples",
    "Raise the suite's samples, with fresh texts: a second look at the same ones is not the bound that it says.",
)
LOOK: Final = Name(
    "look at the answers", "Compare both models' answers (below), and mend what the sentence names. Until then nothing "
    "passes, whatever the bounds say.",
)  # fmt: skip
MEND_SUITE: Final = Name("mend the suite", "Correct the suite or its gate, so that every threshold has its number.")
MORE_DAMPING: Final = Name(
    "more damping", "Raise dampPercent, or give more and more varied calibration texts; then look at the engine's log."
)
QUANTIZE_HERE: Final = Name(
    "quantize here", "Give a recipe that Lowbit makes itself (gptq, awq) with calibration texts of the task."
)
MORE_CALIBRATION: Final = Name(
    "more calibration data of the task",
    "Add texts like those of the task to spec.calibration.datasets with a large weight, and raise samples.",
)
SMALLER_GROUPS: Final = Name("smaller groups", "Add a candidate with a smaller groupSize, such as 32.")
EIGHT_BITS: Final = Name("8 bits", "Add a candidate with gptq.bits: 8.")
ORIGINAL: Final = Name(
    "the original", "Serve the original; or look at the thresholds, if they ask for more than you need."
)
NAMES: Final = (
    NOTHING, FASTER, MORE_SAMPLES, LOOK, MEND_SUITE, MORE_DAMPING, QUANTIZE_HERE, MORE_CALIBRATION,
    SMALLER_GROUPS, EIGHT_BITS, ORIGINAL,
)  # fmt: skip

Rule = tuple[Name, Callable[[Report], str | None]]
"""A remedy, and why it is the one to try; None if it is not."""


def choose(report: Report) -> Remedy | None:
    """The remedy to try next; None on a baseline, and where nobody has judged."""
    if report.subject.baseline is None or report.judgement is None:
        return None
    for name, asks in RULES[report.judgement.record.verdict]:
        if (why := asks(report)) is not None:
            return Remedy(name=name.name, why=why, how=name.how)
    return None


def checks(report: Report, verdict: Verdict) -> list[GateCheck]:
    """The thresholds with this verdict."""
    return [each for each in report.judgement.record.checks if each.verdict == verdict] if report.judgement else []


def slow(report: Report) -> str | None:
    """Passed, and not faster than the original."""
    graded = next((each for each in report.grades if each.dimension == "Speed"), None)
    return f"It is good enough, and hardly faster. {graded.reason}" if graded and graded.grade == "NeedsWork" else None


def not_a_number(report: Report) -> str | None:
    """The model computes values that are not numbers."""
    bad = max((row.not_finite for row in report.measurements), default=0)
    return f"{bad} of the engine's numbers are not finite: the weights overflow somewhere" if bad else None


def implausible(report: Report) -> str | None:
    """The results cannot be believed."""
    doubts = report.judgement.record.implausible if report.judgement else []
    return doubts[0] if doubts else None


def unknown(report: Report) -> str | None:
    """A threshold has no number."""
    found = [each for each in checks(report, "Inconclusive") if not isfinite(number(each.value))]
    if not found:
        return None
    return found[0].message or f"There is no number for {found[0].metric} of suite {found[0].suite}"


def undecided(report: Report) -> str:
    """A threshold lies between the bounds."""
    found = checks(report, "Inconclusive")
    if not found:
        return "Nothing speaks against it, and not enough for it"
    return found[0].message or f"The bounds of {found[0].metric} (suite {found[0].suite}) enclose the threshold"


def made_elsewhere(report: Report) -> str | None:
    """Somebody else has quantized it."""
    recipe = report.subject.recipe
    return (
        "The artifact was made elsewhere: how it was calibrated is not known here"
        if recipe and not recipe.made_here
        else None
    )


def off_domain(report: Report) -> str | None:
    """Tasks are worse while the text is modelled well, or hardly anything was read."""
    recipe, read = report.subject.recipe, report.calibration
    if recipe is None or not recipe.calibrated:
        return None
    if read is not None and read.samples < FEW_SAMPLES:
        return f"The quantizer has read {read.samples} samples; {FEW_SAMPLES} is little"
    if report.rounded_experts:
        return f"{report.rounded_experts} experts saw hardly a calibration token"
    failed = {each.bound for each in checks(report, "Failed")}
    fidelity = next((each.grade for each in report.grades if each.dimension == "Fidelity"), "NotMeasured")
    if failed == {"NonInferiority"} and fidelity in ("Excellent", "Good"):
        return "A task got worse while general text is modelled well: the calibration is not like the task"
    return None


def groups_help(report: Report) -> str | None:
    """A near miss of few bits in large groups."""
    recipe = report.subject.recipe
    if recipe is None or recipe.group_size is None or (recipe.bits or 4) >= 8:
        return None
    coarse = recipe.group_size == -1 or recipe.group_size > SMALLEST_GROUP
    near = all(farness(each) <= FAR for each in checks(report, "Failed"))
    if not (coarse and near):
        return None
    size = "whole rows" if recipe.group_size == -1 else f"groups of {recipe.group_size}"
    return f"It misses its threshold by little, and {recipe.bits or 'few'} bits share a scale in {size}"


def bits_help(report: Report) -> str | None:
    """Few bits."""
    recipe = report.subject.recipe
    if recipe is None or (recipe.bits or 4) >= 8:
        return None
    return f"{recipe.bits or 4} bits lose too much of this model"


def farness(check: GateCheck) -> float:
    """How many times its threshold a value is, on the bad side; of a minimum what is missing to 1."""
    value, threshold = number(check.value), number(check.threshold)
    if check.bound == "Minimum":
        value, threshold = 1 - value, 1 - threshold
    if not isfinite(value) or threshold <= 0:
        return float("inf")
    # A ratio of perplexities is 1 where nothing is lost.
    return (value - 1) / (threshold - 1) if check.bound == "Maximum" and threshold > 1 else value / threshold


def number(text: str) -> float:
    """A number as text; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def always(why: str) -> Callable[[Report], str]:
    """The last rule."""
    return lambda _: why


RULES: Final[dict[Verdict, tuple[Rule, ...]]] = {
    "Passed": ((FASTER, slow), (NOTHING, always("Every threshold is passed with confidence"))),
    "Inconclusive": ((LOOK, implausible), (MEND_SUITE, unknown), (MORE_SAMPLES, undecided)),
    "Failed": (
        (MORE_DAMPING, not_a_number),
        (QUANTIZE_HERE, made_elsewhere),
        (MORE_CALIBRATION, off_domain),
        (SMALLER_GROUPS, groups_help),
        (EIGHT_BITS, bits_help),
        (ORIGINAL, always("Finer quantization was tried already, or how it was made is not known")),
    ),
}
"""By verdict, in order."""
