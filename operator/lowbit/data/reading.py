"""Reads a dataset: its files, what each was taken for, the records in them, and the file that the store keeps of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lowbit.api.calibration import DatasetFormat
from lowbit.api.refusal import RefusalError
from lowbit.data.files import PARQUET, Broken, Row, begins, format_of, json_lines, read_lines, rows
from lowbit.data.kinds import Kind, NoRecordError, Told, Use, by_fields, column_of, records_of, told
from lowbit.data.records import Record, long_enough
from lowbit.data.tables import CONVERT_PARQUET, Wanted, as_lines, is_table

MOST_BROKEN = 0.5
"""A file with a larger share of broken lines is not of the kind that it was taken for."""


@dataclass(frozen=True)
class DataFile:
    """A local file of a dataset."""

    path: Path
    name: str
    """Path in the dataset, which may tell its kind."""


@dataclass(frozen=True)
class Asked:
    """How a dataset is read."""

    format: DatasetFormat = "Auto"
    column: str | None = None
    use: Use = "evaluation"
    all_columns: bool = False
    """Of a table, read all columns: somebody asks for a record's other fields."""
    stored: bool = False
    """It is what prepare wrote: records of SFT and RL are texts and chats there."""

    @property
    def may_differ(self) -> bool:
        """Whether a line may be of another kind than the first one."""
        return self.format == "Auto" or (self.stored and self.format in ("SFT", "RL"))


@dataclass
class FileReport:
    """What a file was taken for, and what was found in it."""

    file: str
    kinds: Counter[Kind] = field(default_factory=Counter)
    """Lines by kind."""
    why: str = ""
    """What told the kind of the first line."""
    lines: int = 0
    """Lines or rows that are not empty."""
    broken: int = 0
    first: tuple[int, NoRecordError] | None = None
    """Number of the first broken line, and what is wrong with it."""
    short: int = 0
    """Texts of 20 characters or fewer; prompt and response of an SFT record count by themselves."""
    duplicates: int = 0
    """Texts that are equal to an earlier one of the dataset."""
    removed: int = 0
    """Lines that were left out, because they are evaluated on."""

    @property
    def first_broken(self) -> str:
        """line 3: is not JSON (...)"""
        return f"line {self.first[0]}: {self.first[1].problem}" if self.first else ""

    @property
    def share(self) -> str:
        """How many lines are broken, in a message about one of them."""
        return f" ({self.broken} of {self.lines} lines are broken)" if self.lines > 1 else ""

    def add_broken(self, number: int, error: NoRecordError) -> None:
        """Count a broken line."""
        self.broken += 1
        self.first = self.first or (number, error)

    def row(self) -> dict[str, Any]:
        """As it is kept in the store."""
        return {
            "file": self.file, "kinds": dict(self.kinds.most_common()), "why": self.why, "lines": self.lines,
            "broken": self.broken, "firstBroken": self.first_broken, "short": self.short,
            "duplicates": self.duplicates, "removed": self.removed,
        }  # fmt: skip

    def said(self) -> str:
        """The report in a line."""
        counts = ((self.broken, "broken"), (self.short, "short"), (self.duplicates, "duplicates"),
                  (self.removed, "evaluated on"))  # fmt: skip
        more = ", ".join(f"{count} {what}" for count, what in counts if count)
        broken = f"; the first broken one: {self.first_broken}" if self.first else ""
        return f"{self.file} taken for {self.told()} ({self.why}): {self.lines} lines{', ' * bool(more)}{more}{broken}"

    def told(self) -> str:
        """What it was taken for, in words: SFT, or SFT (90) and RL (10)."""
        counted = self.kinds.most_common()
        return counted[0][0] if len(counted) == 1 else " and ".join(f"{kind} ({count})" for kind, count in counted)


@dataclass
class ReadDataset:
    """A dataset that was read."""

    records: list[Record]
    files: list[FileReport]
    path: Path | None
    """The one file of JSON lines that later stages can read as it came; None if its records have to be written."""
    use: Use = "evaluation"
    left_out: set[tuple[str, int]] = field(default_factory=set)
    """File and line of what is broken, or was removed."""

    @property
    def broken(self) -> int:
        """Lines that are no records."""
        return sum(file.broken for file in self.files)


class Teller:
    """Tells the kind of each line of a file: that of the first line, unless a line's own fields say otherwise."""

    def __init__(self, asked: Asked, file: str) -> None:
        self.asked, self.file = asked, file
        self.first: Told | None = None
        if asked.format != "Auto":
            self.first = Told(asked.format, f"format {asked.format}", by_fields=True)

    def records(self, value: Any, line: int) -> tuple[Told, list[Record]]:
        """What a line was taken for, and its records. Raises NoRecordError."""
        if self.asked.column is not None:
            value = column_of(value, self.asked.column, self.asked.format)
        found = self.first or told(value, self.file)
        if self.asked.column is not None and self.asked.format == "Auto":
            found = Told(found.kind, f"column {self.asked.column}", by_fields=False)
        try:
            records = records_of(value, found.kind, line, self.asked.use)
        except NoRecordError:
            other = by_fields(value) if self.asked.may_differ else None
            if other is None or other.kind == found.kind:
                raise
            return other, records_of(value, other.kind, line, self.asked.use)
        self.first = self.first or found
        return found, records


