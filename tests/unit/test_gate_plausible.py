"""What no honest comparison gives is told, and nothing passes until a person has looked."""

from __future__ import annotations

from math import log
from typing import Any

import pytest

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import EvaluationSummary, MeanStatistics, Measurement, PairedCounts, VerdictRecord
from lowbit.gate import judge

TIME = "2026-01-01T00:00:00Z"
GATE = ResolvedGate.model_validate(
    {"suite": "fraud", "maximum": [], "minimum": [], "confidence": "0.95",
     "nonInferiority": [{"metric": "Accuracy", "margin": "0.05"}]}
)  # fmt: skip


def losses(both: int, lost: int, gained: int, neither: int, **more: Any) -> Measurement:
    pairs = PairedCounts(both=both, original_only=lost, candidate_only=gained, neither=neither)
    return Measurement(suite="fraud", metric="AccuracyLoss", count=both + lost + gained + neither, pairs=pairs, **more)


def parsed(read: int, count: int) -> Measurement:
    return Measurement(suite="fraud", metric="ParsedShare", count=count, successes=read)


def answers(metric: str, unsound: int, before: int | None, count: int = 21) -> Measurement:
    original = None if before is None else f"{before / count:.6g}"
    mean = MeanStatistics(value=f"{unsound / count:.6g}", standard_error="0.1", skewness="0")
    return Measurement(suite="Health", metric=metric, count=count, mean=mean, original=original)


def lengths(ratio: float, error: str = "0.1") -> Measurement:
    mean = MeanStatistics(value=f"{log(ratio):.6g}", standard_error=error, skewness="0")
    return Measurement(suite="Health", metric="LengthRatio", count=21, mean=mean)


def verdict(*rows: Measurement, gate: ResolvedGate = GATE) -> VerdictRecord:
    return judge([gate], EvaluationSummary(measurements=list(rows), speed=[]), 1, 1, TIME)


def test_two_equal_models_that_know_the_task_pass() -> None:
    found = verdict(losses(450, 0, 0, 50, chance="0.5"), parsed(500, 500))
    assert (found.verdict, found.implausible) == ("Passed", [])


def test_an_original_that_guesses_lets_nothing_pass() -> None:
    found = verdict(losses(255, 0, 0, 245, chance="0.5"))
    assert found.verdict == "Inconclusive"
    assert "255 of 500, not surely better than the chance of 0.5" in found.message


@pytest.mark.parametrize(("read", "passes"), [(500, True), (490, True), (489, False)])
def test_less_than_98_of_100_answers_that_can_be_read_let_nothing_pass(read: int, passes: bool) -> None:
    found = verdict(losses(450, 0, 0, 50), parsed(read, 500))
    assert (found.verdict == "Passed") is passes
    assert passes or f"could read {read} of 500 answers" in found.message


def test_a_candidate_that_is_far_better_than_its_original_lets_nothing_pass() -> None:
    found = verdict(losses(400, 0, 60, 40))
    assert found.verdict == "Inconclusive"
    assert "No quantized model is so much better" in found.message


def test_a_gain_that_noise_allows_passes() -> None:
    """The int4 of a public fraud table gained 2.4 points of accuracy against its original, of 2,349."""
    assert verdict(losses(2100, 56, 113, 80)).verdict == "Passed"


def test_what_has_failed_stays_failed_and_the_doubt_is_told() -> None:
    found = verdict(losses(100, 200, 0, 200, chance="0.7"))
    assert found.verdict == "Failed"
    assert len(found.implausible) == 1


def test_a_divergence_that_nobody_can_reach_is_told() -> None:
    gate = ResolvedGate.model_validate(
        {"suite": "texts", "maximum": [{"metric": "PerplexityRatio", "value": "1.1"}], "minimum": [],
         "confidence": "0.95"}
    )  # fmt: skip
    mean = {"value": "-0.5", "standardError": "0.01", "skewness": "0"}
    row = Measurement.model_validate({"suite": "texts", "metric": "PerplexityRatio", "count": 256, "mean": mean})
    assert "surely below 0.8" in verdict(row, gate=gate).message


