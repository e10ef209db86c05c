"""Parquet files as datasets: the same records as the same rows in JSON lines, read a part at a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lowbit.data import tables as parquet
from lowbit.data.reading import Asked, DataFile, read_dataset, read_files
from lowbit.data.records import Record
from lowbit.data.tables import is_table
from lowbit.worker.data.prepared import prepare_datasets
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "today's"}}]
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ROWS: dict[str, list[dict[str, Any]]] = {
    "texts": [{"text": "one\nline"}, {"text": "zwei – drei"}],
    "messages": [
        {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."}]},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]},
    ],
    "messages with tools": [
        {
            "messages": [
                {"role": "user", "content": "Rain?"},
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "content": "no", "tool_call_id": "1"},
            ],
            "tools": TOOLS,
        }
    ],
    "tools as JSON": [{"messages": [{"role": "user", "content": "Rain?"}], "tools": json.dumps(TOOLS)}],
    "content in parts": [{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}],
    "ShareGPT": [{"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hi."}]}],
    "instruction": [
        {"instruction": "Translate.", "input": "Hallo", "output": "Hello"},
        {"instruction": "Say hello.", "output": "Hello"},
    ],
    "instruction, and others' names of what belongs to it": [
        {"instruction": "Translate.", "context": "Hallo", "response": "Hello"}
    ],
    "prompt, and a field that a chat may have": [{"prompt": "Rain?", "tools": TOOLS}],
}


def write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    """A Parquet file of these rows; a column that nobody asks for is beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([{**row, "embedding": [0.5] * 8, "raw": b"\xff"} for row in rows])
    pq.write_table(table, path, **options)
    return path


def read(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> list[Record]:
    path = parquet.as_lines(write(tmp_path / "d.parquet", rows, **options), tmp_path / "scratch" / "d", "dataset d")
    return read_dataset(path, "Auto", "dataset d")


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("options", [{}, {"row_group_size": 1, "compression": "zstd"}], ids=["whole", "row groups"])
def test_rows_are_the_records_that_json_lines_are(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    lines = inputs.write_lines(tmp_path / "d.jsonl", ROWS[name])
    assert read(tmp_path, ROWS[name], **options) == read_dataset(lines, "Auto", "dataset d")


@pytest.mark.parametrize("format_", ["Text", "Chat"])
def test_the_column_of_the_format_is_read_under_another_name_too(tmp_path: Path, format_: str) -> None:
    """A column of another kind stands beside it."""
    row = {"content": "one", "tools": TOOLS} if format_ == "Text" else {"chat": ROWS["messages"][0]["messages"]}
    path = write(tmp_path / "d.parquet", [row | {"input": "x"}])
    found = read_files([DataFile(path, "d.parquet")], Asked(format_), "dataset d", tmp_path)  # type: ignore[arg-type]
    assert [record.plain for record in found.records] == ["one" if format_ == "Text" else "Hello? Hi."]


def test_only_the_columns_of_texts_and_chats_are_read_and_never_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    whole = pq.ParquetFile.iter_batches

    def iter_batches(self: Any, **options: Any) -> Any:
        for batch in whole(self, **options):
            asked.append(options | {"rows": batch.num_rows})
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    records = read(tmp_path, [{"text": f"text {number}"} for number in range(3000)], row_group_size=1500)
    assert [record.line for record in records] == list(range(1, 3001))
    assert {tuple(each["columns"]) for each in asked} == {("text",)}
    assert max(each["rows"] for each in asked) <= parquet.ROWS_AT_ONCE


def test_the_group_of_an_evaluation_text_is_read_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"text": "one", "group": "a", "more": "x"}])
    for use, group in (("evaluation", "a"), ("calibration", None)):
        found = read_files([DataFile(path, "d.parquet")], Asked(use=use), "dataset d", tmp_path / use)  # type: ignore[arg-type]
        assert [record.group for record in found.records] == [group]
        assert "more" not in found.records[0].fields, "nobody asks for it"


def test_a_row_that_cannot_be_used_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="dataset d, line 2: has no text"):
        read(tmp_path, [{"text": "one"}, {"text": None}])


def test_other_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match=r"no field text, .*found: title"):
        read(tmp_path, [{"title": "x"}])
    with pytest.raises(RefusalError, match=r"none of the columns text, .*found: embedding, raw"):
        read(tmp_path, [{}])


def test_a_damaged_file_is_called_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", ROWS["texts"])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RefusalError, match="dataset d is a damaged Parquet file"):
        parquet.as_lines(path, tmp_path / "d", "dataset d")


def test_an_image_without_pyarrow_says_how_to_convert_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "d.parquet", ROWS["texts"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RefusalError) as refused:
        parquet.as_lines(path, tmp_path / "d", "dataset d")
    assert "dataset d is a Parquet file" in refused.value.refusal.message
    assert "lines=True" in refused.value.refusal.action


def test_prepare_stores_the_lines_of_a_parquet_file(tmp_path: Path) -> None:
    """So that quantize and evaluate read it as any other dataset, and equal content has one digest."""
    mounts, store = inputs.write_places(tmp_path), PVCStore(tmp_path / "store")
    digests = prepare_datasets(inputs.spec(), store, mounts).digests
    for file in sorted(mounts.volumes.rglob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        write(file, [row if isinstance(row, dict) else {"text": row} for row in rows])
    made = prepare_datasets(inputs.spec(), store, mounts).digests
    assert made.keys() == digests.keys()
    for key in made:
        before, after = (read_dataset(store.dataset(each[key]), "Auto", key) for each in (digests, made))
        assert before == after
        assert not is_table(store.dataset(made[key]))
