"""The suite classification: questions put into classes by an engine, counted class by class, paired."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import EvaluateResult
from lowbit.api.evaluation import ResolvedGate, ResolvedSuite
from lowbit.api.modelevaluation import StoppingGate
from lowbit.api.status import Measurement
from lowbit.naming.store_keys import compared_key
from lowbit.worker.data.classes import label_of
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites.classification import field_of
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench, make_dataset
from tests.unit.fake_engine import FakeEngine

bench = pytest.fixture(make_bench)
LABELS = ["fraud", "fine"]
LINES = [
    {"messages": [{"role": "user", "content": f"w{n} case"}], "label": "fraud" if n < 10 else "fine"} for n in range(30)
]


def says(fraud: Iterable[int], silent: Iterable[int] = ()) -> Any:
    """A model that calls these cases fraud, and has no answer to some."""
    yes, unread = set(fraud), set(silent)

    def say(body: dict[str, Any]) -> Any:
        content = body["messages"][-1]["content"].split()
        if content[1:] != ["case"]:
            return "I see."
        number = int(content[0][1:])
        return "who knows" if number in unread else "Fraud" if number in yes else "fine"

    return say


def suite(dataset: str, **settings: Any) -> ResolvedSuite:
    whole = {"dataset": dataset, "format": "Auto", "labels": LABELS, "answer": "Choice", "expectedField": "label",
             "samples": 100, "outputTokens": 20, **settings}  # fmt: skip
    return ResolvedSuite.model_validate({"name": "fraud", "version": 1, "classification": whole})


async def compare(
    bench: Bench, folder: Path, original: Any, candidate: Any, lines: list[Any] = LINES, **settings: Any
) -> tuple[EvaluateResult, EvaluateResult]:
    """Both models' results."""
    dataset = make_dataset(bench.store, folder, lines)
    protocol = bench.protocol().model_copy(update={"suites": [suite(dataset, **settings)]})
    before = await bench.run(FakeEngine(ORIGINAL, say=original), bench.document(protocol))
    after = await bench.run(FakeEngine(ORIGINAL, say=candidate), bench.document(protocol, baseline="baseline-1"))
    return before, after


def row(result: EvaluateResult, metric: str, label: str | None = None) -> Measurement:
    (found,) = (
        each for each in result.summary.measurements
        if (each.suite, each.metric, each.slice) == ("fraud", metric, label)
    )  # fmt: skip
    return found


def cells(found: Measurement) -> tuple[int, int, int, int]:
    assert found.pairs is not None
    return found.pairs.both, found.pairs.original_only, found.pairs.candidate_only, found.pairs.neither


async def test_each_class_is_counted_on_its_own_questions_and_paired(bench: Bench, tmp_path: Path) -> None:
    """The candidate finds one fraud more, loses two, and calls three fine cases fraud: accuracy alone hides which."""
    _, candidate = await compare(bench, tmp_path, says(range(8)), says([*range(6), 8, 20, 21, 22]))
    assert row(candidate, "Accuracy").successes == 7 + 17
    assert cells(row(candidate, "AccuracyLoss")) == (23, 5, 1, 1)
    assert row(candidate, "AccuracyLoss").chance == "0.666667"
    assert cells(row(candidate, "RecallLoss", "fraud")) == (6, 2, 1, 1)
    assert cells(row(candidate, "SpecificityLoss", "fraud")) == (17, 3, 0, 0)
    assert row(candidate, "Recall", "fraud").successes == 7
    classes = row(candidate, "PrecisionLoss", "fraud").classes
    assert classes is not None
    assert (classes.of_class.both, classes.of_class.original_only, classes.of_class.candidate_only) == (6, 2, 1)
    assert (classes.others.candidate_only, classes.others.neither) == (3, 17)
    mean = row(candidate, "Precision", "fraud").mean
    assert mean is not None and mean.value == "0.7"


async def test_an_answer_that_is_no_class_is_counted_and_wrong(bench: Bench, tmp_path: Path) -> None:
    original, candidate = await compare(bench, tmp_path, says(range(10)), says(range(10), silent=[0, 29]))
    assert row(original, "ParsedShare").successes == 30
    assert row(candidate, "ParsedShare").successes == 28
    assert row(candidate, "Accuracy").successes == 28
    assert cells(row(candidate, "RecallLoss", "fraud")) == (9, 1, 0, 0)
    assert cells(row(candidate, "RecallLoss", "fine")) == (19, 1, 0, 0)


