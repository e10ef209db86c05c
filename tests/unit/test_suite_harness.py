"""The suite harness: lm-evaluation-harness asks a fake engine, its log is paired, each task has its row."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lowbit.api.documents import EvaluateResult
from lowbit.api.evaluation import ResolvedSuite
from lowbit.api.status import Measurement
from lowbit.naming.store_keys import compared_key, report_key
from lowbit.worker.data.task_config import write_description
from lowbit.worker.engines.base import CONCURRENCY
from lowbit.worker.refuse import EngineError, RefusalError
from lowbit.worker.suites.harness_tasks import shipped
from tests.unit.evaluation_bench import CANDIDATE, ORIGINAL, Bench, make_bench, make_dataset
from tests.unit.fake_engine import FakeEngine, Matrix, ids_of

bench = pytest.fixture(make_bench)
COUNT = 40
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CHOICE = """
task: words
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: choices
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
- {metric: acc_norm}
"""
SUMS = """
task: sums
output_type: generate_until
dataset_path: json
doc_to_text: "{{n}} plus w1 ="
doc_to_target: "{{sum}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list: [{metric: exact_match, ignore_case: true}]
filter_list:
- {name: strict, filter: [{function: regex, regex_pattern: "is ([0-9]+)"}, {function: take_first}]}
- {name: flexible, filter: [{function: regex, regex_pattern: "([0-9]+)"}, {function: take_first}]}
"""


def choice_rows(count: int = COUNT) -> list[dict[str, Any]]:
    chance = np.random.default_rng(3)
    rows = []
    for _ in range(count):
        words = [f"w{token}" for token in chance.integers(1, 48, 8)]
        rows.append({"question": " ".join(words[:3]), "choices": [words[3], f"{words[4]} {words[5]}", words[6]],
                     "answer": int(chance.integers(0, 3))})  # fmt: skip
    return rows


def likelihoods(row: dict[str, Any], model: Matrix) -> list[float]:
    """Log probability of each choice, as the engine's own distribution has it."""
    found = []
    for choice in row["choices"]:
        tokens = ids_of(f"{row['question']} {choice}")
        start = len(ids_of(row["question"])) - 1
        found.append(sum(float(np.float32(model[a][b])) for a, b in list(pairwise(tokens))[start:]))
    return found


def rights(rows: list[dict[str, Any]], model: Matrix) -> list[bool]:
    return [int(np.argmax(likelihoods(row, model))) == row["answer"] for row in rows]


def store_task(bench: Bench, folder: Path, config: str, rows: list[Any], **more: Any) -> dict[str, Any]:
    """A resolved task whose files are in the store."""
    name = str(yaml.safe_load(config)["task"])
    (folder / "task.yaml").write_text(config)
    described = json.loads(write_description(folder / "task.yaml", folder / "task.json", "task").read_text())
    fewshot = more.pop("fewshot", None)
    files = {
        "config": make_dataset(bench.store, folder, [described]),
        "dataset": make_dataset(bench.store, folder, rows),
    }
    if fewshot is not None:
        files["fewshot"] = make_dataset(bench.store, folder, fewshot)
    return {"name": name, **files, **more}


def suite(*tasks: dict[str, Any], samples: int = 1000) -> ResolvedSuite:
    harness = {"tasks": list(tasks), "samples": samples}
    return ResolvedSuite.model_validate({"name": "tasks", "version": 1, "harness": harness})


async def compare(
    bench: Bench, suite: ResolvedSuite, original: FakeEngine, candidate: FakeEngine
) -> tuple[EvaluateResult, EvaluateResult]:
    protocol = bench.protocol().model_copy(update={"suites": [suite]})
    baseline = await bench.run(original, bench.document(protocol))
    return baseline, await bench.run(candidate, bench.document(protocol, "baseline-1"))


def row(result: EvaluateResult, metric: str, task: str) -> Measurement:
    found = [
        each for each in result.summary.measurements if (each.suite, each.metric, each.slice) == ("tasks", metric, task)
    ]
    assert len(found) == 1
    assert found[0].slice_kind == "Task"
    return found[0]


