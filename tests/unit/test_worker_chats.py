"""Chats as people write them down are understood, or refused by their right name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowbit.worker.data.datasets import Record, read_dataset, read_lines
from lowbit.worker.data.tokens import token_ids
from lowbit.worker.refuse import RefusalError
from tests.unit import worker_inputs as inputs

CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
TURNS = [("user", "Hello there"), ("assistant", "Good morning")]


def read(tmp_path: Path, line: Any) -> Record:
    (record,) = read_dataset(inputs.write_lines(tmp_path / "d.jsonl", [line]), "Auto", "dataset d")
    return record


def said(record: Record) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in record.messages or ()]


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [{"role": role, "content": text} for role, text in TURNS]},
        {"conversations": [{"from": "human", "value": TURNS[0][1]}, {"from": "gpt", "value": TURNS[1][1]}]},
        {"instruction": "Hello there", "input": "", "output": "Good morning"},
        {"instruction": "Hello there", "output": "Good morning", "id": 7},
    ],
)
def test_the_same_chat_in_every_way_of_writing(tmp_path: Path, line: dict[str, Any]) -> None:
    record = read(tmp_path, line)
    assert said(record) == TURNS
    assert record.characters == len("Hello thereGood morning")


def test_an_input_follows_its_instruction(tmp_path: Path) -> None:
    record = read(tmp_path, {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"})
    assert said(record) == [("user", "Translate.\n\nGuten Tag"), ("assistant", "Good day")]


def test_a_call_of_a_tool_has_no_content_and_the_tools_reach_the_template(tmp_path: Path) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    messages = [{"role": "user", "content": "Is it raining?"}, called, {"role": "tool", "content": "yes"}]
    record = read(tmp_path, {"messages": messages, "tools": TOOLS})
    assert record.tools == TOOLS
    assert "weather" in record.plain, "what is called is a part of what is said"

    class Template:
        chat_template = "x"

        def apply_chat_template(self, messages: Any, **options: Any) -> str:
            assert options["tools"] == TOOLS
            return " ".join(message["content"] for message in messages)

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": list(range(len(text.split())))}

    assert token_ids("dataset d", record, Template()) == [0, 1, 2, 3]


def test_tools_may_be_written_as_json(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Is it raining?"}]
    assert read(tmp_path, {"messages": messages, "tools": json.dumps(TOOLS)}).tools == TOOLS
    assert read(tmp_path, {"messages": messages, "tools": []}).tools is None


def test_content_in_parts_is_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]
    assert read(tmp_path, {"messages": [{"role": "user", "content": parts}]}).plain == "Hello there"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"part that is no text \(image_url\)"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, "from 'narrator', which is no known role"),
        ({"conversations": []}, "no list messages"),
        ({"instruction": "Translate.", "output": ""}, "instruction without text"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": "{"}, "tools that are not JSON"),
        ({"query": "x", "completion": "y"}, r"found: completion, query"),
    ],
)
def test_what_is_no_chat_is_refused_by_its_right_name(tmp_path: Path, line: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        read(tmp_path, line)


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n{"text": "two"}\n', mtime=0))
    assert [record.text for record in read_dataset(tmp_path / "d.jsonl.gz", "Auto", "d")] == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "words"), [(b"PAR1\x15\x04", "is a Parquet file"), (gzip.compress(b"x" * 99, mtime=0)[:-9], "is damaged")]
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "d").write_bytes(data)
    with pytest.raises(RefusalError, match=words):
        read_dataset(tmp_path / "d", "Auto", "dataset d")


@pytest.mark.parametrize("text", ["", "\n", "a", "a\nb", "a\nb\n", "a\r\nb\u2028c\n\n", "\ufeffa\n"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_file_is_read_line_by_line(tmp_path: Path, text: str, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "d").write_bytes(compress(text.encode()))
    assert list(read_lines(tmp_path / "d", "d")) == text.removeprefix("\ufeff").split("\n")
