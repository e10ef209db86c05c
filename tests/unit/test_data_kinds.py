"""Which kind a file is taken for, the texts in it, and what is broken in it: counted and left out, never guessed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lowbit.api.refusal import RefusalError
from lowbit.data.files import is_data
from lowbit.data.reading import Asked, DataFile, ReadDataset, read_dataset, read_files, remove, stored
from lowbit.data.records import units
from tests.unit import worker_inputs as inputs

LONG = "a sentence that is long enough to count as a text"
THOUGHT = f"<think>\nFirst {LONG}.\n</think>\n\nSo yes."
SFT = {"instruction": f"Say it: {LONG}", "input": "", "output": THOUGHT}
CHAT = {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}]}
TURNS = {"conversations": [{"from": "human", "value": LONG}, {"from": "gpt", "value": "Yes."}]}
RL = {"prompt": f"What is {LONG}?", "answer": "42"}


def read(path: Path, *, name: str = "", **asked: Any) -> ReadDataset:
    return read_files([DataFile(path, name or path.name)], Asked(**asked), "dataset d", path.parent / "scratch")


def write(path: Path, rows: list[Any]) -> Path:
    """The rows as a file of the kind that the path's suffixes say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffixes = path.suffixes
    if suffixes[-1] == ".gz":
        plain = write(path.with_suffix(""), rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        return path
    if suffixes[-1] in (".parquet", ".arrow"):
        table = pa.Table.from_pylist(rows)
        if suffixes[-1] == ".parquet":
            pq.write_table(table, path)
            return path
        opened = pa.ipc.new_stream if ".stream" in suffixes else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, opened(sink, table.schema) as writer:
            writer.write_table(table)
        return path
    if suffixes[-1] == ".json":
        path.write_text(json.dumps({"version": 1, "data": rows} if ".nested" in suffixes else rows, indent=1))
    elif suffixes[-1] in (".csv", ".tsv"):
        tab = suffixes[-1] == ".tsv"
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        quoted = [[json.dumps(cell) if "\n" not in cell else f'"{cell}"' for cell in line] for line in cells]
        path.write_text("\n".join(("\t" if tab else ",").join(line) for line in quoted))
    elif suffixes[-1] == ".txt":
        path.write_text("\n".join(row["text"] for row in rows))
    else:
        inputs.write_lines(path, rows)
    return path


@pytest.mark.parametrize(
    ("rows", "kind", "why"),
    [
        ([{"text": LONG}], "Text", "field text"),
        ([LONG], "Text", "lines that are texts"),
        ([CHAT | {"tools": []}], "Chat", "field messages, tools"),
        ([TURNS], "ShareGPT", "field conversations"),
        ([{"messages": TURNS["conversations"]}], "ShareGPT", "field messages"),
        ([SFT], "SFT", "field instruction, input, output"),
        ([RL], "RL", "field prompt"),
    ],
)
def test_the_fields_tell_the_kind_whatever_the_file_is_called(
    tmp_path: Path, rows: list[Any], kind: str, why: str
) -> None:
    found = read(write(tmp_path / "rl_sft_article.jsonl", rows), use="calibration")
    assert [(file.told(), file.why) for file in found.files] == [(kind, why)]


@pytest.mark.parametrize(
    ("name", "row", "kind", "texts"),
    [
        ("my_sft_v2.jsonl", {"question": f"Q {LONG}", "answer": f"A {LONG}"}, "SFT", [f"Q {LONG}", f"A {LONG}"]),
        ("train-RL.jsonl", {"question": f"Q {LONG}", "answer": f"A {LONG}"}, "RL", [f"Q {LONG}"]),
        ("wiki.jsonl", {"title": "T", "content": LONG}, "Text", [LONG]),
    ],
)
def test_the_files_name_tells_the_kind_where_the_fields_do_not(
    tmp_path: Path, name: str, row: Any, kind: str, texts: list[str]
) -> None:
    found = read(write(tmp_path / name, [row]), use="calibration")
    assert found.files[0].told() == kind
    assert found.files[0].why.startswith("file name (")
    assert [record.text for record in found.records] == texts
    held_out = read(tmp_path / name)
    kept = stored(held_out, tmp_path / "kept.jsonl")
    assert read_dataset(kept, "Auto", "d") == held_out.records, "what the evaluator reads has no name that tells"


def test_what_neither_fields_nor_name_tell_is_refused_with_the_fields(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match=r"line 1: has no field text, .* \(found: answer, question\)"):
        read(write(tmp_path / "data.jsonl", [{"question": "x", "answer": "y"}]))


@pytest.mark.parametrize(("more", "prompt"), [("", "Say it"), ("the input", "Say it\nthe input"), (None, "Say it")])
def test_prompt_and_response_are_texts_of_their_own_with_the_reasoning_in_them(
    tmp_path: Path, more: str | None, prompt: str
) -> None:
    """An empty input drops nothing of the instruction."""
    row = {"instruction": "Say it", "input": more, "output": THOUGHT}
    found = read(write(tmp_path / "d.jsonl", [row]), use="calibration")
    assert [record.text for record in found.records] == [prompt, THOUGHT]


def test_an_evaluation_keeps_prompt_and_response_together_as_a_chat(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path / "d.jsonl", [SFT])).records
    assert [message["role"] for message in record.messages or ()] == ["user", "assistant"]


