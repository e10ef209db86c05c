"""Boundaries of several looks, against published values; and that together they err as rarely as one look."""

from __future__ import annotations

from math import sqrt
from random import Random

import pytest

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts
from lowbit.gate import judge
from lowbit.gate.judge import divide
from lowbit.gate.looks import at_look, confidence_at, parts
from lowbit.gate.spending import boundaries, spending


@pytest.mark.parametrize(
    ("error", "published"), [(0.05, (3.2001, 2.1409, 1.695)), (0.025, (3.7103, 2.5114, 1.9930))], ids=["5 %", "2.5 %"]
)
def test_three_looks_have_the_published_boundaries(error: float, published: tuple[float, ...]) -> None:
    assert boundaries(3, error) == pytest.approx(published, abs=0.0003)


def test_one_look_keeps_its_confidence_to_the_last_digit() -> None:
    for confidence in (0.8, 0.95, divide(0.95, 3)):
        assert confidence_at(confidence, 1, 1) == confidence


def test_the_first_looks_need_more_than_the_last_which_needs_a_little_more_than_one_look_would() -> None:
    first, second, last = (confidence_at(0.95, look, 3) for look in (1, 2, 3))
    assert first > 0.999 > second > last > 0.95
    assert last == pytest.approx(0.9549, abs=0.0001)


def test_candidates_divide_the_error_before_the_looks_do() -> None:
    assert confidence_at(divide(0.95, 3), 3, 3) > divide(0.95, 3)
    assert boundaries(3, 1 - divide(0.95, 2)) == pytest.approx(boundaries(3, 0.025))


@pytest.mark.parametrize(("look", "looks"), [(0, 1), (2, 1), (1, 0), (1, 6), (-1, 3)])
def test_a_look_that_cannot_have_been_planned_is_refused(look: int, looks: int) -> None:
    with pytest.raises(ValueError, match="cannot have been planned"):
        confidence_at(0.95, look, looks)


@pytest.mark.parametrize("error", [0.0, 0.6, 1.0])
def test_an_error_that_no_gate_may_have_is_left_to_the_judge(error: float) -> None:
    row = Measurement(suite="s", metric="Accuracy", count=9, look=2, looks=3)
    assert at_look(error, row) == error


def test_the_whole_error_is_spent_at_the_end() -> None:
    assert spending(1.0, 0.05) == pytest.approx(0.05)


def test_all_looks_together_pass_what_lies_on_the_margin_as_rarely_as_one_does() -> None:
    """Sums of independent steps, 40,000 gates: 5 % to within three standard errors."""
    random, limits, passed = Random(3), boundaries(3, 0.05), 0
    for _ in range(40_000):
        score = 0.0
        for look, limit in enumerate(limits, start=1):
            score += random.gauss(0, 1)
            if score / sqrt(look) >= limit:
                passed += 1
                break
    assert passed / 40_000 == pytest.approx(0.05, abs=0.0033)


def test_parts_are_equal_and_the_last_look_has_every_sample() -> None:
    assert parts(256, 3) == [85, 170, 256]
    assert parts(300, 1) == [300]


def test_the_verdict_says_the_confidence_of_the_bounds_at_their_look() -> None:
    gate = ResolvedGate.model_validate(
        {"suite": "s", "maximum": [], "minimum": [], "confidence": "0.95",
         "nonInferiority": [{"metric": "Accuracy", "margin": "0.05"}]}
    )  # fmt: skip
    pairs = PairedCounts(both=900, original_only=0, candidate_only=0, neither=100)

    def confidence(look: int, looks: int) -> float:
        row = Measurement(suite="s", metric="AccuracyLoss", count=1000, pairs=pairs, look=look, looks=looks)
        summary = EvaluationSummary(measurements=[row], speed=[])
        return float(judge([gate], summary, 1, 1, "2026-01-01T00:00:00Z").confidence)

    assert confidence(1, 1) == 0.95
    assert confidence(2, 3) == pytest.approx(confidence_at(0.95, 2, 3), abs=1e-6)
    assert confidence(3, 3) == pytest.approx(confidence_at(0.95, 3, 3), abs=1e-6)
