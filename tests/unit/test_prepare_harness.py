"""prepare puts the files of lm-evaluation-harness's tasks into the store, and checks them before a GPU is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lowbit.api.evaluation import data_of
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.resolve.freeze import freeze
from lowbit.worker.data.datasets import Mounts
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs
from tests.unit.test_worker_prepare import refusal, run


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return inputs.write_places(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> PVCStore:
    return PVCStore(tmp_path / "store")


ROWS: list[Any] = [
    {"question": f"Which word follows number {n}?", "choices": ["one", "two"], "answer": 1} for n in range(300)
]
YAML = """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: choices
"""


def harness(mounts: Mounts, rows: list[Any], config: str = YAML, **more: Any) -> QuantizedModelSpec:
    """A suite with a task of one's own and one that lm-evaluation-harness brings."""
    inputs.write_lines(mounts.config_maps / "texts" / "rows.jsonl", rows)
    (mounts.config_maps / "texts" / "task.yaml").write_text(config)
    own, shots = ({"configMap": {"name": "texts", "key": key}} for key in ("rows.jsonl", "holdout.jsonl"))
    tasks = [
        {"name": "words", "config": {"configMap": {"name": "texts", "key": "task.yaml"}}, "dataset": own, **more},
        {"name": "arc_easy", "dataset": own, "fewshot": shots, "numFewshot": 5},
    ]
    gate = {"nonInferiority": [{"metric": "Accuracy", "margin": "0.05"}]}
    return inputs.spec(evaluation={"suites": [{"name": "tasks", "harness": {"tasks": tasks}, "gate": gate}]})


def test_the_files_of_a_task_are_in_the_store_and_frozen(store: PVCStore, mounts: Mounts) -> None:
    body = harness(mounts, ROWS)
    result = run(store, mounts, body)
    files = ("words/config", "words/dataset", "arc_easy/dataset", "arc_easy/fewshot")
    names = {f"evaluation/tasks/{name}" for name in files}
    assert set(result.datasets) == {"calibration/talk", *names}
    (suite,) = freeze("small", body, Platform(), result)[0].protocol.suites
    assert dict(data_of(suite)) == {name: result.datasets[name] for name in names}
    config = json.loads(store.dataset(result.datasets["evaluation/tasks/words/config"]).read_text())
    assert config["doc_to_text"] == "{{question}}"
    assert suite.wire()["harness"]["tasks"][1]["numFewshot"] == 5  # type: ignore[index]


def test_each_task_needs_as_many_rows_as_the_gate(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(store, mounts, harness(mounts, ROWS[:20] * 20))
    assert found.reason == "TooFewTexts"
    assert "suite tasks/words/dataset has 20 different texts" in found.message


def test_a_task_that_runs_code_is_refused_before_a_gpu_is_asked_for(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(store, mounts, harness(mounts, ROWS, YAML + "process_docs: !function utils.f\n"))
    assert found.reason == "BadTask"
    assert "task tasks/words/config: runs code (!function utils.f)" in found.message


def test_rows_that_the_quantizer_is_calibrated_on_are_refused(store: PVCStore, mounts: Mounts) -> None:
    seen = inputs.texts(0, 10)[3]["text"]
    found = refusal(store, mounts, harness(mounts, [*ROWS, {"question": seen, "choices": [], "answer": ""}]))
    assert found.reason == "DataOverlap"
    assert "line 301 of the evaluation data of suite tasks/words/dataset" in found.message


def test_examples_that_prompts_show_may_be_calibrated_on(store: PVCStore, mounts: Mounts) -> None:
    inputs.write_lines(mounts.config_maps / "texts" / "holdout.jsonl", inputs.texts(0, 10))
    assert run(store, mounts, harness(mounts, ROWS)).datasets


def test_a_parquet_file_of_rows_keeps_every_column(store: PVCStore, mounts: Mounts) -> None:
    body = harness(mounts, ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), mounts.config_maps / "texts" / "rows.jsonl")
    stored = store.dataset(run(store, mounts, body).datasets["evaluation/tasks/words/dataset"]).read_text()
    assert [json.loads(line) for line in stored.splitlines()] == ROWS


def test_a_row_that_is_no_object_is_refused_with_its_line(store: PVCStore, mounts: Mounts) -> None:
    found = refusal(store, mounts, harness(mounts, [*ROWS, "a text"]))
    assert "evaluation dataset tasks/words/dataset, line 301: is no row with fields" in found.message
