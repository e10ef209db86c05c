"""Rows of a task: JSON objects with the fields that the task's templates name."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowbit.data.files import Broken, Row, format_of, json_lines, rows
from lowbit.data.kinds import NoRecordError, group_of
from lowbit.data.reading import DataFile, bad_line, empty
from lowbit.data.records import Record, distinct
from lowbit.data.tables import Wanted, as_lines, is_table


@dataclass(frozen=True)
class DrawnRows:
    """Rows by chance, no two of them equal, and what the file had besides."""

    rows: list[dict[str, Any]]
    lines: int
    """Of the file."""
    duplicates: int
    """Rows that are equal to another one."""


def write_rows(file: DataFile, target: Path, what: str) -> Path:
    """The rows as JSON lines: the file itself if that is what it is, or else target. Raises RefusalError."""
    if is_table(file.path):
        return as_lines(file.path, target, what, Wanted(all=True))
    if format_of(file.path, file.name, what) == "lines":
        return file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as written:
        written.writelines(
            json.dumps(whole_row(row, what), ensure_ascii=False) + "\n" for row in rows(file.path, file.name, what)
        )
    return target


def read_rows(path: Path, what: str) -> list[Record]:
    """Every line of a file of JSON lines, with its fields. Raises RefusalError with the number of the first broken one.

    The text of a record is all texts of its row, to be compared with others; equal for rows that differ in nothing.
    """
    found: list[Record] = []
    for row in json_lines(path, what):
        fields = whole_row(row, what)
        text = "\n".join(texts_of(fields))
        found.append(Record(row.number, text=text, group=group_in(fields, row.number, what), fields=fields))
    if not found:
        raise empty(what)
    return found


def whole_row(row: Row, what: str) -> dict[str, Any]:
    """The fields of a row. Raises RefusalError."""
    if isinstance(row.value, Broken):
        raise bad_line(what, row.number, row.value.problem, row.value.action)
    if not isinstance(row.value, dict):
        raise bad_line(what, row.number, "is no row with fields", 'write {"question": "...", "answer": "..."}, say')
    return row.value


def group_in(fields: dict[str, Any], number: int, what: str) -> str | None:
    """The row's group. Raises RefusalError."""
    try:
        return group_of(fields, "evaluation")
    except NoRecordError as error:
        raise bad_line(what, number, error.problem, error.action) from error


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
    records = read_rows(path, what)
    drawn = [dict(record.fields) for record in distinct(records)]
    different = len(drawn)
    random.Random(seed).shuffle(drawn)  # noqa: S311
    return DrawnRows(whole(drawn[:count]), len(records), len(records) - different)


def whole(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with every field that any of them has: null where it has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