@pytest.mark.parametrize("metric", ["LoopShare", "TruncatedShare", "RunOnShare", "EmptyShare"])
def test_answers_that_are_implausibly_unsound_let_nothing_pass(metric: str) -> None:
    found = verdict(losses(450, 0, 0, 50), answers(metric, 9, 1))
    assert found.verdict == "Inconclusive"
    assert "43% of the candidate's 21 answers to the evaluation's own prompts, 5% of the original's" in found.message
    assert "chat template" in found.message


@pytest.mark.parametrize(
    "row",
    [
        answers("TruncatedShare", 9, 9),
        answers("TruncatedShare", 3, 9),
        answers("TruncatedShare", 10, 7),
        answers("LoopShare", 3, 0),
        answers("LoopShare", 100, 60, 800),
        answers("LoopShare", 20, None),
        answers("KLDivergence", 20, 0),
        lengths(1.4), lengths(0.7), lengths(2.0, "0.9"), lengths(2.0, "NaN"),
    ],
)  # fmt: skip
def test_what_chance_explains_or_an_older_lowbit_measured_holds_nothing(row: Measurement) -> None:
    assert verdict(losses(450, 0, 0, 50), row).verdict == "Passed"


def test_a_share_that_is_surely_worse_by_more_than_ten_points_is_held_only_in_health() -> None:
    bad = answers("LoopShare", 20, 0)
    assert verdict(losses(450, 0, 0, 50), bad.model_copy(update={"suite": "fraud"})).verdict == "Passed"
    assert verdict(losses(450, 0, 0, 50), bad).verdict == "Inconclusive"


@pytest.mark.parametrize("ratio", [1.6, 0.5])
def test_answers_of_another_length_let_nothing_pass(ratio: float) -> None:
    found = verdict(losses(450, 0, 0, 50), lengths(ratio))
    assert found.verdict == "Inconclusive"
    assert f"{ratio:.2f} times as long" in found.message


def test_a_failed_gate_stays_failed_beside_unsound_answers() -> None:
    assert verdict(losses(300, 150, 0, 50), answers("LoopShare", 20, 0)).verdict == "Failed"


def of_health(metric: str, value: str, original: str | None = None, error: str = "0.1", count: int = 21) -> Measurement:
    mean = MeanStatistics(value=value, standard_error=error, skewness="0")
    return Measurement(suite="Health", metric=metric, count=count, mean=mean, original=original)


@pytest.mark.parametrize(
    "row",
    [
        of_health("LoopShare", "NaN", "0.1"), of_health("LoopShare", "0.5", "NaN"), of_health("LoopShare", "?", "0.1"),
        of_health("LoopShare", "0.5", "?"), of_health("LoopShare", "1.5", "0.5"), of_health("LoopShare", "0.5", "-1"),
        of_health("LoopShare", "0.5", "0.1", count=-3), of_health("LengthRatio", "NaN"), of_health("LengthRatio", "?"),
        of_health("LengthRatio", "1e6"), losses(450, 0, 0, 50, chance="?"), losses(450, 0, 0, 50, chance="NaN"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_lets_nothing_pass(row: Measurement) -> None:
    found = verdict(losses(450, 0, 0, 50), row)
    assert found.verdict == "Inconclusive"
    assert len(found.implausible) == 1


def test_a_share_of_many_answers_is_compared_too() -> None:
    found = verdict(losses(450, 0, 0, 50), answers("LoopShare", 400, 100, 800))
    assert "50% of the candidate's 800 answers" in found.message


@pytest.mark.parametrize(("floor", "passes"), [("0.85", True), ("0.9", False)])
def test_an_original_that_is_not_surely_above_its_floor_lets_nothing_pass(floor: str, passes: bool) -> None:
    told = GATE.model_dump(by_alias=True) | {"original": [{"metric": "Accuracy", "value": floor}]}
    found = verdict(losses(450, 0, 0, 50), gate=ResolvedGate.model_validate(told))
    assert found.verdict == ("Passed" if passes else "Inconclusive")
    assert passes or "450 of 500, not surely as much as its floor of 0.9" in found.message