def read_dataset(path: Path, format_: DatasetFormat, what: str) -> list[Record]:
    """Every line of a file of JSON lines, as prepare stored it.

    Raises RefusalError with the number of the first line that cannot be used.
    """
    if begins(path, PARQUET):
        raise RefusalError("BadDataset", f"{what} is a Parquet file, which only prepare reads", CONVERT_PARQUET)
    teller = Teller(Asked(format_, stored=True), "")
    records: list[Record] = []
    for row in json_lines(path, what):
        if isinstance(row.value, Broken):
            raise bad_line(what, row.number, row.value.problem, row.value.action)
        try:
            records += teller.records(row.value, row.number)[1]
        except NoRecordError as error:
            raise bad_line(what, row.number, error.problem, error.action) from error
    if not records:
        raise empty(what)
    return records


def read_files(files: Sequence[DataFile], asked: Asked, what: str, scratch: Path) -> ReadDataset:
    """Every record of a dataset's files. Broken lines are counted and left out.

    scratch: a folder for the rows of tables. Raises RefusalError if a file cannot be read, or is not of its kind.
    """
    found = ReadDataset([], [], None, asked.use)
    for number, given in enumerate(files):
        file, one = given, f"{what}, file {given.name}" if len(files) > 1 else what
        if is_table(file.path):
            wanted = Wanted(asked.format, asked.column, asked.all_columns, asked.use == "evaluation")
            file = DataFile(as_lines(file.path, scratch / f"table-{number}.jsonl", one, wanted), file.name)
        report, plain = read_one(file, asked, found, one)
        found.files.append(report)
        found.path = file.path if plain and len(files) == 1 else None
    if not found.records:
        raise empty(what)
    count_duplicates(found)
    return found


def read_one(file: DataFile, asked: Asked, found: ReadDataset, what: str) -> tuple[FileReport, bool]:
    """Add a file's records. Returns its report, and whether later stages can read the file as it came."""
    report, teller = FileReport(file.name), Teller(asked, file.name)
    form = format_of(file.path, file.name, what)
    plain = asked.column is None and form == "lines"
    for row in rows(file.path, file.name, what):
        report.lines += 1
        try:
            taken, records = teller.records(good(row), row.number)
        except NoRecordError as error:
            report.add_broken(row.number, error)
            found.left_out.add((file.name, row.number))
            continue
        report.kinds[taken.kind] += 1
        report.why = report.why or ("a plain text" if form == "text" else taken.why)
        plain = plain and taken.by_fields and (asked.use == "evaluation" or taken.kind not in ("SFT", "RL"))
        report.short += sum(not long_enough(record) for record in records)
        # A calibration text has no use for what stood beside it, and there may be millions.
        kept: dict[str, Any] = {"fields": {}} if asked.use == "calibration" else {}
        found.records += [replace(record, file=file.name, **kept) for record in records]
    if report.first is not None and report.broken > MOST_BROKEN * report.lines:
        number, first = report.first
        raise bad_line(what, number, f"{first.problem}{report.share}", first.action)
    return report, plain


def good(row: Row) -> Any:
    """The value of a row. Raises NoRecordError if it is broken."""
    if isinstance(row.value, Broken):
        raise NoRecordError(row.value.problem, row.value.action)
    return row.value


def count_duplicates(read: ReadDataset) -> None:
    """Count texts that are equal to an earlier one, in the report of their file."""
    reports = {report.file: report for report in read.files}
    seen: set[str] = set()
    for record in filter(long_enough, read.records):
        reports[record.file].duplicates += record.key in seen
        seen.add(record.key)


def remove(read: ReadDataset, lines: Iterable[tuple[str, int]]) -> None:
    """Leave out lines, each by its file and number, with all records in them."""
    gone = set(lines)
    read.records = [record for record in read.records if (record.file, record.line) not in gone]
    read.left_out |= gone
    for report in read.files:
        report.removed += sum(file == report.file for file, _ in gone)


def stored(read: ReadDataset, target: Path) -> Path:
    """The file of JSON lines that the store keeps: the dataset's own, or one that is written to target."""
    if read.path is not None and not read.left_out:
        return read.path
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = iter(lines_of(read))
    with target.open("w", encoding="utf-8") as file:
        file.write(next(lines, ""))
        file.writelines(f"\n{line}" for line in lines)
    return target


def lines_of(read: ReadDataset) -> Iterator[str]:
    """The lines of the stored file: those of the one file without what is left out, or one for each record."""
    if read.path is None:
        yield from (json.dumps(as_kept(record, read), ensure_ascii=False) for record in read.records)
        return
    gone = {line for _, line in read.left_out}
    lines = enumerate(read_lines(read.path, read.path.name, strict=False), start=1)
    yield from (line for number, line in lines if number not in gone)


def as_kept(record: Record, read: ReadDataset) -> Mapping[str, Any]:
    """A record as one line. An evaluation keeps the whole object: an expected answer may stand in any field."""
    if read.use == "evaluation":
        return record.fields
    said: dict[str, Any] = {"text": record.text} if record.messages is None else {"messages": list(record.messages)}
    said |= {"tools": record.tools} if record.tools else {}
    return said | ({"file": record.file} if len(read.files) > 1 else {})


def bad_line(what: str, line: int, problem: str, action: str) -> RefusalError:
    """The refusal of one line."""
    return RefusalError("BadDataset", f"{what}, line {line}: {problem}", action)


def empty(what: str) -> RefusalError:
    """The refusal of a dataset without records."""
    return RefusalError("EmptyDataset", f"{what} has no lines", "write one JSON value per line")
