"""The suite generation: questions asked of an engine, answers scored, rows paired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.documents import EvaluateResult
from lowbit.api.evaluation import ResolvedSuite
from lowbit.api.status import Measurement
from lowbit.naming.store_keys import compared_key, report_key
from lowbit.worker.refuse import RefusalError
from tests.unit.evaluation_bench import ORIGINAL, Bench, make_bench, make_dataset
from tests.unit.fake_engine import FakeEngine

bench = pytest.fixture(make_bench)
COUNT = 24
SUMS = [
    {
        "messages": [{"role": "user", "content": f"w{n} plus w1"}],
        "expected": n + 1,
        "category": "odd" if n % 2 else "even",
    }
    for n in range(COUNT)
]


def adds(wrong: set[int] = frozenset(), silent: set[int] = frozenset(), words: int = 0) -> Any:  # type: ignore[assignment]
    """What a model answers that adds, but for some sums; and says so many more words."""

    def say(body: dict[str, Any]) -> Any:
        asked = body["messages"][-1]["content"].split()
        if asked[1:2] != ["plus"]:
            return "I see."
        n = int(asked[0][1:])
        if n in silent:
            return "no idea"
        return "of course " * (words if n % 2 else 0) + f"it is {n + 1 + (n in wrong)}"

    return say


def suite(dataset: str, **settings: Any) -> ResolvedSuite:
    whole = {"dataset": dataset, "format": "Auto", "scorer": "Numeric", "constrained": False,
             "expectedField": "expected", "categoryField": "category", "samples": 100, "outputTokens": 200,
             "repeats": 1, **settings}  # fmt: skip
    return ResolvedSuite.model_validate({"name": "sums", "version": 1, "generation": whole})


async def compare(
    bench: Bench, folder: Path, original: Any, candidate: Any, lines: list[Any] = SUMS, **settings: Any
) -> tuple[EvaluateResult, EvaluateResult]:
    """Both models' results."""
    dataset = make_dataset(bench.store, folder, lines)
    protocol = bench.protocol().model_copy(update={"suites": [suite(dataset, **settings)]})
    engine = FakeEngine(ORIGINAL, say=original)
    baseline = await bench.run(engine, bench.document(protocol))
    return baseline, await bench.run(FakeEngine(ORIGINAL, say=candidate), bench.document(protocol, "baseline-1"))


def rows(result: EvaluateResult, metric: str) -> dict[str | None, Measurement]:
    """By slice."""
    found = [row for row in result.summary.measurements if (row.metric, row.suite) == (metric, "sums")]
    return {row.slice: row for row in found}


