"""How many samples a gate needs and what it can show with those that it has, as published and as simulated."""

from __future__ import annotations

import json
from io import StringIO
from math import exp, inf, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import yaml

from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.status import MeanStatistics, Measurement, PairedCounts
from lowbit.api.suites import SUITES
from lowbit.api.suites.task_metrics import TASK_METRICS
from lowbit.cli.main import main
from lowbit.gate import power, skewed
from lowbit.gate.counts import needed
from lowbit.gate.judge import divide
from lowbit.gate.sizes import sizes
from lowbit.gate.skewed import Bar, Shape
from tests.unit.world import spec

NEEDED = {
    (0.01, 0.02): (1397, 1785, 2012), (0.02, 0.04): (695, 888, 1001), (0.02, 0.06): (982, 1250, 1407),
    (0.03, 0.06): (461, 589, 664),
}  # fmt: skip
"""Pairs for a power of 0.8 by margin and discordance, with one, two and three candidates."""
POWERS = {
    (0.01, 0.02): (None, None, 27.3, 43.7, 68.8, 92.0), (0.02, 0.04): (None, 36.5, 48.8, 68.8, 92.1, 99.7),
    (0.02, 0.06): (None, 28.2, 38.1, 55.6, 81.1, 97.5), (0.03, 0.06): (27.2, 48.8, 64.9, 84.4, 98.3, 100),
    (0.03, 0.10): (21.3, 36.8, 48.3, 66.8, 90.8, 99.5),
}  # fmt: skip
"""Of Tango's bound in percent, with 100, 200, 300, 500, 1000 and 2000 pairs; None below the least number of pairs."""
LOG_NORMAL = {0.5: (100, 99.7), 1.0: (97.7, 61), 1.5: (73, 33)}
"""Of the guarded bound with 256 texts in percent, where the true value is 0.6 and 0.8 of the threshold, by sigma."""


@pytest.mark.parametrize(("case", "needed"), NEEDED.items())
def test_pairs_that_a_margin_needs_are_those_of_the_table(case: tuple[float, float], needed: tuple[int, ...]) -> None:
    found = [power.paired_needed(*case, divide(0.95, candidates), 0.8) for candidates in (1, 2, 3)]
    assert found == list(needed)
    for candidates, count in enumerate(needed, start=1):
        there = power.paired_power(count, *case, divide(0.95, candidates))
        assert 0.78 <= there <= 0.84, "the sum over all outcomes agrees with the formula"


@pytest.mark.parametrize(("case", "powers"), POWERS.items())
def test_the_power_of_pairs_is_that_of_the_table(case: tuple[float, float], powers: tuple[float | None, ...]) -> None:
    for count, expected in zip((100, 200, 300, 500, 1000, 2000), powers, strict=True):
        found = 100 * power.score_power(count, *case, 0.95, 0.0, NormalDist().inv_cdf(0.05))
        assert found == pytest.approx(expected or 0.0, abs=0.1)


@pytest.mark.parametrize(
    ("count", "margin", "candidates", "limit"),
    [(300, 0.02, 1, -1.65260), (500, 0.02, 1, -1.65064), (300, 0.03, 1, -1.69377), (500, 0.02, 3, -2.12820)],
)
def test_up_to_a_thousand_pairs_the_exact_test_sets_the_limit(
    count: int, margin: float, candidates: int, limit: float
) -> None:
    confidence = divide(0.95, candidates)
    assert power.exact_limit(count, margin, confidence) == pytest.approx(limit, abs=0.004)
    exact = power.paired_power(count, margin, 0.06, confidence)
    tango = power.score_power(count, margin, 0.06, confidence, 0.0, NormalDist().inv_cdf(1 - confidence))
    assert tango - 0.03 <= exact <= tango


def test_a_loss_at_the_margin_passes_as_rarely_as_the_confidence_says() -> None:
    assert power.paired_power(500, 0.02, 0.06, 0.95, loss=0.02) == pytest.approx(0.0496, abs=0.0004)
    assert power.paired_needed(0.02, 0.06, 0.95, 0.8, loss=0.02) is None


