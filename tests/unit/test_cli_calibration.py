"""`lowbit calibration`: what files are taken for and what would be drawn, without a cluster."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from lowbit.cli.main import main
from tests.unit import worker_inputs as inputs


def lowbit(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["calibration", *words], out), out.getvalue()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    inputs.write_lines(tmp_path / "articles.jsonl", [*inputs.texts(0, 30), {"text": "short"}, *inputs.texts(0, 2)])
    prompts = [{"prompt": f"What is the number that follows {n}?"} for n in range(30)]
    (tmp_path / "prompts.jsonl").write_text("{\n" + "".join(json.dumps(each) + "\n" for each in prompts))
    return tmp_path


def test_it_says_what_each_file_is_taken_for_why_and_what_is_wrong_in_it(files: Path) -> None:
    code, out = lowbit("articles.jsonl", "prompts.jsonl", "--samples", "10")
    assert code == 0
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")]
        for line in out.splitlines()
        if "│" in line
    }
    assert rows["articles"][2:-1] == ["articles.jsonl", "Text", "field text", "33", "0", "1", "2", "5"]
    assert rows["prompts"][2:-1] == ["prompts.jsonl", "RL", "field prompt", "31", "1", "0", "0", "5"]
    assert "prompts.jsonl: 1 broken lines are left out. The first one: line 1: is not JSON" in out


def test_the_set_is_written_as_text_source_and_file_and_is_the_same_for_the_same_seed(files: Path) -> None:
    def written(seed: str) -> list[dict[str, str]]:
        words = ("articles.jsonl", "prompts.jsonl", "--samples", "20", "--seed", seed, "--output", "set.jsonl")
        assert lowbit(*words)[0] == 0
        return [json.loads(line) for line in (files / "set.jsonl").read_text().splitlines()]

    one = written("42")
    assert [set(row) for row in one] == [{"text", "source", "file"}] * 20
    assert one == written("42") != written("43")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("articles.jsonl",), 1, "at most 30"),
        (("articles.jsonl", "--samples", "0"), 1, "--samples"),
        (("articles.jsonl", "prompts.jsonl", "--weight", "1"), 1, "once for each file"),
        (("articles.jsonl", "--weight", "nan"), 1, "once for each file"),
        (("articles.jsonl", "--weight", "0"), 1, "weights of the calibration datasets sum to zero"),
        (("articles.jsonl", "articles.jsonl"), 1, "one=FILE other=FILE"),
        (("articles.jsonl", "--format", "Chat"), 1, "has no list messages"),
        (("articles.jsonl", "--column", "body"), 1, "has no column body"),
        (("nothing.jsonl",), 2, "nothing.jsonl cannot be read"),
        (("articles.jsonl", "--samples", "5", "--output", "none/set.jsonl"), 2, "none/set.jsonl: No such file"),
    ],
)
def test_what_cannot_be_drawn_is_said_with_what_to_do(
    files: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    found = lowbit(*words)
    assert found[0] == code
    assert said in " ".join(found[1].split())
