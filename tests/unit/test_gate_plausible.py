"""What no honest comparison gives is told, and nothing passes until a person has looked."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts, VerdictRecord
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


def test_an_original_below_its_floor_lets_nothing_pass() -> None:
    floor = GATE.model_dump(by_alias=True) | {"original": [{"metric": "Top1Agreement", "value": "0.9"}]}
    assert ResolvedGate.model_validate(floor).original[0].value == "0.9"


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
