"""Numbers and verdicts as words, for page and text alike."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from lowbit.api.status import GateCheck
from lowbit.report.model import Confusion, MeasuredRow, Report, Spent

NONE: Final = "–"
GRADES: Final = {
    "Excellent": "excellent",
    "Good": "good",
    "NeedsWork": "needs work",
    "NotMeasured": "not measured",
}
RELATIONS: Final = {"Maximum": "at most", "Minimum": "at least", "NonInferiority": "loses at most"}
NOT_JUDGED: Final = "Not judged"
BASELINE: Final = "Original"


def number(value: float | None, digits: int = 4) -> str:
    """Some significant digits; a dash where there is none."""
    return NONE if value is None else f"{value:.{digits}g}"


def interval(row: MeasuredRow) -> str:
    """0.101 to 0.131; ± standard error where there are no bounds."""
    if row.lower is not None and row.upper is not None:
        return f"{number(row.lower)} to {number(row.upper)}"
    if row.missing:
        return row.missing
    return f"± {number(row.standard_error, 2)}" if row.standard_error is not None else NONE


def counted(row: MeasuredRow) -> str:
    """256 texts."""
    return f"{row.count} {row.unit}{'' if row.count == 1 else 's'}"


def size(count: float) -> str:
    """114.6 MB, 15.23 GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """42 s, 27 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def sizes(report: Report) -> str:
    """Weights of the original and of the artifact, and how many times smaller the second one is."""
    told = f"Weights of the original: {size(report.sizes.source_bytes)}"
    if report.sizes.artifact_bytes is None:
        return told + "."
    artifact = size(report.sizes.artifact_bytes)
    return f"{told}; of the artifact: {artifact}, {number(report.sizes.ratio, 3)} times smaller."


def ratio(one: float | None, other: float | None) -> str:
    """1.83x."""
    return f"{one / other:.2f}x" if one is not None and other else NONE


def confidence(report: Report) -> str:
    """95 %."""
    return f"{100 * report.confidence:g} %"


def verdict(report: Report) -> str:
    """The verdict in one word or two."""
    if report.judgement is not None:
        return report.judgement.record.verdict
    return NOT_JUDGED if report.subject.baseline else BASELINE


def why(report: Report) -> str:
    """The sentence behind the verdict."""
    if report.judgement is not None:
        return report.judgement.record.message
    if report.subject.baseline is None:
        return "This is the measurement of an original: candidates are compared with it."
    return f"No thresholds were known when this was written: {present_verdict(report)}."


def again(report: Report) -> str:
    """Of what was evaluated again: why, and where; empty otherwise."""
    place = report.subject.place
    if place is None:
        return ""
    known = {"image": place.image, "devices": place.device, "node": place.node}
    where = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return (
        "Evaluated again, because an engine that serves runs in another image, in another kernel or on other devices "
        f"than the one that was judged. Measured as it runs: {where}."
    )


def present_verdict(report: Report) -> str:
    """Where the operator's own verdict is."""
    if report.subject.place is not None:
        return "status.judgedAgain of the ModelRevision has the operator's verdict"
    return "kubectl lowbit report shows the present verdict"


def judged(report: Report) -> str:
    """Who judged, when, and how often."""
    found = report.judgement
    if found is None:
        return ""
    record = found.record
    attempts = f"{record.attempts} attempt{'' if record.attempts == 1 else 's'} on the same evaluation data"
    told = f"each bound holds with {100 * float(record.confidence):.6g} % confidence; {attempts}"
    if found.by == "Operator":
        return f"The ModelRevision's verdict of {record.time}; {told}."
    return (
        f"By the thresholds of {record.time}, when this was measured; {told}. Thresholds may have been edited since: "
        f"{present_verdict(report)}."
    )


def title(report: Report) -> str:
    """What the report is about."""
    subject = report.subject
    recipe = f" · {subject.recipe.label}" if subject.recipe else ""
    return f"{subject.quantized_model or subject.evaluation}{recipe}"


def asked(check: GateCheck) -> str:
    """at most 0.15."""
    return f"{RELATIONS[check.bound]} {check.threshold}"


def gpu_hours(spent: list[Spent]) -> float:
    """GPU hours of all stages together."""
    return sum(each.seconds * each.gpus for each in spent) / 3600


def cost_lines(report: Report) -> list[tuple[str, str]]:
    """What making, judging and serving take, in hours: prices are the reader's."""
    lines = [("GPU hours to make and to judge it", f"{gpu_hours(report.spent):.3g}")]
    gpus = max((each.gpus for each in report.spent if each.what.startswith("Evaluate the candidate")), default=0)
    unit, count = ("GPU hours", gpus) if gpus else ("hours of the engine's CPUs", 1)
    rows = sorted(report.speed, key=lambda row: row.concurrency)[-1:]
    for row in rows:
        at = f", {row.concurrency} requests at once"
        for who, speed in (("the original", row.original_tokens_per_second), ("this model", row.tokens_per_second)):
            if speed and (who == "this model" or report.subject.baseline):
                lines.append((f"{unit} for a million tokens by {who}{at}", f"{count * 1e6 / speed / 3600:.3g}"))
    return lines


def rates(counts: Confusion) -> dict[str, float | None]:
    """Precision, recall, F1 and specificity; None where nothing is divided by."""
    tp, fp, fn, tn = counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative
    return {
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "F1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
    }


def whole(report: Report) -> list[MeasuredRow]:
    """Measurements of whole suites, gated ones first."""
    return sorted((row for row in report.measurements if row.slice is None), key=lambda row: not row.gated)


def sliced(report: Report) -> list[tuple[str, list[MeasuredRow]]]:
    """Measurements of slices, by suite and kind of slice, with a title each."""
    rows = [row for row in report.measurements if row.slice is not None]
    ordered = sorted(rows, key=lambda row: (row.suite, row.slice_kind or "", row.slice or ""))
    return [
        (f"{suite}, by {(kind or 'slice').lower()}", list(found))
        for (suite, kind), found in groupby(ordered, key=lambda row: (row.suite, row.slice_kind))
    ]


def parting(original: str, candidate: str) -> int:
    """Where two answers part: the length of what they begin with in common."""
    for place, (one, other) in enumerate(zip(original, candidate, strict=False)):
        if one != other:
            return place
    return min(len(original), len(candidate))