def test_short_texts_and_duplicates_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "x" * 20}, {"text": "x" * 21}, {"text": f"{LONG} "}, {"text": LONG}]
    (report,) = read(write(tmp_path / "d.jsonl", rows), use="calibration").files
    assert (report.lines, report.short, report.duplicates, report.broken) == (4, 1, 1, 0)


def test_broken_lines_are_counted_named_and_left_out_of_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    good = [json.dumps({"text": f"{LONG} {number}"}).encode() for number in range(6)]
    half = json.dumps({"text": "\ud83d half"}).encode()
    path.write_bytes(b"\n".join([good[0], b"{", good[1], b'{"text": "\xff"}', *good[2:4], half, b"", *good[4:], b"7"]))
    found = read(path, use="calibration")
    (report,) = found.files
    assert (report.lines, report.broken) == (10, 4)
    assert report.first_broken.startswith("line 2: is not JSON")
    assert "4 broken" in report.said()
    kept = stored(found, tmp_path / "kept.jsonl")
    assert [record.text for record in read_dataset(kept, "Auto", "d")] == [f"{LONG} {number}" for number in range(6)]


def test_a_file_that_is_mostly_broken_is_of_another_kind_and_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{"text": LONG}, CHAT, CHAT])
    with pytest.raises(RefusalError, match=r"line 2: has no text \(2 of 3 lines are broken\)"):
        read(path, format="Text")


def test_what_was_legal_before_is_stored_as_it_came(tmp_path: Path) -> None:
    """So that its digest, and with it the artifact's hash, are what they were."""
    cases: tuple[tuple[str, list[Any], Any], ...] = (
        ("t", [{"text": LONG}, {"text": "b"}], "Auto"), ("c", [CHAT, TURNS], "Auto"), ("s", [SFT], "Chat"),
        ("l", [LONG], "Text"),
    )  # fmt: skip
    for name, rows, format_ in cases:
        path = write(tmp_path / f"{name}.jsonl", rows)
        for use in ("calibration", "evaluation"):
            found = read(path, format=format_, use=use)
            assert stored(found, tmp_path / "kept.jsonl") == path
            assert read_dataset(path, format_, "d") == found.records


@pytest.mark.parametrize(
    "suffix",
    ["jsonl", "jsonl.gz", "json", "nested.json", "json.gz", "csv", "tsv", "csv.gz", "parquet", "arrow", "stream.arrow"],
)
@pytest.mark.parametrize("use", ["calibration", "evaluation"])
@pytest.mark.parametrize("row", [SFT, RL | {"group": "g"}, {"text": LONG, "label": "yes", "group": "7"}],
                         ids=["SFT", "RL", "Text"])  # fmt: skip
def test_every_format_gives_the_same_records_and_the_whole_row(
    tmp_path: Path, suffix: str, use: Any, row: dict[str, str]
) -> None:
    rows = [row, row | {next(iter(row)): f"another {LONG}"}]
    found = read(write(tmp_path / f"d.{suffix}", rows), use=use, all_columns=True)
    plain = read(write(tmp_path / "plain.jsonl", rows), use=use)
    assert found.records == plain.records
    kept = stored(found, tmp_path / "kept.jsonl")
    again = read_dataset(kept, "Auto", "d")
    assert [(each.text, each.messages) for each in again] == [(each.text, each.messages) for each in plain.records]
    if use == "evaluation":
        assert [dict(each.fields) for each in again] == rows
        assert [each.group for each in again] == [row.get("group")] * 2


def test_a_plain_text_is_a_text_a_line_and_the_parts_of_a_long_one_are_one_group(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(3000))
    found = read(write(tmp_path / "d.txt", [{"text": LONG}, {"text": long}, {"text": f"{LONG} again"}]))
    groups = [record.group for record in found.records]
    assert groups[0] is None and groups[-1] is None
    assert set(groups[1:-1]) == {"d.txt:2"}
    assert len(groups) > 4
    assert " ".join(str(record.text) for record in found.records[1:-1]) == long
    assert units(found.records) == 3