def adds(wrong: set[int], says: str = "it is") -> Any:
    def say(body: dict[str, Any]) -> Any:
        if "messages" in body:
            return "I see."
        n = body["prompt"][0][-4]
        return f"{says} {n + 1 + (n in wrong)}"

    return say


async def test_multiple_choice_is_paired_by_question_with_the_engines_own_log_probabilities(
    bench: Bench, tmp_path: Path
) -> None:
    rows = choice_rows()
    task = store_task(bench, tmp_path, CHOICE, rows)
    baseline, candidate = await compare(bench, suite(task), FakeEngine(ORIGINAL), FakeEngine(CANDIDATE))
    before, after = rights(rows, ORIGINAL), rights(rows, CANDIDATE)
    loss = row(candidate, "AccuracyLoss", "words")
    assert loss.pairs is not None
    cells = list(zip(before, after, strict=True))
    assert loss.pairs.model_dump() == {
        "both": cells.count((True, True)), "original_only": cells.count((True, False)),
        "candidate_only": cells.count((False, True)), "neither": cells.count((False, False)),
    }  # fmt: skip
    assert loss.pairs.original_only + loss.pairs.candidate_only > 0
    assert float(loss.chance or 0) == pytest.approx(1 / 3, abs=1e-5)
    assert row(baseline, "Accuracy", "words").successes == sum(before)
    assert row(candidate, "Accuracy", "words").successes == sum(after)
    assert not any(each.metric == "AccuracyLoss" for each in baseline.summary.measurements)


async def test_there_is_a_row_for_each_task_and_none_over_all(bench: Bench, tmp_path: Path) -> None:
    sums = store_task(bench, tmp_path, SUMS, [{"n": f"w{n}", "sum": n + 1} for n in range(20)])
    words = store_task(bench, tmp_path, CHOICE, choice_rows())
    say = adds({1, 2, 3})
    _, candidate = await compare(
        bench, suite(words, sums), FakeEngine(ORIGINAL, say=adds({3})), FakeEngine(ORIGINAL, say=say)
    )
    loss = row(candidate, "AccuracyLoss", "sums")
    assert loss.pairs is not None
    assert loss.pairs.model_dump() == {"both": 17, "original_only": 2, "candidate_only": 0, "neither": 1}
    assert loss.chance is None
    assert row(candidate, "AccuracyLoss", "words").estimate == 0
    assert all(each.slice for each in candidate.summary.measurements if each.suite == "tasks")


async def test_every_question_is_kept_with_both_answers(bench: Bench, tmp_path: Path) -> None:
    sums = store_task(bench, tmp_path, SUMS, [{"n": f"w{n}", "sum": n + 1} for n in range(12)])
    engines = FakeEngine(ORIGINAL, say=adds(set())), FakeEngine(ORIGINAL, say=adds({5}))
    await compare(bench, suite(sums), *engines)
    lines = [json.loads(line) for line in (bench.store.read(compared_key("eval-1")) or b"").splitlines()]
    assert len(lines) == 12
    (changed,) = (line for line in lines if line["flipped"])
    assert (changed["prompt"], changed["original"], changed["candidate"]) == ("w5 plus w1 =", "it is 6", "it is 7")
    assert (changed["expected"], changed["slice"], changed["score"]) == ("6", "sums", 1.0)
    body = next(body for body in engines[0].asked if "messages" not in body)
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0, 8, ["\n"])


