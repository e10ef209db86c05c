"""A calibration set at the desk: what each file is taken for, and the texts that would be drawn from it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory

from lowbit.api.calibration import DatasetFormat, ResolvedCalibration, ResolvedDataset
from lowbit.api.refusal import RefusalError
from lowbit.data.calibration import draw
from lowbit.data.chats import words_of
from lowbit.data.files import is_data
from lowbit.data.reading import Asked, DataFile, ReadDataset, read_files, stored
from lowbit.data.records import Record

MOST_PLACES = 18
"""Decimal places of a weight that count."""


@dataclass(frozen=True)
class Wanted:
    """What the command was asked for."""

    files: Sequence[str]
    """Each FILE, FOLDER or NAME=FILE."""
    weights: Sequence[str]
    """As many as files, or none: equal shares."""
    samples: int
    seed: int
    format: DatasetFormat = "Auto"
    column: str | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    dataset: str
    file: str
    kind: str
    why: str
    lines: int
    broken: int
    short: int
    duplicates: int
    drawn: int


@dataclass(frozen=True)
class CalibrationReport:
    """Everything that `lowbit calibration` prints."""

    rows: Sequence[Row]
    notes: Sequence[str]
    drawn: Sequence[tuple[str, Record]]
    """Dataset and record, in the order in which the quantizer reads them."""
    problem: RefusalError | None = None
    """Why nothing was drawn."""

    def texts(self) -> list[dict[str, str]]:
        """The drawn texts, each with its dataset and file. A chat is written turn by turn."""
        return [{"text": text_of(record), "source": name, "file": record.file} for name, record in self.drawn]

    def write(self, path: Path) -> None:
        """Write the texts as JSON lines."""
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.texts()), encoding="utf-8")


def look(wanted: Wanted) -> CalibrationReport:
    """Read the files and draw. Raises RefusalError if a file cannot be used, and OSError if it cannot be read."""
    if wanted.samples < 1:
        raise RefusalError("NoSamples", f"{wanted.samples} samples are none", "write --samples with a number from 1 up")
    weights = whole_weights(wanted.weights, len(wanted.files))
    read: dict[str, ReadDataset] = {}
    datasets = []
    with TemporaryDirectory(prefix="lowbit-") as scratch:
        for number, (file, weight) in enumerate(zip(wanted.files, weights, strict=True)):
            folder = Path(scratch) / str(number)
            name, files = files_of(file)
            if name in read:
                raise RefusalError(
                    "SameName", f"two datasets have the name {name}", "name them apart: one=FILE other=FILE"
                )
            asked = Asked(wanted.format, wanted.column, "calibration")
            read[name] = read_files(files, asked, f"dataset {name}", folder)
            with stored(read[name], folder / "stored.jsonl").open("rb") as content:
                digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
            datasets.append(ResolvedDataset(name=name, digest=digest, weight=weight))
    calibration = ResolvedCalibration(samples=wanted.samples, max_tokens=1, seed=wanted.seed, datasets=datasets)
    problem, drawn = None, list[tuple[str, Record]]()
    try:
        drawn = draw(calibration, {name: each.records for name, each in read.items()})
    except RefusalError as error:
        problem = error
    return CalibrationReport(rows(read, drawn), notes(read), drawn, problem)


def rows(read: dict[str, ReadDataset], drawn: Sequence[tuple[str, Record]]) -> list[Row]:
    """One line for each file."""
    counted = Counter((name, record.file) for name, record in drawn)
    return [
        Row(name, file.file, file.told(), file.why, file.lines, file.broken, file.short, file.duplicates,
            counted[name, file.file])
        for name, each in read.items()
        for file in each.files
    ]  # fmt: skip


def notes(read: dict[str, ReadDataset]) -> list[str]:
    """What a table has no room for."""
    found = [
        f"{file.file}: {file.broken} broken lines are left out. The first one: {file.first_broken}"
        for each in read.values()
        for file in each.files
        if file.broken
    ]
    if any(record.messages is not None for each in read.values() for record in each.records):
        found.append("Chats are shown turn by turn; the quantizer reads them by the model's chat template.")
    return found


def whole_weights(weights: Sequence[str], count: int) -> list[int]:
    """The weights as whole numbers, in the same proportion; equal ones if none is given. Raises RefusalError."""
    if not weights:
        return [1] * count
    try:
        numbers = [Decimal(weight) for weight in weights]
    except InvalidOperation:
        numbers = []
    if len(numbers) != count or any(not number.is_finite() or number < 0 for number in numbers):
        raise RefusalError(
            "BadWeight",
            f"{count} files have the weights {', '.join(weights)}",
            "write --weight with a number from 0 up once for each file, in the order of the files",
        )
    places = min(MOST_PLACES, max(0, *(-int(number.as_tuple().exponent) for number in numbers)))
    return [int(number.scaleb(places)) for number in numbers]


def files_of(argument: str) -> tuple[str, list[DataFile]]:
    """Name and files of FILE, FOLDER or NAME=FILE. By default the file's name without its suffixes is the name."""
    name, equals, place = argument.partition("=")
    if not equals or "/" in name:
        name, place = "", argument
    path = Path(place)
    name = name or path.name.split(".")[0] or path.name
    if not path.is_dir():
        return name, [DataFile(path, path.name)]
    found = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    data = [each for each in found if is_data(each) and not any(part.startswith(".") for part in each.split("/"))]
    if not data:
        raise RefusalError("EmptyDataset", f"{path} is a folder without data files", "name a file, or another folder")
    return name, [DataFile(path / each, each) for each in data]


def text_of(record: Record) -> str:
    """The text of a record; of a chat, a line for each turn."""
    if record.messages is None:
        return record.text or ""
    return "\n".join(f"{message['role']}: {words_of(message)}" for message in record.messages)
