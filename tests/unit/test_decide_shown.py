"""A QuantizedModel's status stays small: of many checks and measurements it shows those that matter first."""

from __future__ import annotations

import json
from typing import Any

from lowbit.api.evaluation import NonInferiorityThreshold, ResolvedGate
from lowbit.api.status import Measurement, PairedCounts, VerdictRecord
from lowbit.gate import judge
from lowbit.gate.brief import SHOWN_CHECKS, brief
from tests.unit.life import NAME, status
from tests.unit.measurements import Estimate, row, summary_of
from tests.unit.world import World, spec

CLASSES = 200
BAD = 170


def of_class(number: int) -> Measurement:
    """400 questions; the candidate loses forty of one class, and is too close to call in another."""
    lost = {BAD: 80, BAD + 1: 20}.get(number, 0)
    pairs = PairedCounts(both=400 - lost, original_only=lost, candidate_only=0, neither=0)
    return Measurement(
        suite="cases", metric="RecallLoss", slice=f"class-{number:03}", slice_kind="Class", count=400, pairs=pairs
    )


ROWS = [of_class(number) for number in range(CLASSES)]


def verdict() -> VerdictRecord:
    gate = ResolvedGate.model_construct(
        suite="cases", confidence="0.95", maximum=[], minimum=[], original=[],
        non_inferiority=[NonInferiorityThreshold(metric="Recall", margin="0.05", per_class=True)],
    )  # fmt: skip
    return judge([gate], summary_of(*ROWS), 1, 1, "2026-01-01T00:00:00Z")


def test_of_many_checks_the_failed_and_inconclusive_ones_are_shown_first() -> None:
    whole = verdict()
    shown = brief(whole)
    assert [check.verdict for check in shown.checks[:3]] == ["Failed", "Inconclusive", "Passed"]
    assert shown.checks[0].slice == f"class-{BAD}"
    assert (len(shown.checks), shown.checks_left_out) == (SHOWN_CHECKS, CLASSES - SHOWN_CHECKS)
    assert (shown.verdict, shown.message) == (whole.verdict, whole.message)
    assert len(json.dumps(shown.wire())) < 20_000


def test_the_check_that_decided_is_shown() -> None:
    """The closest call of a Passed may be the last of all."""
    whole = verdict()
    passed = [check for check in whole.checks if check.verdict == "Passed"]
    close = passed[-1].model_copy(update={"upper": "0.049"})
    record = whole.model_copy(update={"verdict": "Passed", "checks": [*passed[:-1], close]})
    assert brief(record).checks[0] is close


def test_a_small_verdict_is_shown_as_it_is() -> None:
    record = verdict()
    small = record.model_copy(update={"checks": record.checks[:SHOWN_CHECKS]})
    assert brief(small) is small


def test_of_many_doubts_some_are_shown() -> None:
    record = verdict().model_copy(update={"implausible": [f"doubt {number}" for number in range(200)]})
    assert brief(record).implausible[-1] == "And 192 more: see the ModelRevision"


def cases() -> dict[str, Any]:
    """A model whose second suite judges 200 classes."""
    own = {
        "name": "cases",
        "classification": {
            "dataset": {"configMap": {"name": "cases"}}, "labels": [f"class-{n:03}" for n in range(100)],
        },
        "gate": {"nonInferiority": [{"metric": "Recall", "margin": "0.05", "perClass": True}]},
    }  # fmt: skip
    return spec(evaluation={"suites": [*spec()["evaluation"]["suites"], own]})


def last_judged(world: World) -> dict[str, Any]:
    """The revision of the last candidate."""
    revisions = [world.objects["ModelRevision", name] for name in world.names("ModelRevision")]
    return max(revisions, key=lambda revision: int(revision["spec"]["candidate"]))


def test_the_model_shows_a_short_verdict_and_the_revision_all_of_it(world: World) -> None:
    world.rows, world.datasets = ROWS, world.datasets | {"evaluation/cases"}
    world.apply_model(NAME, cases())
    world.settle(NAME)
    assert len(status(world)["verdict"]["checks"]) == SHOWN_CHECKS
    assert status(world)["verdict"]["checksLeftOut"] > 100
    revision = last_judged(world)
    assert len(revision["status"]["verdict"]["checks"]) > CLASSES
    assert "checksLeftOut" not in revision["status"]["verdict"]


def test_a_whole_verdict_of_an_older_lowbit_is_left_as_it_is(world: World) -> None:
    world.rows, world.datasets = ROWS, world.datasets | {"evaluation/cases"}
    world.apply_model(NAME, cases())
    world.settle(NAME)
    revision = last_judged(world)
    world.model(NAME)["status"]["verdict"] = revision["status"]["verdict"]
    before = json.dumps(world.model(NAME))
    assert not world.step(NAME)
    assert json.dumps(world.model(NAME)) == before


def test_measurements_that_a_gate_asks_for_are_never_left_out() -> None:
    rows = [row(f"Metric{number}", Estimate(0.5), "many") for number in range(100)]
    summary = summary_of(*rows)
    assert summary.brief().measurements == rows[:80]
    asked = {("many", f"Metric{number}") for number in (90, 99)}
    shown = summary.brief(asked).measurements
    assert shown == [*rows[:78], rows[90], rows[99]]
    every = {("many", row.metric) for row in rows}
    assert summary.brief(every).measurements == rows
