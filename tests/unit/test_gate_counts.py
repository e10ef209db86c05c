"""A gate that nothing can pass, for want of texts, is told before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.evaluation import MinimumThreshold, Suite
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites.fidelity import FidelityKind
from lowbit.cli.plan import plan
from lowbit.gate.counts import check_class_counts, check_counts, needed
from tests.unit.world import spec


def model(samples: int, candidates: int, confidence: str = "0.95") -> QuantizedModelSpec:
    changed: dict[str, Any] = spec()
    (suite,) = changed["evaluation"]["suites"]
    suite["fidelity"]["samples"], suite["gate"]["confidence"] = samples, confidence
    changed["candidates"] = [
        {"gptq": {"bits": bits, "groupSize": group}} for bits in (4, 8) for group in (32, 64, 128, -1)
    ][:candidates]
    return QuantizedModelSpec.model_validate(changed)


@pytest.mark.parametrize(
    ("candidates", "confidence", "needed"), [(1, "0.95", 149), (2, "0.95", 183), (3, "0.95", 203), (1, "0.8", 80)]
)
def test_plan_refuses_fewer_samples_than_the_gate_needs_and_says_the_number(
    candidates: int, confidence: str, needed: int
) -> None:
    assert not plan("chat", model(needed, candidates, confidence), Platform(), None).problems
    if needed > 80:
        (problem,) = plan("chat", model(needed - 1, candidates, confidence), Platform(), None).problems
        assert problem.reason == "TooFewSamples"
        assert problem.field == "spec.evaluation.suites[fidelity].fidelity.samples"
        assert problem.action == f"write at least {needed}"


def test_the_default_is_enough_for_eight_candidates() -> None:
    body = model(256, 8)
    (suite,) = body.evaluation.suites
    assert type(suite.member()[1]).model_fields["samples"].default == 256
    assert not plan("chat", body, Platform(), None).problems


def exam(*margins: dict[str, Any], confidence: str = "0.95", samples: int = 100, **more: Any) -> Suite:
    """A suite whose gate asks for margins. What it measures does not matter here."""
    gate = {"nonInferiority": list(margins), "confidence": confidence} | more
    (suite,) = spec()["evaluation"]["suites"]
    return Suite.model_validate(suite | {"gate": gate, "fidelity": suite["fidelity"] | {"samples": samples}})


@pytest.mark.parametrize(
    ("margin", "candidates", "least"),
    [("0.01", 1, 299), ("0.02", 1, 149), ("0.03", 1, 99), ("0.05", 1, 59), ("0.01", 3, 408), ("0.02", 3, 203),
     ("0.03", 3, 135), ("0.05", 3, 80)],
)  # fmt: skip
def test_a_margin_needs_as_many_questions_as_show_a_loss_of_it(margin: str, candidates: int, least: int) -> None:
    assert needed(exam({"metric": "Accuracy", "margin": margin}), candidates) == least


def test_the_threshold_that_needs_most_decides_how_many_are_needed() -> None:
    both = exam({"metric": "Accuracy", "margin": "0.01"}, maximum=[{"metric": "KLDivergence", "value": "0.15"}])
    assert needed(both, 1) == 299


def test_too_few_questions_are_refused_in_words_of_the_suite() -> None:
    body = model(256, 2)
    suite = exam({"metric": "Accuracy", "margin": "0.01"}, samples=256)
    body = body.model_copy(update={"evaluation": body.evaluation.model_copy(update={"suites": [suite]})})
    (problem,) = check_counts(body)
    assert problem.message == (
        "256 is not enough for a verdict: with confidence 0.95 for each of 2 candidates, a loss of 1 points could go "
        "unseen among fewer than 368 questions"
    )
    assert problem.action == "write at least 368"


def test_prompts_that_are_answered_several_times_need_to_be_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = exam({"metric": "Accuracy", "margin": "0.05"})
    assert needed(suite, 1) == 59
    monkeypatch.setattr(FidelityKind, "repeats", lambda *_: 5)
    assert needed(suite, 1) == 100


EACH = exam({"metric": "Recall", "margin": "0.1", "perClass": True})


def test_a_class_of_twenty_is_refused_even_with_a_margin_of_ten_points() -> None:
    (problem,) = check_class_counts(EACH, {"ham": 400, "fraud": 20, "spam": 29}, 1)
    assert problem.reason == "TooFewSamples"
    assert problem.field == "spec.evaluation.suites[fidelity].fidelity.dataset"
    assert problem.message == (
        "there are too few questions of class fraud (20) for a verdict on Recall: with confidence 0.95, a loss of 10 "
        "points could go unseen among fewer than 29 questions"
    )
    assert problem.action == "add questions until there are 29 of each, or allow a larger loss"
    assert not check_class_counts(EACH, {"ham": 400, "fraud": 29}, 1)
    assert check_class_counts(EACH, {"ham": 400, "fraud": 29}, 3)


def test_specificity_counts_the_questions_of_the_other_classes() -> None:
    suite = exam({"metric": "Specificity", "margin": "0.05", "perClass": True})
    (problem,) = check_class_counts(suite, {"ham": 400, "fraud": 20}, 1)
    assert "of other classes than ham (20)" in problem.message


def test_f1_needs_a_hundred_of_each_class_and_more_for_a_narrow_margin() -> None:
    wide = exam({"metric": "F1", "margin": "0.1", "perClass": True})
    assert not check_class_counts(wide, {"ham": 100, "fraud": 100}, 1)
    (problem,) = check_class_counts(wide, {"ham": 100, "fraud": 99}, 1)
    assert "not even an equal candidate passes with fewer than 100 questions of a class" in problem.message
    narrow = exam({"metric": "F1", "margin": "0.02", "perClass": True})
    assert check_class_counts(narrow, {"ham": 300, "fraud": 199}, 1)


def test_a_class_is_not_counted_for_a_threshold_of_the_whole_suite() -> None:
    assert not check_class_counts(exam({"metric": "Accuracy", "margin": "0.02"}), {"ham": 400, "fraud": 2}, 1)


def test_many_small_classes_make_one_message() -> None:
    (problem,) = check_class_counts(EACH, {f"class-{at:03}": 5 for at in range(200)}, 1)
    assert "class-000 (5), class-001 (5), class-002 (5) and 197 more" in problem.message


def test_a_share_that_no_number_of_questions_shows_is_refused() -> None:
    sure = MinimumThreshold.model_construct(metric="Accuracy", value="1")
    gate = EACH.gate.model_copy(update={"minimum": [sure], "non_inferiority": []})
    body = model(256, 1)
    suites = [EACH.model_copy(update={"gate": gate})]
    body = body.model_copy(update={"evaluation": body.evaluation.model_copy(update={"suites": suites})})
    (problem,) = check_counts(body)
    assert "no number of questions shows that a share is 1" in problem.message
