"""A suite of tasks has no row over all of them: whatever looks at whole suites looks at each of its tasks."""

from __future__ import annotations

from typing import Any

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts
from lowbit.gate.judge import judge
from lowbit.gate.sizes import sizes
from lowbit.observe.scraped import evaluation_values
from lowbit.worker.report.comparison import intervals
from tests.unit.measurements import summary_of
from tests.unit.world import spec

TIME = "2026-01-01T00:00:00Z"
GATE: dict[str, Any] = {
    "nonInferiority": [{"metric": "Accuracy", "margin": "0.05"}],
    "original": [{"metric": "Accuracy", "value": "0.6"}],
}


def loss(task: str, lost: int = 0, count: int = 500, right: int = 450) -> Measurement:
    pairs = PairedCounts(both=right - lost, original_only=lost, candidate_only=0, neither=count - right)
    return Measurement(
        suite="tasks", metric="AccuracyLoss", slice=task, slice_kind="Task", count=count, pairs=pairs, chance="0.25"
    )


def verdict(*rows: Measurement) -> Any:
    gate = ResolvedGate.model_validate({"suite": "tasks", "maximum": [], "minimum": [], "confidence": "0.95", **GATE})
    return judge([gate], EvaluationSummary(measurements=list(rows), speed=[]), 1, 1, TIME)


def model() -> QuantizedModelSpec:
    place = {"configMap": {"name": "tasks"}}
    tasks = [{"name": name, "dataset": place} for name in ("easy", "hard")]
    suite = {"name": "tasks", "harness": {"tasks": tasks, "samples": 1000}, "gate": GATE}
    return QuantizedModelSpec.model_validate(spec(evaluation={"suites": [suite]}))


def test_every_task_must_pass() -> None:
    assert verdict(loss("easy"), loss("hard")).verdict == "Passed"
    found = verdict(loss("easy"), loss("hard", lost=100))
    assert found.verdict == "Failed"
    assert [(check.slice, check.verdict) for check in found.checks] == [("easy", "Passed"), ("hard", "Failed")]
    assert "of task hard" in found.message


def test_the_original_must_reach_its_floor_in_every_task() -> None:
    found = verdict(loss("easy"), loss("hard", right=250))
    assert found.verdict == "Inconclusive"
    assert "of task hard in suite tasks is 250 of 500, not surely as much as its floor of 0.6" in found.message


def test_a_task_that_the_original_only_guesses_lets_nothing_pass() -> None:
    found = verdict(loss("easy"), loss("hard", right=125))
    assert found.verdict == "Inconclusive"
    assert any("not surely better than the chance of 0.25" in doubt for doubt in found.implausible)


def test_the_power_is_that_of_every_task_together() -> None:
    rows = sizes(model()).rows
    assert [row.slice for row in rows] == ["easy", "hard"]
    assert {row.asked for row in rows} == {1000}
    piloted = sizes(model(), [loss("easy", lost=5), loss("hard", lost=50)]).rows
    assert [row.slice for row in piloted] == ["easy", "hard"]
    assert "of the answers differ (pilot of 500)" in piloted[1].assumption
    assert (piloted[0].needed or 0) < (piloted[1].needed or 0)


def test_metrics_status_and_the_table_of_all_candidates_have_every_task() -> None:
    own = Measurement(suite="tasks", metric="Accuracy", slice="hard", slice_kind="Task", count=500, successes=450)
    part = own.model_copy(update={"slice": "odd", "slice_kind": "Category"})
    rows = [own, loss("hard", lost=25), part]
    assert list(evaluation_values(summary_of(*rows))) == [
        ("tasks/hard", "Accuracy", 0.9), ("tasks/hard", "AccuracyLoss", 0.05)
    ]  # fmt: skip
    assert [row.slice for row in summary_of(*rows).brief().measurements] == ["hard", "hard"]
    assert list(intervals(rows)) == ["tasks/hard: Accuracy", "tasks/hard: Loss of accuracy"]
