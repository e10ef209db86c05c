"""From measurements to rows of the report: every kind of statistics, by class, with the original beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowbit.api.status import ClassCounts, Measurement, PairedCounts
from lowbit.naming.store_keys import compared_key, report_json_key, report_key
from lowbit.report.model import Confusion, Report
from lowbit.report.words import rates
from lowbit.worker.report.rows import class_rows, measured_rows
from lowbit.worker.suites import RUNNERS, Summary
from lowbit.worker.suites.base import ComparedSample
from tests.unit.evaluation_bench import Bench, make_bench
from tests.unit.measurements import Estimate, row

bench = pytest.fixture(make_bench)
YES = PairedCounts(both=780, original_only=21, candidate_only=109, neither=18)
NO = PairedCounts(both=20, original_only=4, candidate_only=48, neither=856)
FRAUD = ClassCounts(of_class=YES, others=NO)


def of_class(metric: str, **changes: Any) -> Measurement:
    told = {"suite": "fraud", "metric": metric, "slice": "fraud", "slice_kind": "Class", "count": 928}
    return Measurement.model_validate(told | changes)


def test_a_class_has_the_counts_of_both_models_once() -> None:
    (found,) = class_rows([of_class("PrecisionLoss", classes=FRAUD), of_class("F1Loss", classes=FRAUD)])
    assert (found.suite, found.name) == ("fraud", "fraud")
    assert found.original == Confusion(true_positive=801, false_negative=127, false_positive=24, true_negative=904)
    assert found.candidate == Confusion(true_positive=889, false_negative=39, false_positive=68, true_negative=860)
    candidate = rates(found.candidate)
    assert candidate["precision"] == pytest.approx(889 / 957)
    assert candidate["recall"] == pytest.approx(889 / 928)
    assert candidate["specificity"] == pytest.approx(860 / 928)
    assert candidate["F1"] == pytest.approx(2 * 889 / (2 * 889 + 68 + 39))


def test_a_class_that_nobody_named_has_no_rates() -> None:
    nothing = Confusion(true_positive=0, false_positive=0, false_negative=0, true_negative=0)
    assert set(rates(nothing).values()) == {None}


def test_a_share_has_its_value_and_the_originals() -> None:
    mine = of_class("Recall", successes=889)
    (found,) = measured_rows([mine], [of_class("Recall", successes=801)])
    assert found.value == pytest.approx(889 / 928)
    assert found.original == pytest.approx(801 / 928)
    assert (found.slice, found.slice_kind, found.unit, found.better) == ("fraud", "Class", "question", "Higher")


def test_a_paired_loss_has_a_value_and_no_interval_that_does_not_enclose_it() -> None:
    (found,) = measured_rows([of_class("RecallLoss", pairs=YES)], [])
    assert found.value == pytest.approx((21 - 109) / 928)
    if found.lower is not None and found.upper is not None and found.value is not None:
        assert found.lower <= found.value <= found.upper


def test_what_cannot_be_bounded_says_why_and_an_unknown_metric_is_left_out() -> None:
    few = row("KLDivergence", Estimate(0.1, count=20))
    (found,) = measured_rows([few, row("FromTheFuture", Estimate(1.0))], [])
    assert found.value == pytest.approx(0.1)
    assert found.lower is None
    assert "rests on 20 texts" in found.missing


async def test_every_sample_is_stored_and_the_flipped_ones_are_in_the_report(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = RUNNERS["fidelity"]
    before = runner.summarize  # type: ignore[attr-defined]

    def summarize(suite: str, samples: Any, original: Any) -> Summary:
        found: Summary = before(suite, samples, original)
        if original is not None:
            found.samples.clear()
            found.samples.append(ComparedSample("line-1", "<b>why</b>", "yes", "no\x1b[2J", flipped=True, score=1.0))
            found.samples.append(ComparedSample("line-2", "why", "yes", "yes"))
        return found

    monkeypatch.setattr(runner, "summarize", summarize)
    await bench.both()
    lines = [json.loads(line) for line in (bench.store.read(compared_key("eval-1")) or b"").splitlines()]
    assert [(line["suite"], line["id"], line["candidate"]) for line in lines] == [
        ("fidelity", "line-1", "no\x1b[2J"), ("fidelity", "line-2", "yes"),
    ]  # fmt: skip
    report = Report.model_validate_json(bench.store.read(report_json_key("eval-1")) or b"")
    assert [sample.id for sample in report.samples] == ["line-1", "line-2"]
    assert (report.sample_counts[0].all, report.sample_counts[0].flipped) == (2, 1)
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "&lt;b&gt;why&lt;/b&gt;" in page
    assert "\x1b" not in page
    assert bench.store.read(compared_key("baseline-1")) is None