def test_a_csv_keeps_line_breaks_in_quotes_and_counts_rows_with_other_cells(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(f'text;label\n"{LONG};\n2";yes\n{LONG};a;b\n{LONG} x;no\n')
    found = read(tmp_path / "d.csv")
    assert [record.text for record in found.records] == [f"{LONG};\n2", f"{LONG} x"]
    assert [record.fields["label"] for record in found.records] == ["yes", "no"]
    assert found.files[0].first_broken == "line 2: has 3 cells, and the head has 2"


@pytest.mark.parametrize("use", ["calibration", "evaluation"])
@pytest.mark.parametrize(
    ("row", "column", "format_", "kind"),
    [
        ({"body": LONG, "text": "other"}, "body", "Auto", "Text"),
        ({"turns": CHAT["messages"], "text": "other"}, "turns", "Auto", "Chat"),
        ({"turns": json.dumps(TURNS["conversations"]), "messages": "x"}, "turns", "Auto", "ShareGPT"),
        ({"q": LONG, "text": "other"}, "q", "RL", "RL"),
    ],
)
def test_a_column_is_read_in_place_of_the_usual_fields(
    tmp_path: Path, row: Any, column: str, format_: Any, kind: str, use: Any
) -> None:
    found = read(write(tmp_path / "d.jsonl", [row]), column=column, format=format_, use=use)
    assert found.files[0].told() == kind
    kept = stored(found, tmp_path / "kept.jsonl")
    assert read_dataset(kept, format_, "d") == found.records
    with pytest.raises(RefusalError, match="has no column nothing"):
        read(write(tmp_path / "d.jsonl", [row]), column="nothing")


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("d.txt", f'"{LONG}" he said.\n{LONG} again\n', [f'"{LONG}" he said.', f"{LONG} again"]),
        ("d.txt", f'"{LONG}"\n"{LONG} again"\n', [LONG, f"{LONG} again"]),
        ("d.txt", json.dumps({"text": LONG}), [LONG]),
        ("d.csv", f'"text"\n"{LONG}"\n"{LONG} again"\n', [LONG, f"{LONG} again"]),
        ("d.csv", json.dumps({"text": LONG}), [LONG]),
        ("d.json", json.dumps({"text": LONG}) + "\n" + json.dumps({"text": "b"}), [LONG, "b"]),
        ("d.json", json.dumps({"text": [LONG, "b"], "label": [1, 2]}, indent=1), [LONG, "b"]),
    ],
)
def test_the_content_tells_the_format_before_the_suffix(
    tmp_path: Path, name: str, content: str, texts: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert [record.text for record in read(tmp_path / name).records] == texts


def test_other_names_of_fields_count_only_where_the_usual_ones_are_missing(tmp_path: Path) -> None:
    """What was legal before is read as before; a response beside an instruction is not dropped."""
    before = {"instruction": "Say it", "output": "It", "context": "none of it", "response": "nor this"}
    other = {"instruction": "Say it", "context": "this", "response": "It"}
    found = read(write(tmp_path / "d.jsonl", [before, other]), use="calibration")
    assert [record.text for record in found.records] == ["Say it", "It", "Say it\nthis", "It"]
    chat = {"instruction": "Say it", "output": "It", "dialog": "no list"}
    assert len(read(write(tmp_path / "c.jsonl", [chat]), format="Chat").records) == 1


def test_pictures_and_vectors_are_never_read(tmp_path: Path) -> None:
    row = {"question": LONG, "picture": {"bytes": b"\x89PNG", "path": "a.png"}, "vector": [0.5], "names": ["a"], "n": 1}
    (record,) = read(write(tmp_path / "rl.arrow", [row])).records
    assert dict(record.fields) == {"question": LONG, "names": ["a"], "n": 1, "prompt": LONG}


def test_a_damaged_arrow_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.arrow", [{"text": LONG}] * 100)
    data = bytearray(path.read_bytes())
    start = data.index(LONG.encode())
    for place in range(start - 400, start, 4):
        data[place + 3] |= 0x70
    path.write_bytes(bytes(data))
    with pytest.raises(RefusalError, match="damaged Arrow file"):
        read(path)


def test_a_folder_is_one_dataset_whose_files_may_be_of_several_kinds(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"a.jsonl": [{"text": LONG}], "b/sft.csv": [SFT], "chat.parquet": [CHAT]}
    files = [DataFile(write(tmp_path / name, each), name) for name, each in rows.items()]
    found = read_files(files, Asked(use="calibration"), "dataset d", tmp_path / "scratch")
    assert [file.told() for file in found.files] == ["Text", "SFT", "Chat"]
    kept = read_dataset(stored(found, tmp_path / "kept.jsonl"), "Auto", "d")
    assert [(each.text, each.messages) for each in kept] == [(each.text, each.messages) for each in found.records]
    assert [each.fields["file"] for each in kept] == ["a.jsonl", "b/sft.csv", "b/sft.csv", "chat.parquet"]
    remove(found, [("b/sft.csv", 1)])
    assert [record.file for record in found.records] == ["a.jsonl", "chat.parquet"]


@pytest.mark.parametrize("name", ["a.jsonl", "x/b.parquet", "c.json.gz", "d.TXT", "data.v2.csv"])
def test_data_files_are_told_from_others_by_their_names(name: str) -> None:
    assert is_data(name)
    for other in ("README.md", "readme.txt", "LICENSE.txt", "x/dataset_info.json", "state.json", "load.py", "a.zip"):
        assert not is_data(other)
