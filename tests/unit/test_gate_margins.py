"""Non-inferiority, class by class and task by task: what the verdict says."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, NonInferiorityThreshold, ResolvedGate
from lowbit.api.status import Measurement, PairedCounts, SliceKind, VerdictRecord
from lowbit.gate import judge
from tests.unit.measurements import Estimate, row, summary_of

TIME = "2026-11-21T12:00:00Z"
ORDER = {"Failed": 0, "Inconclusive": 1, "Passed": 2}


def pairs(
    lost: int, gained: int, count: int, metric: str = "AccuracyLoss", slice_: str | None = None,
    kind: SliceKind | None = None,
) -> Measurement:  # fmt: skip
    cells = PairedCounts(both=count - lost - gained, original_only=lost, candidate_only=gained, neither=0)
    return Measurement(suite="exam", metric=metric, slice=slice_, slice_kind=kind, count=count, pairs=cells)


def gate(*margins: tuple[str, str, bool], maximum: str | None = None, **more: Any) -> ResolvedGate:
    thresholds = [NonInferiorityThreshold(metric=name, margin=margin, per_class=each) for name, margin, each in margins]
    absolute = [MaximumThreshold(metric="KLDivergence", value=maximum)] if maximum else []
    asked: dict[str, Any] = {"suite": "exam", "minimum": [], "confidence": "0.95"} | more
    return ResolvedGate(maximum=absolute, non_inferiority=thresholds, **asked)


ACCURACY = gate(("Accuracy", "0.02", False))
EACH_CLASS = gate(("Recall", "0.05", True))


def verdict(asked: ResolvedGate, *rows: Measurement, candidates: int = 1) -> VerdictRecord:
    return judge([asked], summary_of(*rows), candidates, 1, TIME)


def test_a_candidate_that_is_as_good_passes_and_the_sentence_says_how_sure() -> None:
    found = verdict(ACCURACY, pairs(5, 5, 500))
    assert (found.verdict, found.basis) == ("Passed", "NonInferiority")
    assert found.message == (
        "Accuracy loses 0 points against the original, at most 1.17 with 95 % confidence over 500 questions: within "
        "the margin of 2 points"
    )
    (check,) = found.checks
    assert (check.metric, check.bound, check.threshold, check.value) == ("Accuracy", "NonInferiority", "0.02", "0")
    assert (check.count, check.slice, check.message) == (500, None, found.message)


def test_a_candidate_that_loses_more_than_the_margin_fails() -> None:
    found = verdict(ACCURACY, pairs(40, 10, 500))
    assert found.verdict == "Failed"
    assert found.message.startswith("Accuracy loses 6 points against the original, at least 3.")
    assert found.message.endswith("over 500 questions: more than the margin of 2 points")


def test_a_candidate_near_the_margin_is_inconclusive_and_asks_for_fresh_questions() -> None:
    found = verdict(ACCURACY, pairs(10, 5, 500))
    assert found.verdict == "Inconclusive"
    assert "too close to the margin of 2 points to call" in found.message
    assert found.message.endswith("fresh questions would decide, none of them measured before")


def test_too_few_questions_are_told_as_such() -> None:
    found = verdict(ACCURACY, pairs(0, 0, 100))
    assert found.verdict == "Inconclusive"
    assert found.message.endswith("; this margin needs at least 149 questions")


def test_a_gain_is_said_as_a_gain() -> None:
    assert verdict(ACCURACY, pairs(2, 12, 500)).message.startswith(
        "Accuracy gains 2 points against the original, and loses at most "
    )


def test_the_basis_is_non_inferiority_only_if_every_threshold_is() -> None:
    both = gate(("Accuracy", "0.02", False), maximum="0.15")
    found = verdict(both, pairs(5, 5, 500), row("KLDivergence", Estimate(0.05), "exam"))
    assert (found.verdict, found.basis) == ("Passed", "Thresholds")


def test_confidence_is_divided_over_the_candidates() -> None:
    near = pairs(3, 2, 320)
    assert verdict(ACCURACY, near).verdict == "Passed"
    assert verdict(ACCURACY, near, candidates=3).verdict == "Inconclusive"


def recall(lost: int, gained: int, count: int, name: str) -> Measurement:
    return pairs(lost, gained, count, "RecallLoss", name, "Class")


def test_every_class_must_pass_and_the_message_names_the_one_that_decided() -> None:
    good, bad = recall(1, 1, 300, "ham"), recall(40, 2, 300, "fraud")
    found = verdict(EACH_CLASS, good, bad)
    assert found.verdict == "Failed"
    assert found.message.startswith("Recall of class fraud loses 12.7 points against the original, at least ")
    assert [(check.slice, check.verdict) for check in found.checks] == [("fraud", "Failed"), ("ham", "Passed")]
    assert all(check.message and check.count == 300 for check in found.checks)


def test_accuracy_that_rises_does_not_hide_a_class_that_is_lost() -> None:
    """The rare class loses a third of its questions, and the average is better than before."""
    asked = gate(("Accuracy", "0.02", False), ("Recall", "0.05", True))
    whole = pairs(70, 120, 2000)
    found = verdict(asked, whole, recall(5, 120, 1800, "ham"), recall(65, 0, 200, "fraud"))
    assert found.verdict == "Failed"
    assert "of class fraud" in found.message
    assert found.checks[0].verdict == "Passed"


def test_a_threshold_for_each_class_never_passes_without_classes() -> None:
    for rows in ([], [pairs(0, 0, 500, "RecallLoss")], [pairs(0, 0, 500, "RecallLoss", "long", "Length")]):
        found = verdict(EACH_CLASS, pairs(0, 0, 500), *rows)
        assert found.verdict == "Inconclusive"
        assert found.message == "Recall was measured for no class"


def test_a_metric_that_was_measured_class_by_class_is_not_judged_as_a_whole() -> None:
    found = verdict(gate(("Recall", "0.05", False)), recall(0, 0, 500, "ham"))
    assert found.verdict == "Inconclusive"
    assert "ask for it with perClass: true" in found.message


def test_each_task_is_judged_and_never_their_average() -> None:
    tasks = [pairs(4, 4, 800, slice_="gsm8k", kind="Task"), pairs(60, 5, 300, slice_="mmlu", kind="Task")]
    found = verdict(ACCURACY, *tasks)
    assert found.verdict == "Failed"
    assert found.message.startswith("Accuracy of task mmlu loses 18.3 points")
    assert [check.slice for check in found.checks] == ["gsm8k", "mmlu"]


def test_slices_that_are_neither_classes_nor_tasks_decide_nothing() -> None:
    found = verdict(ACCURACY, pairs(5, 5, 500), pairs(90, 0, 100, slice_="long", kind="Length"))
    assert (found.verdict, len(found.checks)) == ("Passed", 1)


def test_a_minimum_for_each_class_is_judged_by_the_candidates_own_share() -> None:
    asked = gate(minimum=[MinimumThreshold.model_construct(metric="Recall", value="0.8", per_class=True)])
    rows = [Measurement(suite="exam", metric="Recall", slice=name, slice_kind="Class", count=300, successes=hits)
            for name, hits in (("ham", 280), ("fraud", 200))]  # fmt: skip
    found = verdict(asked, *rows)
    assert (found.verdict, found.basis) == ("Failed", "Thresholds")
    assert found.message == "Recall of class fraud 0.667 (95 % upper bound 0.712) is below 0.8"


def test_a_class_that_is_too_small_is_told_with_its_numbers() -> None:
    small = Measurement(
        suite="exam", metric="F1Loss", slice="fraud", slice_kind="Class", count=20,
        classes={"ofClass": dict.fromkeys(("both", "originalOnly", "candidateOnly", "neither"), 5),
                 "others": dict.fromkeys(("both", "originalOnly", "candidateOnly", "neither"), 0)},
    )  # fmt: skip
    found = verdict(gate(("F1", "0.05", True)), small)
    assert found.verdict == "Inconclusive"
    assert "of class fraud rests on 20 questions of the class" in found.message


def test_two_rows_of_the_same_class_must_both_pass() -> None:
    found = verdict(EACH_CLASS, recall(0, 0, 300, "ham"), recall(90, 0, 300, "ham"))
    assert found.verdict == "Failed"


def test_several_looks_share_the_error_whatever_comes_later() -> None:
    near = pairs(3, 2, 320)
    assert verdict(ACCURACY, near).verdict == "Passed"
    for look, expected in ((1, "Inconclusive"), (2, "Inconclusive"), (3, "Passed")):
        looked = near.model_copy(update={"look": look, "looks": 3})
        assert verdict(ACCURACY, looked).verdict == expected, "the last look costs little"
    assert "no look 4 of 3" in verdict(ACCURACY, near.model_copy(update={"look": 4, "looks": 3})).message


classes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([120, 300])), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=50)
@given(found=classes, seed=st.integers(0, 1000))
def test_the_order_of_the_rows_changes_nothing(found: list[tuple[int, int, int]], seed: int) -> None:
    rows = [recall(lost, gained, count, f"class-{at}") for at, (lost, gained, count) in enumerate(found)]
    rows += [pairs(lost, gained, count, slice_=f"task-{at}", kind="Task") for at, (lost, gained, count) in
             enumerate(found)]  # fmt: skip
    asked = gate(("Recall", "0.05", True), ("Accuracy", "0.02", False))
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    assert verdict(asked, *rows) == verdict(asked, *rows) == verdict(asked, *shuffled)


def of_checks(record: VerdictRecord) -> int:
    """How good the checks alone are."""
    return min(ORDER[check.verdict] for check in record.checks)


@settings(deadline=None, max_examples=100)
@example(lost=1, gained=5, rest=53, margin="0.05", candidates=1)
@given(
    lost=st.integers(1, 40), gained=st.integers(0, 40), rest=st.integers(20, 700),
    margin=st.sampled_from(["0.01", "0.02", "0.05"]), candidates=st.integers(1, 3),
)  # fmt: skip
def test_one_more_right_answer_never_has_a_worse_verdict(
    lost: int, gained: int, rest: int, margin: str, candidates: int
) -> None:
    """It may be held for being too good to be true; its checks are as good as before all the same."""
    asked, count = gate(("Accuracy", margin, False)), lost + gained + rest
    before = of_checks(verdict(asked, pairs(lost, gained, count), candidates=candidates))
    for better in (pairs(lost - 1, gained, count), pairs(lost - 1, gained + 1, count), pairs(lost, gained + 1, count)):
        found = verdict(asked, better, candidates=candidates)
        assert of_checks(found) >= before
        assert found.implausible or ORDER[found.verdict] >= before


@settings(deadline=None, max_examples=100)
@given(lost=st.integers(0, 40), gained=st.integers(0, 40), rest=st.integers(100, 700))
def test_one_more_question_that_both_get_right_never_fails_what_had_passed(lost: int, gained: int, rest: int) -> None:
    """It may leave a Passed open: which counts look as good depends on how many there are."""
    count = lost + gained + rest
    before, after = (verdict(ACCURACY, pairs(lost, gained, each)).verdict for each in (count, count + 1))
    assert not (before != "Failed" and after == "Failed")


@settings(deadline=None, max_examples=100)
@given(lost=st.integers(0, 40), gained=st.integers(0, 40), rest=st.integers(100, 700))
def test_the_numbers_in_a_sentence_show_what_it_says(lost: int, gained: int, rest: int) -> None:
    found = verdict(ACCURACY, pairs(lost, gained, lost + gained + rest))
    if found.verdict == "Passed":
        assert float(found.message.split("at most ")[1].split(" ")[0]) <= 2
    if found.verdict == "Failed":
        assert float(found.message.split("at least ")[1].split(" ")[0]) > 2


@pytest.mark.parametrize("broken", [pairs(-1, 0, 100), pairs(5, 5, 500).model_copy(update={"count": 499})])
def test_counts_that_cannot_be_fail(broken: Measurement) -> None:
    assert verdict(ACCURACY, broken).verdict == "Failed"
