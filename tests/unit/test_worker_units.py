"""prepare counts the questions of a suite, and of each class, before a GPU is asked for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites import SUITES
from lowbit.api.termination import Refusal
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.data.units import UNITS
from lowbit.worker.prepare import prepare
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs

EACH = {"nonInferiority": [{"metric": "Recall", "margin": "0.05", "perClass": True}]}


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return inputs.write_places(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> PVCStore:
    return PVCStore(tmp_path / "store")


def cases(**counts: int) -> list[Any]:
    """Questions of each class, in a fixed random order."""
    lines = [
        {"text": f"Which class is case {number} of {label}?", "expected": label}
        for label, count in counts.items() for number in range(count)
    ]  # fmt: skip
    random.Random(1).shuffle(lines)
    return lines


def spec(kind: str = "classification", gate: Any = EACH, more: Any = None, **settings: Any) -> QuantizedModelSpec:
    own = {"labels": ["fraud", "fine"]} if kind == "classification" else {"scorer": "Exact"}
    dataset = {"configMap": {"name": "texts", "key": "cases.jsonl"}}
    suite = {"name": "cases", kind: {"dataset": dataset, **own, **settings}, "gate": gate}
    return inputs.spec(evaluation={"suites": [suite], **(more or {})})


def run(store: PVCStore, mounts: Mounts, lines: list[Any], asked: QuantizedModelSpec) -> None:
    inputs.write_lines(mounts.config_maps / "texts" / "cases.jsonl", lines)
    prepare(inputs.prepare_document(asked), store, inputs.silence(), mounts=mounts)


def refusal(store: PVCStore, mounts: Mounts, lines: list[Any], asked: QuantizedModelSpec) -> Refusal:
    with pytest.raises(RefusalError) as error:
        run(store, mounts, lines, asked)
    assert not (store.root / "sources").exists(), "before the model is copied"
    return error.value.refusal


def test_a_class_with_too_few_questions_is_refused_before_the_model_is_copied(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(store, mounts, cases(fraud=20, fine=300), spec())
    assert found.reason == "TooFewSamples"
    assert "too few questions of class fraud (20)" in found.message
    assert "until there are 61 of each" in found.action
    assert "raise samples" not in found.action


def test_classes_with_enough_questions_are_prepared(store: PVCStore, mounts: Mounts) -> None:
    run(store, mounts, cases(fraud=61, fine=61), spec())


def test_equal_questions_and_those_of_one_group_count_once(store: PVCStore, mounts: Mounts) -> None:
    few = cases(fraud=61, fine=61)
    few[0] = few[0] | {"group": "a"}
    other = next(at for at, line in enumerate(few) if at and line["expected"] == few[0]["expected"])
    few[other] = few[other] | {"group": "a"}
    assert "(60)" in refusal(store, mounts, few, spec()).message
    again = [line | {"text": line["text"].replace(" ", "  ")} for line in cases(fraud=30)]
    assert "(30)" in refusal(store, mounts, [*cases(fraud=30, fine=300), *again], spec()).message


def test_a_class_is_counted_among_the_questions_that_are_drawn(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(store, mounts, cases(fraud=100, fine=900), spec(samples=200))
    assert found.reason == "TooFewSamples"
    assert "raise samples" in found.action


def test_labels_are_compared_without_case(store: PVCStore, mounts: Mounts) -> None:
    lines = [line | {"expected": f" {line['expected'].upper()}"} for line in cases(fraud=61, fine=61)]
    run(store, mounts, lines, spec())


def test_several_candidates_and_spent_errors_need_more_of_each_class(store: PVCStore, mounts: Mounts) -> None:
    lines = cases(fraud=61, fine=300)
    assert "until there are 74" in refusal(store, mounts, lines, spec(more={"attempts": "Spend"})).action


@pytest.mark.parametrize(
    ("lines", "settings", "reason", "told"),
    [
        (cases(fraud=99), {}, "NoSuchClass", "no question of class fine"),
        (cases(fraud=99), {"labels": ["fraud", "Fraud"]}, "NoSuchClass", "the same but for case"),
        (cases(fraud=99, odd=1), {}, "BadDataset", "of a class that is not in labels"),
        ([*cases(fraud=99), {"text": "And this?"}], {}, "BadDataset", "line 100: has no class"),
        ([*cases(fraud=99), cases(fraud=99)[0] | {"expected": "fine"}], {}, "BadDataset", "expects another answer"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_before_a_gpu_is_asked_for(
    store: PVCStore, mounts: Mounts, lines: list[Any], settings: Any, reason: str, told: str
) -> None:
    found = refusal(store, mounts, lines, spec(**settings))
    assert found.reason == reason
    assert told in found.message


def test_questions_of_a_generation_suite_are_counted_as_questions(store: PVCStore, mounts: Mounts) -> None:
    gate = {"nonInferiority": [{"metric": "Accuracy", "margin": "0.02"}]}
    found = refusal(store, mounts, cases(fraud=140), spec("generation", gate))
    assert found.reason == "TooFewTexts"
    assert "has 140 different questions, and its gate needs 154" in found.message
    assert found.action.startswith("add questions")
    lines = cases(fraud=154)
    run(store, mounts, lines, spec("generation", gate))


def test_a_chat_with_two_answers_is_one_question(store: PVCStore, mounts: Mounts) -> None:
    """By its text it is two, and the evaluation would refuse it after the engine has started."""
    chat = [{"messages": [{"role": "user", "content": "w1"}, {"role": "assistant", "content": a}]} for a in "xy"]
    gate = {"nonInferiority": [{"metric": "Accuracy", "margin": "0.5"}]}
    found = refusal(store, mounts, chat * 20, spec("generation", gate))
    assert found.reason == "BadDataset"
    assert "expects another answer" in found.message


def test_only_suites_that_there_are_have_their_units_counted() -> None:
    assert set(UNITS) <= {kind.name for kind in SUITES}