async def test_the_filter_and_the_metric_that_are_judged_are_those_that_were_asked_for(
    bench: Bench, tmp_path: Path
) -> None:
    rows = [{"n": f"w{n}", "sum": n + 1} for n in range(12)]
    engines = FakeEngine(ORIGINAL, say=adds(set(), says="it's")), FakeEngine(ORIGINAL, say=adds(set(), says="it's"))
    baseline, _ = await compare(bench, suite(store_task(bench, tmp_path, SUMS, rows)), *engines)
    assert row(baseline, "Accuracy", "sums").successes == 0, "the first filter, strict, cannot read it"
    flexible = suite(store_task(bench, tmp_path, SUMS, rows, filter="flexible"))
    other = bench.document(bench.protocol().model_copy(update={"suites": [flexible]}), evaluation="baseline-2")
    assert row(await bench.run(FakeEngine(ORIGINAL, say=adds(set())), other), "Accuracy", "sums").successes == 12
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    assert "Task sums: tasks" in page
    assert "exact_match, strict" in page
    assert "exact_match, flexible" in page


async def test_examples_are_shown_to_both_models_in_the_same_order(bench: Bench, tmp_path: Path) -> None:
    shots = [{"n": f"w{n}", "sum": n + 1} for n in range(30, 36)]
    task = store_task(bench, tmp_path, SUMS, [{"n": f"w{n}", "sum": n + 1} for n in range(9)], fewshot=shots,
                      num_fewshot=2)  # fmt: skip
    engines = FakeEngine(ORIGINAL, say=adds(set())), FakeEngine(CANDIDATE, say=adds(set()))
    await compare(bench, suite(task), *engines)
    asked = [[body["prompt"][0] for body in engine.asked if "messages" not in body] for engine in engines]
    assert sorted(asked[0]) == sorted(asked[1])
    assert {len(prompt) for prompt in asked[0]} == {4 + 2 * 5}


async def test_rows_of_one_group_are_one_unit(bench: Bench, tmp_path: Path) -> None:
    rows = [{"n": f"w{n}", "sum": n + 1, "group": f"g{n // 3}"} for n in range(24)]
    task = store_task(bench, tmp_path, SUMS, rows)
    engines = FakeEngine(ORIGINAL, say=adds(set())), FakeEngine(ORIGINAL, say=adds({0, 1, 2}))
    _, candidate = await compare(bench, suite(task), *engines)
    loss = row(candidate, "AccuracyLoss", "sums")
    assert loss.mean is not None
    assert loss.count == 8
    assert float(loss.mean.value) == pytest.approx(1 / 8)


async def test_equal_rows_count_once_and_no_more_are_asked_than_samples_says(bench: Bench, tmp_path: Path) -> None:
    rows = choice_rows(20)
    task = store_task(bench, tmp_path, CHOICE, rows + rows[:5])
    engine = FakeEngine(ORIGINAL)
    baseline, _ = await compare(bench, suite(task, samples=15), engine, FakeEngine(ORIGINAL))
    assert row(baseline, "Accuracy", "words").count == 15
    page = (bench.store.read(report_key("baseline-1")) or b"").decode()
    assert "15 questions of 25 rows; 5 rows are equal to another one" in page


async def test_many_requests_are_sent_at_once(bench: Bench, tmp_path: Path) -> None:
    """The engine answers none before as many as the limit are waiting."""
    task = store_task(bench, tmp_path, CHOICE, choice_rows())
    baseline, _ = await compare(bench, suite(task), FakeEngine(ORIGINAL, together=CONCURRENCY), FakeEngine(ORIGINAL))
    assert row(baseline, "Accuracy", "words").count == COUNT


async def test_a_model_whose_numbers_are_not_finite_does_not_pass(bench: Bench, tmp_path: Path) -> None:
    broken = ORIGINAL.copy()
    broken[7] = np.nan
    task = store_task(bench, tmp_path, CHOICE, choice_rows())
    _, candidate = await compare(bench, suite(task), FakeEngine(ORIGINAL), FakeEngine(broken))
    loss = row(candidate, "AccuracyLoss", "words")
    assert loss.not_finite > 0
    assert loss.mean is not None
    assert loss.mean.value == "NaN"