async def test_the_label_is_read_from_a_field_of_the_answer(bench: Bench, tmp_path: Path) -> None:
    def writes(body: dict[str, Any]) -> Any:
        content = body["messages"][-1]["content"].split()
        fraud = content[1:] == ["case"] and int(content[0][1:]) < 10
        return f"Let me see. {json.dumps({'is_fraud': fraud, 'why': 'x'})}"

    lines = [line | {"label": line["label"] == "fraud"} for line in LINES]
    settings = {"answer": "Field", "field": "is_fraud", "labels": ["true", "false"]}
    _, candidate = await compare(bench, tmp_path, writes, writes, lines, **settings)
    assert row(candidate, "Accuracy").successes == 30
    assert cells(row(candidate, "RecallLoss", "true")) == (10, 0, 0, 0)


async def test_the_likeliest_label_is_the_answer(bench: Bench, tmp_path: Path) -> None:
    """Of the same model with itself; its probabilities decide, and nothing is generated."""
    lines = [{"text": f"w{n} w3", "label": "w1" if n % 2 else "w2"} for n in range(40)]
    _, candidate = await compare(bench, tmp_path, None, None, lines, answer="Logprobs", labels=["w1", "w2"])
    assert row(candidate, "ParsedShare").successes == 40
    assert cells(row(candidate, "AccuracyLoss"))[1:3] == (0, 0)


async def test_questions_of_one_group_are_one_unit(bench: Bench, tmp_path: Path) -> None:
    lines = [line | {"group": f"g{number // 2}"} for number, line in enumerate(LINES)]
    _, candidate = await compare(bench, tmp_path, says(range(10)), says(range(9)), lines)
    loss = row(candidate, "AccuracyLoss")
    assert loss.pairs is None
    assert loss.mean is not None
    assert loss.count == 15


async def test_what_is_decided_at_a_look_is_not_asked_further(bench: Bench, tmp_path: Path) -> None:
    """600 questions, whose answers are all equal: within ten points at the first of three looks."""
    lines = [
        {"messages": [{"role": "user", "content": f"n{n} case"}], "label": "fraud" if n % 2 else "fine"}
        for n in range(600)
    ]
    dataset = make_dataset(bench.store, tmp_path, lines)
    protocol = bench.protocol().model_copy(update={"suites": [suite(dataset, samples=600)]})
    odd = says(range(1, 600, 2))
    await bench.run(FakeEngine(ORIGINAL, say=odd), bench.document(protocol))
    margin = {"metric": "Recall", "margin": "0.1", "perClass": True}
    gate = ResolvedGate.model_validate(
        {"suite": "fraud", "maximum": [], "minimum": [], "nonInferiority": [margin], "confidence": "0.95"}
    )
    stopping = [StoppingGate(gate=gate, candidates=1)]
    engine = FakeEngine(ORIGINAL, say=odd)
    result = await bench.run(engine, bench.document(protocol, baseline="baseline-1", stopping=stopping))
    loss = row(result, "RecallLoss", "fraud")
    assert (loss.look, loss.looks) == (1, 3)
    assert row(result, "Accuracy").count == 200
    assert sum(body["messages"][-1]["content"].endswith(" case") for body in engine.asked) == 200


async def test_every_answer_is_kept_and_the_flipped_ones_are_marked(bench: Bench, tmp_path: Path) -> None:
    await compare(bench, tmp_path, says(range(10)), says([*range(9), 20]))
    kept = [json.loads(line) for line in (bench.store.read(compared_key("eval-1")) or b"").splitlines()]
    assert len(kept) == 30
    flipped = {each["prompt"]: (each["original"], each["candidate"]) for each in kept if each["flipped"]}
    assert flipped == {"w9 case": ("fraud", "fine"), "w20 case": ("fine", "fraud")}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"text": "a b", "label": "spam"}], "is of a class that is not in labels"),
        ([{"text": "a b"}], "has no class"),
        ([{"text": f"w{n} a", "label": "fine"} for n in range(5)], "has no question of class fraud"),
    ],
)
async def test_what_is_no_class_is_refused_with_its_line(
    bench: Bench, tmp_path: Path, lines: list[Any], words: str
) -> None:
    with pytest.raises(RefusalError, match=words):
        await compare(bench, tmp_path, None, None, lines)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"is_fraud": true}', True),
        ('Sure! ```json\n{"why": {"a": 1}, "is_fraud": false}\n```', False),
        ('{"broken": {"is_fraud": "yes"}', "yes"),
        ("is_fraud: true", None),
        ("{" * 5000, None),
        ("", None),
    ],
)
def test_a_field_is_found_in_what_a_model_wrote_around_it(text: str, found: Any) -> None:
    assert field_of(text, "is_fraud") == found


def test_labels_are_compared_without_case() -> None:
    assert [label_of(value, ["true", "Fraud"]) for value in (True, " FRAUD\n", "frau", 1)] == [
        "true",
        "Fraud",
        None,
        None,
    ]
