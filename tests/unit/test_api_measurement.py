"""The value of a measurement, whatever statistics it has."""

from __future__ import annotations

import pytest

from lowbit.api.status import ClassCounts, Measurement, PairedCounts
from lowbit.api.suites import metrics
from lowbit.api.suites.task_metrics import F1_LOSS, PRECISION_LOSS
from lowbit.gate.ratios import F1, PRECISION, Ratio, estimate, kinds_of
from lowbit.worker.report.rows import value_of

CELLS = ((40, 5, 3, 12, 4, 2, 6, 28), (7, 0, 0, 3, 1, 0, 0, 9), (90, 1, 30, 9, 2, 15, 0, 150))


def of_class(metric: str, classes: ClassCounts) -> Measurement:
    cells = [*classes.of_class.model_dump().values(), *classes.others.model_dump().values()]
    return Measurement(suite="s", metric=metric, slice="a", slice_kind="Class", count=sum(cells), classes=classes)


@pytest.mark.parametrize(("metric", "ratio"), [(PRECISION_LOSS.name, PRECISION), (F1_LOSS.name, F1)])
@pytest.mark.parametrize("cells", CELLS)
def test_a_class_shows_the_loss_that_the_gate_judges(metric: str, ratio: Ratio, cells: tuple[int, ...]) -> None:
    yes, no = (dict(zip(PairedCounts.model_fields, half, strict=True)) for half in (cells[:4], cells[4:]))
    classes = ClassCounts(of_class=PairedCounts(**yes), others=PairedCounts(**no))
    row = of_class(metric, classes)
    assert row.estimate == pytest.approx(estimate(ratio, kinds_of(classes)).value)
    assert value_of(metrics()[metric], row) == row.estimate


def test_a_precision_of_nothing_has_no_value() -> None:
    never = PairedCounts(both=0, original_only=3, candidate_only=0, neither=5)
    none = PairedCounts(both=0, original_only=0, candidate_only=0, neither=9)
    classes = ClassCounts(of_class=never, others=none)
    assert of_class(PRECISION_LOSS.name, classes).estimate is None
    assert of_class(F1_LOSS.name, classes).estimate == pytest.approx(6 / 11)
    assert of_class("Recall", classes).estimate is None