async def test_a_request_that_fails_makes_the_run_invalid_and_is_not_retried(bench: Bench, tmp_path: Path) -> None:
    task = store_task(bench, tmp_path, CHOICE, choice_rows())
    protocol = bench.protocol().model_copy(update={"suites": [suite(task)]})
    with pytest.raises(EngineError):
        await bench.run(FakeEngine(ORIGINAL, fail_after=20), bench.document(protocol))
    with pytest.raises(EngineError):
        await bench.run(FakeEngine(ORIGINAL, drop_after=20), bench.document(protocol))


async def test_what_was_measured_is_read_from_the_store_and_not_asked_again(bench: Bench, tmp_path: Path) -> None:
    task = store_task(bench, tmp_path, CHOICE, choice_rows())
    _, first = await compare(bench, suite(task), FakeEngine(ORIGINAL), FakeEngine(CANDIDATE))
    engine = FakeEngine(CANDIDATE)
    document = bench.document(bench.stored("baseline-1").protocol, "baseline-1")
    again = await bench.run(engine, document.model_copy(update={"evaluation": "eval-2"}))
    assert row(again, "AccuracyLoss", "words") == row(first, "AccuracyLoss", "words")
    asked = [prompt for prompt in engine.prompts if len(prompt) < 6]
    assert len(asked) < COUNT, "its samples are in the store"


async def test_prompts_longer_than_the_engine_takes_are_cut_and_counted(bench: Bench, tmp_path: Path) -> None:
    rows = choice_rows(10)
    rows[0]["question"] = " ".join(f"w{n % 40}" for n in range(700))
    task = store_task(bench, tmp_path, CHOICE, rows)
    engine = FakeEngine(ORIGINAL)
    await compare(bench, suite(task), engine, FakeEngine(ORIGINAL))
    assert max(map(len, engine.prompts)) < engine.max_model_len
    assert "3 prompts were cut on the left" in (bench.store.read(report_key("baseline-1")) or b"").decode()


LAMBADA = """
task: last
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
target_delimiter: ""
metric_list: [{metric: perplexity, aggregation: perplexity, higher_is_better: false}, {metric: acc}]
"""


async def test_the_last_word_is_right_if_it_is_the_greedy_one_and_perplexity_is_reported(
    bench: Bench, tmp_path: Path
) -> None:
    rows = [
        {"text": f"w5 w{n} w{ORIGINAL[n].argmax() if n % 2 else (ORIGINAL[n].argmax() + 1) % 48}"} for n in range(12)
    ]
    task = store_task(bench, tmp_path, LAMBADA, rows)
    baseline, candidate = await compare(bench, suite(task), FakeEngine(ORIGINAL), FakeEngine(CANDIDATE))
    assert row(baseline, "Accuracy", "last").successes == 6
    assert row(candidate, "AccuracyLoss", "last").pairs is not None
    assert "perplexity" in (bench.store.read(report_key("eval-1")) or b"").decode()


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({"doc_to_text": "{{question.__class__.__mro__}}"}, {}, "SecurityError"),
        ({"doc_to_text": "{{ cycler.__init__.__globals__.os.popen('id').read() }}"}, {}, "SecurityError"),
        ({"doc_to_text": "{{nowhere}}"}, {}, "'nowhere' is undefined"),
        ({"num_fewshot": 3}, {}, "shows 3 examples, and has none"),
        ({}, {"metric": "acc_bytes"}, "has no metric acc_bytes that could be judged"),
        ({}, {"filter": "strict"}, "has no filter strict that could be judged"),
    ],
)
async def test_a_task_that_cannot_be_run_is_refused_in_words(
    bench: Bench, tmp_path: Path, change: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    config = yaml.safe_dump({**yaml.safe_load(CHOICE), **change})
    task = store_task(bench, tmp_path, config, choice_rows(), **more)
    protocol = bench.protocol().model_copy(update={"suites": [suite(task)]})
    engine = FakeEngine(ORIGINAL)
    with pytest.raises(RefusalError, match=words) as refused:
        await bench.run(engine, bench.document(protocol))
    assert str(refused.value).startswith("suite tasks, task words")
    assert refused.value.refusal.action
    assert engine.completions <= 1, "nothing was asked but whether the engine is ready"


SHIPPED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "arc_easy": (
        {"question": "w1 w{n}?", "choices": {"text": ["w2", "w3 w4"], "label": ["A", "B"]}, "answerKey": "B"}, {},
    ),
    "hellaswag": (
        {"ctx_a": "w1 w{n}", "ctx_b": "w2", "activity_label": "w3", "endings": ["w5", "w6", "w7", "w9"], "label": "2"},
        {"metric": "acc_norm"},
    ),
    "boolq": ({"passage": "w1 w{n}", "question": "w2 w3", "label": 1}, {}),
    "winogrande": ({"sentence": "w{n} w2 _ w3 w4", "option1": "w5", "option2": "w6", "answer": "2"}, {}),
    "gsm8k": (
        {"question": "w{n} plus w1", "answer": "w1 #### 7"}, {"num_fewshot": 1, "filter": "flexible-extract"},
    ),
}  # fmt: skip