@pytest.mark.parametrize(
    ("margin", "candidates", "least"),
    [(0.01, 1, 299), (0.02, 1, 149), (0.03, 1, 99), (0.05, 1, 59), (0.01, 3, 408), (0.02, 3, 203), (0.05, 3, 80)],
)
def test_fewer_pairs_than_would_show_the_margin_have_no_power(margin: float, candidates: int, least: int) -> None:
    confidence = divide(0.95, candidates)
    assert power.paired_least(margin, confidence) == least
    assert power.paired_power(least - 1, margin, 0.001, confidence) == 0.0


@pytest.mark.parametrize(("sigma", "expected"), LOG_NORMAL.items())
def test_the_power_of_skewed_texts_is_that_of_the_simulation(sigma: float, expected: tuple[float, float]) -> None:
    spread = exp(sigma * sigma)
    shape = Shape(sqrt(spread - 1), (spread + 2) * sqrt(spread - 1))
    for share, percent in zip((0.6, 0.8), expected, strict=True):
        assert 100 * skewed.power(shape, 256, Bar(share, 0.95, inf)) == pytest.approx(percent, abs=2.0)


def test_texts_that_are_needed_are_never_fewer_than_show_rare_damage_and_grow_as_the_value_nears_the_threshold() -> (
    None
):
    alike = Shape(0.15, 0.13)
    assert skewed.needed(alike, Bar(0.3, 0.95, inf), 0.8, least=149) == 149
    mixed = Shape(1.31, 6.18)
    near, nearer = (skewed.needed(mixed, Bar(share, 0.95, inf), 0.8, least=149) for share in (0.7, 0.8))
    assert near is not None
    assert nearer is not None
    assert 149 < near < nearer
    assert skewed.needed(mixed, Bar(1.0, 0.95, inf), 0.8, least=149) is None


def model(samples: int = 512, gate: dict[str, Any] | None = None) -> QuantizedModelSpec:
    changed: dict[str, Any] = spec(candidates=[{"gptq": {"bits": 4}}])
    (suite,) = changed["evaluation"]["suites"]
    suite["fidelity"]["samples"] = samples
    suite["gate"] = gate or {"maximum": [{"metric": "KLDivergence", "value": "0.05"}]}
    return QuantizedModelSpec.model_validate(changed)


def test_every_threshold_is_planned_for_its_share_of_the_joint_power() -> None:
    gate = {
        "maximum": [{"metric": "KLDivergence", "value": "0.05"}, {"metric": "PerplexityRatio", "value": "1.04"}],
        "minimum": [{"metric": "Top1Agreement", "value": "0.90"}],
    }
    found = sizes(model(gate=gate))
    assert [row.metric for row in found.rows] == ["KLDivergence", "PerplexityRatio", "Top1Agreement"]
    powers = [row.power for row in found.rows]
    assert None not in powers
    assert found.joint == pytest.approx(powers[0] * powers[1] * powers[2])  # type: ignore[operator]
    assert power.each(0.8, 3) == pytest.approx(0.928, abs=0.001)
    for row in found.rows:
        assert row.needed is not None
        assert row.jointly is not None
        assert row.needed <= row.jointly
    assert found.samples() == {"fidelity": max(row.jointly or 0 for row in found.rows)}


def test_a_pilot_replaces_what_is_assumed() -> None:
    row = Measurement(
        suite="fidelity", metric="KLDivergence", count=400,
        mean=MeanStatistics(value="0.045", standard_error="0.0009", skewness="0.6"),
    )  # fmt: skip
    (found,) = sizes(model(), [row]).rows
    assert "pilot of 400" in found.assumption
    assert "variation 0.4" in found.assumption
    beyond = row.model_copy(update={"mean": MeanStatistics(value="0.06", standard_error="0.001", skewness="0.6")})
    (hopeless,) = sizes(model(), [beyond]).rows
    assert hopeless.needed is None
    assert hopeless.power == pytest.approx(0.0, abs=0.01)


