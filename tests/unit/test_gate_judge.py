"""The gate: from estimates to Passed, Failed and Inconclusive."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, ResolvedGate
from lowbit.api.status import EvaluationSummary, VerdictRecord
from lowbit.gate import judge
from lowbit.gate.deciding import deciding_check
from tests.unit.measurements import Estimate, row, summary_of

TIME = "2026-11-21T12:00:00Z"
ORDER = {"Failed": 0, "Inconclusive": 1, "Passed": 2}


def estimate(value: float | str, error: float | str = 0.005, count: int = 256) -> Estimate:
    return Estimate(value, error, count)


NAMES = {
    "kl_divergence": "KLDivergence",
    "log_perplexity_ratio": "PerplexityRatio",
    "top1_agreement": "Top1Agreement",
    "perplexity": "Perplexity",
}


def summary(suite: str = "fidelity", **estimates: Estimate) -> EvaluationSummary:
    found = {"perplexity": estimate(3.06)} | estimates
    return summary_of(*(row(NAMES[name], each, suite) for name, each in found.items()))


def gate(
    maximum: dict[Any, str] | None = None, minimum: dict[Any, str] | None = None, confidence: str = "0.95"
) -> ResolvedGate:
    return ResolvedGate(
        suite="fidelity",
        maximum=[MaximumThreshold(metric=metric, value=value) for metric, value in (maximum or {}).items()],
        minimum=[MinimumThreshold(metric=metric, value=value) for metric, value in (minimum or {}).items()],
        confidence=confidence,
    )


def verdict(measured: EvaluationSummary, *gates: ResolvedGate, candidates: int = 1) -> VerdictRecord:
    return judge(gates, measured, candidates, 1, TIME)


def test_the_message_of_a_pass_names_the_metric_its_bound_and_the_threshold() -> None:
    found = verdict(summary(kl_divergence=estimate(0.112, 0.0057)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Passed"
    assert found.message == "KLDivergence 0.112 (95 % upper bound 0.13) is at most 0.15"
    assert found.basis == "Thresholds"
    assert (found.attempts, found.time, found.confidence) == (1, TIME, "0.95")


def test_the_message_of_a_failure_names_the_lower_bound() -> None:
    found = verdict(summary(kl_divergence=estimate(0.586, 0.01)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Failed"
    assert found.message == "KLDivergence 0.586 (95 % lower bound 0.569) is above 0.15"


def test_an_inconclusive_result_says_how_many_fresh_texts_would_decide() -> None:
    found = verdict(summary(kl_divergence=estimate(0.14, 0.02)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Inconclusive"
    assert "too close to 0.15 to call" in found.message
    # (1.645 + 0.842)^2 * (0.02 * 16 / 0.01)^2 = 6332
    assert found.message.endswith("about 6400 fresh texts would decide, none of them measured before")


def test_the_needed_texts_do_decide_when_the_value_stays() -> None:
    found = verdict(summary(kl_divergence=estimate(0.14, 0.32 / math.sqrt(6400), 6400)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Passed"


def test_a_value_on_the_threshold_asks_for_no_number_of_texts() -> None:
    found = verdict(summary(kl_divergence=estimate(0.15, 0.02)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Inconclusive"
    assert "no number of texts" in found.message


def test_a_perplexity_ratio_is_judged_on_the_scale_of_its_logarithm() -> None:
    found = verdict(
        summary(log_perplexity_ratio=estimate(math.log(1.1), 0.005)), gate({"PerplexityRatio": "1.12"})
    )  # fmt: skip
    assert found.verdict == "Passed"
    check = found.checks[0]
    assert float(check.value) == pytest.approx(1.1, rel=1e-5)
    assert float(check.upper) == pytest.approx(1.1 * math.exp(1.6508 * 0.005), rel=1e-4)
    assert float(check.lower) == pytest.approx(1.1 / math.exp(1.6508 * 0.005), rel=1e-4)


def test_bounds_of_a_share_stay_between_nothing_and_all() -> None:
    found = verdict(summary(top1_agreement=estimate(0.99, 0.1)), gate(minimum={"Top1Agreement": "0.5"}))
    assert found.checks[0].upper == "1"
    found = verdict(summary(top1_agreement=estimate(0.01, 0.1)), gate(minimum={"Top1Agreement": "0.5"}))
    assert found.checks[0].lower == "0"


def test_every_threshold_must_pass() -> None:
    both = gate({"KLDivergence": "0.15"}, {"Top1Agreement": "0.8"})
    measured = summary(kl_divergence=estimate(0.05, 0.001), top1_agreement=estimate(0.7, 0.01))
    found = verdict(measured, both)
    assert found.verdict == "Failed"
    assert found.message.startswith("Top1Agreement 0.7 (95 % upper bound 0.717) is below 0.8")
    assert [check.verdict for check in found.checks] == ["Passed", "Failed"]


def test_a_failure_outweighs_what_could_not_be_decided() -> None:
    both = gate({"KLDivergence": "0.15", "PerplexityRatio": "1.1"})
    measured = summary(kl_divergence=estimate(0.15, 0.01), log_perplexity_ratio=estimate(1.0, 0.01))
    assert verdict(measured, both).verdict == "Failed"


def test_confidence_is_divided_over_the_declared_candidates() -> None:
    measured = summary(kl_divergence=estimate(0.13, 0.0057))
    assert verdict(measured, gate({"KLDivergence": "0.15"})).verdict == "Passed"
    divided = verdict(measured, gate({"KLDivergence": "0.15"}), candidates=4)
    assert divided.verdict == "Inconclusive"
    assert divided.confidence == "0.9875"
    assert "98.75 %" in divided.message


def test_with_several_suites_the_message_names_the_one_that_decided() -> None:
    first = summary(kl_divergence=estimate(0.05, 0.001))
    second = summary("code", kl_divergence=estimate(0.9, 0.001))
    both = summary_of(*first.measurements, *second.measurements)
    other = gate({"KLDivergence": "0.15"}).model_copy(update={"suite": "code"})
    found = verdict(both, gate({"KLDivergence": "0.15"}), other)
    assert found.verdict == "Failed"
    assert "suite code" in found.message


def test_a_suite_that_was_not_measured_never_passes() -> None:
    found = verdict(summary_of(), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Inconclusive"
    assert found.message == "Suite fidelity was not measured"


def test_a_metric_that_was_not_measured_never_passes() -> None:
    found = verdict(summary(), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Inconclusive"
    assert "KLDivergence was not measured" in found.message


def test_a_single_text_never_passes() -> None:
    found = verdict(summary(kl_divergence=estimate(0.0, 0.0, 1)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Inconclusive"
    assert "rests on 1 text," in found.message


def test_without_a_threshold_nothing_passes() -> None:
    measured = summary(kl_divergence=estimate(0.0, 0.001))
    assert verdict(measured).verdict == "Inconclusive"
    assert verdict(measured, gate()).verdict == "Inconclusive"
    assert "has no threshold" in verdict(measured, gate(), gate({"KLDivergence": "0.15"})).message


def test_a_confidence_that_is_none_never_passes() -> None:
    measured = summary(kl_divergence=estimate(0.0, 0.001))
    for confidence in ("0", "0.3", "0.5", "0.79", "1", "2"):
        assert verdict(measured, gate({"KLDivergence": "0.15"}, confidence=confidence)).verdict == "Inconclusive"


@pytest.mark.parametrize("value", ["nan", "NaN", "-0.5", "", "broken"])
def test_a_value_that_cannot_be_fails(value: str) -> None:
    found = verdict(summary(kl_divergence=estimate(value)), gate({"KLDivergence": "0.15"}))
    assert found.verdict == "Failed"


def test_an_infinite_divergence_fails() -> None:
    assert verdict(summary(kl_divergence=estimate("inf", 0.1)), gate({"KLDivergence": "0.15"})).verdict == "Failed"


numbers = st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(-2, 2)
METRICS = {metric: name for name, metric in NAMES.items() if metric != "Perplexity"}


def values(metric: str, value: float, error: float, count: int) -> dict[str, Any]:
    return {METRICS[metric]: estimate(value, error, count)}


@given(metric=st.sampled_from(sorted(METRICS)), value=numbers, error=numbers, count=st.integers(-1, 1000))
def test_no_number_that_makes_no_sense_ever_passes(metric: str, value: float, error: float, count: int) -> None:
    asked = gate({}, {metric: "0.5"}) if metric == "Top1Agreement" else gate({metric: "0.5"})
    found = verdict(summary(**values(metric, value, error, count)), asked)
    if math.isnan(value) or not math.isfinite(error) or error < 0 or count < 2:
        assert found.verdict != "Passed"
    if metric != "PerplexityRatio" and (value < 0 or (metric == "Top1Agreement" and value > 1)):
        assert found.verdict == "Failed"


@given(
    low=st.floats(0, 1), rise=st.floats(0, 1), error=st.floats(0, 0.5), count=st.integers(2, 500),
    threshold=st.decimals(0, 1, places=3), candidates=st.integers(1, 8),
)  # fmt: skip
def test_a_better_value_never_has_a_worse_verdict(
    low: float, rise: float, error: float, count: int, threshold: Any, candidates: int
) -> None:
    high = min(1.0, low + rise)
    for metric in METRICS:
        minimum = metric == "Top1Agreement"
        asked = gate({}, {metric: str(threshold)}) if minimum else gate({metric: str(threshold)})
        ranks = [
            ORDER[verdict(summary(**values(metric, value, error, count)), asked, candidates=candidates).verdict]
            for value in (low, high)
        ]
        assert ranks == sorted(ranks, reverse=not minimum)


@given(
    value=st.floats(0, 1), error=st.floats(0, 0.5), count=st.integers(2, 500), threshold=st.decimals(0, 1, places=3),
    candidates=st.integers(1, 7),
)  # fmt: skip
def test_more_candidates_never_make_a_verdict_certain(
    value: float, error: float, count: int, threshold: Any, candidates: int
) -> None:
    measured = summary(kl_divergence=estimate(value, error, count))
    few, more = (
        verdict(measured, gate({"KLDivergence": str(threshold)}), candidates=number).verdict
        for number in (candidates, candidates + 1)
    )
    assert more in (few, "Inconclusive")


@given(value=st.floats(0, 1), error=st.floats(0, 0.3), count=st.integers(2, 500), threshold=st.decimals(0, 1, places=3))
def test_the_numbers_in_a_message_show_what_it_says(value: float, error: float, count: int, threshold: Any) -> None:
    found = verdict(summary(kl_divergence=estimate(value, error, count)), gate({"KLDivergence": str(threshold)}))
    if found.verdict == "Passed":
        assert float(found.message.split("upper bound ")[1].split(")")[0]) <= float(threshold)
    if found.verdict == "Failed":
        assert float(found.message.split("lower bound ")[1].split(")")[0]) > float(threshold)


def test_the_check_that_is_shown_as_deciding_is_the_one_of_the_message() -> None:
    """Of two suites that were not measured neither is nearer to passing."""
    gates = [ResolvedGate.model_validate(
        {"suite": suite, "minimum": [], "confidence": "0.95", "maximum": [{"metric": "KLDivergence", "value": "0.1"}]}
    ) for suite in ("texts", "chats")]  # fmt: skip
    record = judge(gates, EvaluationSummary(measurements=[], speed=[]), 1, 1, TIME)
    shown = deciding_check(record.verdict, record.checks)
    assert shown is not None
    assert shown.message == record.message