async def test_tasks_that_the_library_brings_are_run_on_rows_from_the_store(bench: Bench, tmp_path: Path) -> None:
    tasks = []
    for name, (fields, more) in SHIPPED.items():
        rows = [json.loads(json.dumps(fields).replace("{n}", str(n))) for n in range(10, 16)]
        files = {"dataset": make_dataset(bench.store, tmp_path, rows)}
        if "num_fewshot" in more:
            files["fewshot"] = make_dataset(bench.store, tmp_path, rows[:2])
        tasks.append({"name": name, **files, **more})

    def say(body: dict[str, Any]) -> Any:
        return "the answer is 7." if "messages" not in body else "I see."

    engines = FakeEngine(ORIGINAL, say=say), FakeEngine(CANDIDATE, say=say)
    baseline, candidate = await compare(bench, suite(*tasks), *engines)
    assert row(baseline, "Accuracy", "gsm8k").successes == 6
    for name in SHIPPED:
        assert row(candidate, "AccuracyLoss", name).count == 6
    assert row(candidate, "AccuracyLoss", "hellaswag").chance == "0.25"
    assert "Judged by acc_norm" in (bench.store.read(report_key("eval-1")) or b"").decode()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mmlu", "is no single task"),
        ("arc_simple", "brings no such task"),
        ("humaneval", "needs what Lowbit's image has not"),
        ("wikitext", "has only metrics without a number for each question"),
        ("agieval_lsat_ar", "has process_results"),
    ],
)
def test_a_task_of_the_library_that_needs_more_is_refused(name: str, words: str) -> None:
    with pytest.raises(RefusalError, match=words) as refused:
        shipped(name, f"suite tasks, task {name}")
    assert refused.value.refusal.action


async def test_the_tasks_of_the_example_are_run_as_they_are(bench: Bench, tmp_path: Path) -> None:
    data, tasks = EXAMPLES / "data", []
    for name in ("kinds", "sequences"):
        rows = [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()[:30]]
        tasks.append(store_task(bench, tmp_path, (data / f"{name}.yaml").read_text(), rows))

    def say(body: dict[str, Any]) -> Any:
        if "messages" in body:
            return "I see."
        first, second = body["prompt"][0][-2:]
        return f" {2 * second - first}, and so on"

    engine = FakeEngine(ORIGINAL, say=say)
    baseline, _ = await compare(bench, suite(*tasks), engine, FakeEngine(ORIGINAL, say=say))
    assert row(baseline, "Accuracy", "kinds").count == 30
    assert row(baseline, "Accuracy", "sequences").count == 30
    lines = [json.loads(line) for line in (bench.store.read(compared_key("eval-1")) or b"").splitlines()]
    (cat,) = (line for line in lines if 'word "cat"?' in line["prompt"])
    assert cat["prompt"].startswith("Each word names a kind of thing.")
    assert "Answer: flower" in cat["prompt"]
    assert cat["expected"] == "animal"