@pytest.fixture
def judged_by_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite measures tasks too, as later suites do."""
    kind = SUITES["fidelity"]
    monkeypatch.setattr(type(kind), "metrics", (*kind.metrics, *TASK_METRICS))


@pytest.mark.usefixtures("judged_by_accuracy")
def test_paired_outcomes_are_planned_without_a_loss_and_with_the_pilots_discordance() -> None:
    gate = {"nonInferiority": [{"metric": "Accuracy", "margin": "0.02"}]}
    (usual,) = sizes(model(1000, gate)).rows
    assert (usual.metric, usual.needed, usual.least) == ("AccuracyLoss", 695, 149)
    assert usual.assumption == "true loss 0, 4% of the answers differ (assumed)"
    assert usual.power == pytest.approx(0.92, abs=0.01)
    counts = PairedCounts(both=800, original_only=30, candidate_only=28, neither=142)
    pilot = Measurement(suite="fidelity", metric="AccuracyLoss", count=1000, pairs=counts)
    (piloted,) = sizes(model(1000, gate), [pilot]).rows
    assert piloted.needed == pytest.approx(980, abs=5)
    assert "6.0% of the answers differ (pilot of 1000)" in piloted.assumption


@pytest.mark.usefixtures("judged_by_accuracy")
def test_each_class_needs_samples_of_its_own_and_a_pilot_tells_how_many_the_data_has() -> None:
    gate = {"nonInferiority": [{"metric": "Recall", "margin": "0.05", "perClass": True}]}
    (unknown,) = sizes(model(1000, gate)).rows
    assert (unknown.slice, unknown.needed, unknown.asked, unknown.power) == ("each class", 274, None, None)
    rows = [
        Measurement(
            suite="fidelity", metric="RecallLoss", slice=name, slice_kind="Class", count=count,
            pairs=PairedCounts(both=count - 4, original_only=2, candidate_only=2, neither=0),
        )
        for name, count in (("fraud", 20), ("fine", 980))
    ]  # fmt: skip
    small, large = sizes(model(1000, gate), rows).rows
    assert (small.slice, large.slice) == ("fraud", "fine")
    assert small.power == 0.0, "twenty examples decide nothing"
    assert small.cannot_pass
    assert (large.power or 0) > 0.99
    assert small.needed is not None
    assert small.needed > 10_000, "samples of which one in fifty is of the class"


@pytest.mark.usefixtures("judged_by_accuracy")
def test_prompts_that_are_answered_several_times_are_planned_to_be_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SUITES["fidelity"]
    monkeypatch.setattr(type(kind), "repeats", lambda *_: 5)
    gate = {"nonInferiority": [{"metric": "Accuracy", "margin": "0.1"}]}
    body = model(90, gate)
    (found,) = sizes(body).rows
    assert found.least == needed(body.evaluation.suites[0], 1) == 100
    assert found.cannot_pass
    assert found.power == 0.0
    assert found.needed == 107


def lowbit(tmp_path: Path, body: dict[str, Any], *more: str) -> tuple[int, str]:
    out, file = StringIO(), tmp_path / "model.yaml"
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": "chat"}}
    file.write_text(yaml.safe_dump(manifest | {"spec": body}))
    return main(["power", str(file), *more], out), out.getvalue()


def test_the_command_shows_every_threshold_and_ends_well(tmp_path: Path) -> None:
    code, text = lowbit(tmp_path, spec())
    assert code == 0
    for word in ("Power of suite fidelity", "KLDivergence <= ", "0.975", "assumed", "Needed for 80%"):
        assert word in text


def test_the_command_refuses_what_can_pass_nothing_as_plan_does(tmp_path: Path) -> None:
    body = spec()
    body["evaluation"]["suites"][0]["fidelity"]["samples"] = 100
    code, text = lowbit(tmp_path, body)
    assert code == 1
    assert "100 (at least 183)" in text
    assert "can pass nothing" in text


def test_the_command_takes_a_result_of_the_store_as_its_pilot_and_says_what_is_wrong_with_another_file(
    tmp_path: Path,
) -> None:
    row = {"suite": "fidelity", "metric": "KLDivergence", "count": 300,
           "mean": {"value": "0.05", "standardError": "0.001", "skewness": "0.7"}}  # fmt: skip
    pilot = tmp_path / "result.json"
    pilot.write_text(json.dumps({"summary": {"measurements": [row], "speed": []}}))
    code, text = lowbit(tmp_path, spec(), "--pilot", str(pilot))
    assert code == 0
    assert "pilot of 300" in " ".join(text.split())
    pilot.write_text("{}")
    code, text = lowbit(tmp_path, spec(), "--pilot", str(pilot))
    assert code == 2
    assert "holds no measurements" in text
    pilot.write_text("{")
    assert lowbit(tmp_path, spec(), "--pilot", str(pilot))[0] == 2
