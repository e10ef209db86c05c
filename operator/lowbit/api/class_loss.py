"""The loss of precision or F1 of a class, from what two models said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowbit.api.suites.task_metrics import F1_LOSS, PRECISION_LOSS

if TYPE_CHECKING:
    from lowbit.api.status import ClassCounts


def class_loss(metric: str, counts: ClassCounts) -> float | None:
    """The original's precision or F1 less the candidate's, by the loss's name.

    None for any other metric, and where a model's own value is undefined: it called nothing a member of the class.
    """
    if metric not in (PRECISION_LOSS.name, F1_LOSS.name):
        return None
    yes, no = counts.of_class, counts.others
    missed = metric == F1_LOSS.name
    original = _ratio(
        yes.both + yes.original_only, yes.candidate_only + yes.neither, no.both + no.original_only, missed
    )
    candidate = _ratio(
        yes.both + yes.candidate_only, yes.original_only + yes.neither, no.both + no.candidate_only, missed
    )
    return original - candidate if original is not None and candidate is not None else None


def _ratio(right: int, lost: int, alarms: int, missed: bool) -> float | None:
    """Precision; with missed F1, whose denominator has the lost ones as well."""
    top, bottom = (2 * right, 2 * right + lost + alarms) if missed else (right, right + alarms)
    return top / bottom if bottom else None