async def test_the_loss_is_paired_by_question_whole_and_by_category(bench: Bench, tmp_path: Path) -> None:
    baseline, candidate = await compare(bench, tmp_path, adds(wrong={1, 2}), adds(wrong={2, 3, 5, 7}))
    loss = rows(candidate, "AccuracyLoss")
    whole = loss[None].pairs
    assert whole is not None
    assert whole.model_dump() == {"both": 19, "original_only": 3, "candidate_only": 1, "neither": 1}
    assert loss[None].estimate == pytest.approx(2 / COUNT)
    assert (loss["odd"].count, loss["odd"].slice_kind) == (COUNT // 2, "Category")
    assert loss["even"].pairs is not None
    assert (loss["even"].pairs.original_only, loss["even"].pairs.neither) == (0, 1)
    assert rows(candidate, "Accuracy")[None].successes == COUNT - 4
    assert rows(baseline, "Accuracy")[None].successes == COUNT - 2
    assert rows(baseline, "AccuracyLoss") == {}


async def test_what_cannot_be_read_is_wrong_and_counted(bench: Bench, tmp_path: Path) -> None:
    _, candidate = await compare(bench, tmp_path, adds(), adds(silent={4, 6}))
    assert rows(candidate, "ParsedShare")[None].estimate == pytest.approx(1 - 2 / COUNT)
    assert rows(candidate, "Accuracy")[None].successes == COUNT - 2
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert 'Not readable, and so wrong</td><td class="n">2</td>' in page
    assert 'Right in the original more often</td><td class="n">2</td>' in page


async def test_slices_by_length_are_those_of_the_originals_answers(bench: Bench, tmp_path: Path) -> None:
    _, candidate = await compare(bench, tmp_path, adds(words=30), adds())
    lengths = {name: row.count for name, row in rows(candidate, "AccuracyLoss").items() if row.slice_kind == "Length"}
    assert lengths == {"up to 32 tokens": COUNT // 2, "up to 128 tokens": COUNT // 2}
    ratio = rows(candidate, "LengthRatio")[None].estimate
    assert ratio is not None
    assert ratio < -0.5


async def test_every_compared_answer_is_in_the_store_and_says_what_changed(bench: Bench, tmp_path: Path) -> None:
    await compare(bench, tmp_path, adds(), adds(wrong={3}, silent={4}))
    lines = [json.loads(line) for line in (bench.store.read(compared_key("eval-1")) or b"").splitlines()]
    assert len(lines) == COUNT
    changed = {line["prompt"]: line for line in lines if line["flipped"]}
    assert set(changed) == {"w3 plus w1", "w4 plus w1"}
    assert (changed["w3 plus w1"]["original"], changed["w3 plus w1"]["candidate"]) == ("it is 4", "it is 5")
    assert (changed["w4 plus w1"]["expected"], changed["w4 plus w1"]["note"]) == ("5", "not readable")
    assert bench.store.read(compared_key("baseline-1")) is None


async def test_drawn_answers_count_once_a_question_as_a_mean(bench: Bench, tmp_path: Path) -> None:
    """Three answers to a question are not three questions."""
    engine = {"n": 0}

    def sometimes(body: dict[str, Any]) -> Any:
        engine["n"] += 1
        return adds(wrong=set(range(COUNT)) if body["seed"] % 2 else frozenset())(body)  # type: ignore[arg-type]

    sampling: dict[str, Any] = {
        "sampling": {"temperature": "0.7", "topP": "0.8", "repetitionPenalty": "1.05"},
        "repeats": 3,
    }
    _, candidate = await compare(bench, tmp_path, adds(), sometimes, **sampling)
    loss = rows(candidate, "AccuracyLoss")[None]
    assert loss.pairs is None
    assert loss.mean is not None
    assert loss.count == COUNT
    assert 1 / 3 <= float(loss.mean.value) <= 2 / 3


async def test_both_models_draw_with_the_same_seeds_and_the_sampling_that_was_asked_for(
    bench: Bench, tmp_path: Path
) -> None:
    bodies: dict[str, list[Any]] = {"original": [], "candidate": []}

    def noting(name: str) -> Any:
        def say(body: dict[str, Any]) -> Any:
            if "plus" in body["messages"][-1]["content"]:
                bodies[name].append(body)
            return adds()(body)

        return say

    both = noting("original"), noting("candidate")
    await compare(bench, tmp_path, *both, sampling={"temperature": "0.7", "topK": 20}, repeats=2)

    def key(body: dict[str, Any]) -> tuple[str, int]:
        return body["messages"][0]["content"], body["seed"]

    assert sorted(map(key, bodies["original"])) == sorted(map(key, bodies["candidate"]))
    assert len(set(map(key, bodies["original"]))) == 2 * COUNT
    asked = bodies["original"][0]
    assert (asked["temperature"], asked["top_k"], "top_p" in asked) == (0.7, 20, False)


async def test_questions_of_one_group_are_one_unit(bench: Bench, tmp_path: Path) -> None:
    lines = [{**line, "group": f"g{number // 3}"} for number, line in enumerate(SUMS)]
    _, candidate = await compare(bench, tmp_path, adds(), adds(wrong={0, 1, 2}), lines)
    loss = rows(candidate, "AccuracyLoss")[None]
    assert loss.mean is not None
    assert loss.count == COUNT // 3
    assert float(loss.mean.value) == pytest.approx(1 / 8)


async def test_a_constraint_is_what_the_scorer_can_read(bench: Bench, tmp_path: Path) -> None:
    seen: list[Any] = []

    def say(body: dict[str, Any]) -> str:
        seen.append(body.get("structured_outputs"))
        return "4"

    await compare(bench, tmp_path, say, say, scorer="Pattern", pattern="[0-9]+", constrained=True)
    assert {"regex": "[0-9]+"} in seen


async def test_a_candidate_is_asked_what_the_original_was_asked_and_nothing_again(bench: Bench, tmp_path: Path) -> None:
    await compare(bench, tmp_path, adds(), adds())
    engine = FakeEngine(ORIGINAL, say=adds())
    protocol = bench.stored("baseline-1").protocol
    again = bench.document(protocol, "baseline-1").model_copy(update={"evaluation": "eval-2"})
    await bench.run(engine, again)
    assert not any("plus" in str(body["messages"]) for body in engine.asked), "its answers are in the store"


async def test_a_template_that_writes_the_date_is_told(bench: Bench, tmp_path: Path) -> None:
    dataset = make_dataset(bench.store, tmp_path, SUMS)
    protocol = bench.protocol().model_copy(update={"suites": [suite(dataset)]})
    await bench.run(FakeEngine(ORIGINAL, say=adds(), today="w8"), bench.document(protocol))
    await bench.run(FakeEngine(ORIGINAL, say=adds(), today="w9"), bench.document(protocol, "baseline-1"))
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert f'(a template that writes the date, say)</td><td class="n">{COUNT}</td>' in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expected": "many"}, "line 2: expects no number"),
        ({"expected": None}, r"line 2: has no expected answer \(field expected\)"),
        ({"messages": [{"role": "judge", "content": "w1"}]}, "line 2: the engine refuses it"),
        ({"messages": [{"role": "user", "content": "w1 " * 400}]}, "line 2: has 400 tokens, and the engine takes 312"),
    ],
)
async def test_a_line_that_cannot_be_asked_or_scored_is_named(
    bench: Bench, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    lines = [SUMS[0], {**SUMS[1], **change}, SUMS[2]]
    with pytest.raises(RefusalError, match=f"the dataset of suite sums, {words}") as refused:
        await compare(bench, tmp_path, adds(), adds(), lines)
    assert refused.value.refusal.action


async def test_a_suite_without_questions_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="suite sums has 1 questions, and needs two"):
        await compare(bench, tmp_path, adds(), adds(), [SUMS[0], SUMS[0]])
