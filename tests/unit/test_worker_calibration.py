"""Datasets and the calibration set: read strictly, drawn by weight, the same for the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.calibration import ResolvedCalibration, ResolvedDataset
from lowbit.data.calibration import draw, shares
from lowbit.worker.data.calibration import kept_texts, tokenize
from lowbit.worker.data.datasets import Record, read_dataset, usable
from lowbit.worker.refuse import RefusalError
from tests.unit import worker_inputs as inputs

CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


class FakeTokenizer:
    """One token per character; chats are written as role and content."""

    chat_template: str | None = "template"

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        ids = [ord(character) for character in text]
        return {"input_ids": ids if options.get("add_special_tokens") is False else [1, *ids]}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        if messages[0]["role"] == "tool":
            raise ValueError("the first message may not be from a tool")
        return "".join(f"<{message['role']}>{message['content']}" for message in messages)


def calibration(weights: dict[str, int], samples: int, seed: int = 42) -> ResolvedCalibration:
    datasets = [ResolvedDataset(name=name, digest="sha256:" + "a" * 64, weight=w) for name, w in weights.items()]
    return ResolvedCalibration(samples=samples, max_tokens=64, seed=seed, datasets=datasets)


def records(name: str, count: int) -> list[Record]:
    return [Record(line, text=f"{name} has a text with the number {line}") for line in range(1, count + 1)]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 1_000_000), min_size=1, max_size=32).filter(sum))
def test_the_shares_sum_to_the_samples_and_differ_from_the_weights_by_less_than_one(
    samples: int, weights: list[int]
) -> None:
    counts = shares(samples, weights)
    assert sum(counts) == samples
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - samples * weight / sum(weights)) < 1 + 1e-6
        assert weight or not count


def test_weights_that_sum_to_zero_are_refused() -> None:
    with pytest.raises(RefusalError) as error:
        shares(10, [0, 0])
    assert error.value.refusal.reason == "NoWeight"


def test_equal_seeds_draw_equal_samples_and_other_seeds_others() -> None:
    data = {"a": records("a", 50), "b": records("b", 50)}
    one = draw(calibration({"a": 3, "b": 1}, 20), data)
    assert draw(calibration({"a": 3, "b": 1}, 20), data) == one
    assert draw(calibration({"a": 3, "b": 1}, 20, seed=43), data) != one
    assert [name for name, _ in one].count("a") == 15
    assert len({(name, record.line) for name, record in one}) == 20


def test_the_draw_of_one_dataset_does_not_depend_on_the_others() -> None:
    alone = draw(calibration({"a": 1}, 10), {"a": records("a", 50)})
    both = draw(calibration({"a": 1, "b": 1}, 20), {"a": records("a", 50), "b": records("b", 50)})
    assert {r.line for _, r in alone} == {record.line for name, record in both if name == "a"}


def test_too_few_texts_are_refused_with_the_number_that_would_do() -> None:
    short = [Record(line, text="x" * 20) for line in range(100)]
    with pytest.raises(RefusalError) as error:
        draw(calibration({"a": 3, "b": 1}, 100), {"a": records("a", 30) + short, "b": records("b", 100)})
    refusal = error.value.refusal
    assert refusal.reason == "TooFewTexts"
    assert "a has 30 different texts" in refusal.message
    assert "at most 40" in refusal.action
    draw(calibration({"a": 3, "b": 1}, 40), {"a": records("a", 30), "b": records("b", 100)})


def test_texts_of_twenty_characters_are_dropped() -> None:
    assert usable([Record(1, text="x" * 20), Record(2, text="x" * 21)]) == [Record(2, text="x" * 21)]


def test_chats_go_through_the_template_texts_do_not_and_both_are_cut() -> None:
    chat = Record(1, messages=({"role": "user", "content": "hello"},))
    texts = kept_texts([("a", chat), ("a", Record(2, text="hello"))], FakeTokenizer(), {})
    ids = tokenize(texts, FakeTokenizer(), 5)
    assert ids == [[ord(c) for c in "<user"], [1, *(ord(c) for c in "hell")]]


def test_chats_for_a_model_without_template_are_refused() -> None:
    tokenizer = FakeTokenizer()
    tokenizer.chat_template = None
    with pytest.raises(RefusalError) as error:
        kept_texts([("a", Record(1, messages=(CHAT["messages"][0],)))], tokenizer, {})
    assert error.value.refusal.reason == "NoChatTemplate"


def test_a_chat_that_the_template_refuses_is_named_by_its_line() -> None:
    with pytest.raises(RefusalError) as error:
        kept_texts([("talk", Record(7, messages=({"role": "tool", "content": "x"},)))], FakeTokenizer(), {})
    assert "talk, line 7" in error.value.refusal.message


@pytest.mark.parametrize(
    ("lines", "format_", "kinds"),
    [
        ([{"text": "a"}, {"text": "b", "more": 1}], "Auto", "tt"),
        (["a", "b"], "Auto", "tt"),
        ([CHAT, CHAT], "Auto", "cc"),
        ([{"text": "a"} | CHAT], "Chat", "c"),
        ([{"text": "a"} | CHAT], "Text", "t"),
    ],
)
def test_texts_and_chats_are_told_from_the_first_lines_fields(
    tmp_path: Path, lines: list[Any], format_: Any, kinds: str
) -> None:
    found = read_dataset(inputs.write_lines(tmp_path / "d.jsonl", lines), format_, "dataset d")
    assert "".join("t" if record.messages is None else "c" for record in found) == kinds


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("{", "not JSON"),
        ('{"question": "x"}', "no text"),
        ('{"text": 1}', "no text"),
        ('{"messages": []}', "no list messages"),
        ("[1]", "no text"),
    ],
)
def test_a_line_that_is_no_text_is_refused_with_its_number(tmp_path: Path, second: str, words: str) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"text": "good"}) + f"\n{second}\n")
    with pytest.raises(RefusalError, match=words) as error:
        read_dataset(tmp_path / "d.jsonl", "Auto", "dataset d")
    assert "dataset d, line 2" in error.value.refusal.message


@pytest.mark.parametrize(
    "messages",
    [None, [], "hello", [1], [{"role": "user"}], [{"content": "x"}], [{"role": "user", "content": None}],
     [{"role": "user", "content": [{"type": "image"}]}], [{"role": 1, "content": "x"}],
     [{"role": "assistant", "content": None}], [{"role": "assistant", "content": None, "tool_calls": []}]],
)  # fmt: skip
def test_a_malformed_chat_is_refused_with_its_number(tmp_path: Path, messages: Any) -> None:
    path = inputs.write_lines(tmp_path / "d.jsonl", [CHAT, CHAT, {"messages": messages}])
    with pytest.raises(RefusalError) as error:
        read_dataset(path, "Auto", "dataset d")
    assert error.value.refusal.reason == "BadDataset"
    assert "line 3" in error.value.refusal.message


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b'{"question": "x"}\n'])
def test_a_file_that_is_no_dataset_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.jsonl").write_bytes(content)
    with pytest.raises(RefusalError) as error:
        read_dataset(tmp_path / "d.jsonl", "Auto", "dataset d")
    assert error.value.refusal.action


def test_line_separators_inside_a_text_do_not_split_it(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"text": "one\u2028line"}\r\n{"text": "two"}\n', encoding="utf-8")
    assert [record.text for record in read_dataset(tmp_path / "d.jsonl", "Auto", "d")] == ["one\u2028line", "two"]
