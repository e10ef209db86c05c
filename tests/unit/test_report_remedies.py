"""Grades and the next remedy: one place decides each, and docs/report.md has the same words."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.report.bands import BANDS, DIMENSIONS
from lowbit.report.model import CalibrationFacts, RecipeFacts, Report, Sizes, SpeedRow
from lowbit.report.remedies import NAMES
from tests.unit import report_inputs as inputs
from tests.unit.docs_pages import ROOT
from tests.unit.report_inputs import FAILED, check, record, row

PAGE = (ROOT / "docs" / "report.md").read_text()
MISSED = check("Failed", value="0.07", lower="0.06", upper="0.08")
FAR = check("Failed", value="0.4", lower="0.3", upper="0.5")
GOOD = [row("KLDivergence", 0.03)]


def recipe(**changes: Any) -> dict[str, Any]:
    told = {"label": "x", "bits": 4, "group_size": 128} | changes
    return {"subject": inputs.report().subject.model_copy(update={"recipe": RecipeFacts.model_validate(told)})}


def read(samples: int) -> CalibrationFacts:
    return CalibrationFacts(samples=samples, max_tokens=1, seed=1, sources=[])


UNKNOWN = check("Inconclusive", value="NaN", lower="NaN", upper="NaN")
OPEN = check("Inconclusive", message="too close to call; about 700 texts would decide")
DOUBT = "Suite fraud could read 40 of 100 answers, less than 98%: constrain the answers"
DOUBTED = record("Inconclusive", check(), OPEN, message=DOUBT).model_copy(update={"implausible": [DOUBT]})
CASES: list[tuple[str, Report]] = [
    ("nothing", inputs.report(record("Passed", check()), speed=[])),
    ("a faster kernel", inputs.report(record("Passed", check()))),
    ("more samples", inputs.report(record("Inconclusive", check(), OPEN))),
    ("mend the suite", inputs.report(record("Inconclusive", UNKNOWN))),
    ("look at the answers", inputs.report(DOUBTED)),
    ("more damping", inputs.report(record("Failed", FAR), measurements=[row("KLDivergence", 0.1, not_finite=3)])),
    ("quantize here", inputs.report(record("Failed", FAR), **recipe(made_here=False))),
    ("more calibration data of the task", inputs.report(record("Failed", FAILED), measurements=GOOD)),
    ("more calibration data of the task", inputs.report(record("Failed", FAR), calibration=read(20))),
    ("more calibration data of the task", inputs.report(record("Failed", FAR), experts=64, rounded_experts=3)),
    ("smaller groups", inputs.report(record("Failed", MISSED))),
    ("smaller groups", inputs.report(record("Failed", MISSED), **recipe(group_size=-1))),
    ("8 bits", inputs.report(record("Failed", MISSED), **recipe(group_size=32))),
    ("8 bits", inputs.report(record("Failed", FAR))),
    ("the original", inputs.report(record("Failed", FAR), **recipe(bits=8))),
]


@pytest.mark.parametrize(("name", "report"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_the_remedy_follows_from_verdict_and_numbers(name: str, report: Report) -> None:
    assert report.remedy is not None
    assert report.remedy.name == name
    assert report.remedy.why


def test_no_more_samples_are_asked_for_where_the_results_cannot_be_believed() -> None:
    remedy = inputs.report(DOUBTED).remedy
    assert remedy is not None and remedy.why == DOUBT


def test_every_remedy_and_every_band_is_in_the_documentation_and_reached_here() -> None:
    assert {name for name, _ in CASES} == {each.name for each in NAMES}
    assert [each.name for each in NAMES if f"**{each.name}**" not in PAGE] == []
    lines = [f"| {b.dimension} | {b.title} | {b.excellent:g} | {b.good:g} |" for b in BANDS]
    assert [line for line in lines if line not in PAGE] == []


def grade(dimension: str, **changes: Any) -> str:
    found = {each.dimension: each.grade for each in inputs.report(**changes).grades}
    assert set(found) == set(DIMENSIONS)
    return found[dimension]  # type: ignore[index]


def test_a_number_is_graded_by_the_bound_on_its_bad_side() -> None:
    assert grade("Fidelity", measurements=[row("KLDivergence", 0.019, upper=0.02)]) == "Excellent"
    assert grade("Fidelity", measurements=[row("KLDivergence", 0.019, upper=0.03)]) == "Good"
    assert grade("Fidelity", measurements=[row("Top1Agreement", 0.96, lower=0.87, better="Higher")]) == "NeedsWork"
    assert grade("Fidelity", measurements=[row("KLDivergence", 0.019, lower=None, upper=None)]) == "Excellent"


def test_a_dimension_has_the_grade_of_its_worst_number_and_class() -> None:
    good = row("RecallLoss", 0.0, suite="fraud", slice="no", slice_kind="Class", upper=0.005)
    bad = row("RecallLoss", 0.04, suite="fraud", slice="fraud", slice_kind="Class", upper=0.05)
    assert grade("Tasks", measurements=[good]) == "Excellent"
    assert grade("Tasks", measurements=[good, bad]) == "NeedsWork"
    reason = next(g.reason for g in inputs.report(measurements=[good, bad]).grades if g.dimension == "Tasks")
    assert "fraud, fraud" in reason and "0.05" in reason


def test_what_was_not_measured_has_no_grade() -> None:
    bare = {"measurements": [], "speed": [], "sizes": Sizes(source_bytes=1), "decode_difference": None}
    for dimension in DIMENSIONS:
        assert grade(dimension, **bare) == "NotMeasured"


@pytest.mark.parametrize(("fast", "name"), [(200.0, "Excellent"), (150.0, "Good"), (149.0, "NeedsWork")])
def test_speed_is_graded_where_most_requests_run(fast: float, name: str) -> None:
    def speed(at: int, both: tuple[float, float]) -> SpeedRow:
        return SpeedRow(concurrency=at, tokens_per_second=both[0], original_tokens_per_second=both[1],
                        first_token_seconds=0.1)  # fmt: skip

    assert grade("Speed", speed=[speed(1, (900, 100)), speed(32, (fast, 100))]) == name


def test_numbers_that_are_not_finite_make_health_need_work() -> None:
    assert grade("Health", measurements=[row("KLDivergence", 0.01, not_finite=1)]) == "NeedsWork"
    assert grade("Fidelity", measurements=[row("KLDivergence", 0.01, not_finite=1)]) == "NeedsWork"
