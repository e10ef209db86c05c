"""Rows of a task: JSON objects with the fields that the task's templates name."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowbit.worker.data.datasets import Record, bad_line, distinct, read_lines
from lowbit.worker.refuse import RefusalError


@dataclass(frozen=True)
class Row:
    """One row."""

    fields: dict[str, Any]
    record: Record
    """All texts of the row, to be compared with other texts; equal for rows that differ in nothing."""


@dataclass(frozen=True)
class DrawnRows:
    """Rows by chance, no two of them equal, and what the file had besides."""

    rows: list[dict[str, Any]]
    lines: int
    """Of the file."""
    duplicates: int
    """Rows that are equal to another one."""


def read_rows(path: Path, what: str) -> list[Row]:
    """Every line of a JSONL file. Raises RefusalError with the number of the first line that is no object."""
    rows: list[Row] = []
    for number, line in enumerate(read_lines(path, what), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise bad_line(what, number, f"is not JSON ({error})", "write one JSON object per line") from error
        if not isinstance(value, dict):
            raise bad_line(what, number, "is no row with fields", 'write {"question": "...", "answer": "..."}, say')
        rows.append(Row(value, Record(number, text="\n".join(texts_of(value)))))
    if not rows:
        raise RefusalError("EmptyDataset", f"{what} has no lines", "write one JSON object per line")
    return rows


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value, and other values as JSON."""
    if isinstance(value, dict):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def draw_rows(path: Path, what: str, seed: str, count: int) -> DrawnRows:
    """At most count rows that differ, by a shuffle with the seed; each has every field that any row has."""
    rows = read_rows(path, what)
    by_line = {row.record.line: row.fields for row in rows}
    drawn = [by_line[record.line] for record in distinct([row.record for row in rows])]
    different = len(drawn)
    random.Random(seed).shuffle(drawn)  # noqa: S311
    return DrawnRows(whole(drawn[:count]), len(rows), len(rows) - different)


def whole(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with every field that any of them has: null where it has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
