"""Data files as rows: JSON lines, JSON, CSV and plain text, each perhaps compressed by gzip. Tables: tables.py."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from lowbit.api.refusal import RefusalError

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
"""First bytes of a file."""
ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
"""Of Arrow's files and streams; `datasets` caches streams."""
FileFormat = Literal["lines", "json", "csv", "text", "parquet", "arrow"]
DATA_SUFFIXES = frozenset(
    {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".text", ".md", ".parquet", ".arrow", ".gz"}
)
"""Files of a folder that are data."""
CHUNK_CHARACTERS = 8_000
"""A longer line of a plain text is cut into parts, at a space. About 2,000 tokens of English."""
LONGEST_CELL, LONGEST_FIRST, LOOKED_AT = 2**31 - 1, 2**26, 3
BY_SUFFIX: dict[str, FileFormat] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "text", ".text": "text", ".md": "text", ".json": "json",
}  # fmt: skip
LINES = "write one JSON value per line"


@dataclass(frozen=True)
class Broken:
    """A line or row that is none."""

    problem: str
    action: str


@dataclass(frozen=True)
class Row:
    """A line or row."""

    number: int
    """From 1."""
    value: Any
    """What was parsed, or Broken."""


def is_data(path: str) -> bool:
    """Whether a file of a folder is data, by its name; a README or a licence is not."""
    pure = PurePosixPath(path)
    suffixes = [suffix.casefold() for suffix in pure.suffixes]
    inner = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    prose = pure.stem.casefold().split(".")[0] in ("readme", "license", "licence", "dataset_info", "dataset_infos")
    return inner in DATA_SUFFIXES - {".gz", ".md"} and not prose and pure.name != "state.json" and "\\" not in path


def format_of(path: Path, name: str, what: str) -> FileFormat:
    """What a file is, by its first bytes, and by its name where these do not tell."""
    if begins(path, PARQUET):
        return "parquet"
    if any(begins(path, magic) for magic in ARROW):
        return "arrow"
    begin = first_lines(path, what)
    first = begin[0] if begin else ""
    if first[:1] == "[":
        return "json"
    suffix = suffix_of(name)
    # A head or a sentence may stand in quotes, and is no JSON then.
    quoted = first[:1] == '"' and suffix not in (".csv", ".tsv") and all(map(_is_json, begin))
    if quoted or (first[:1] == "{" and _is_json(first)):
        return "lines"
    return BY_SUFFIX.get(suffix, "lines")


def suffix_of(name: str) -> str:
    """The suffix of a file's name, without .gz."""
    return PurePosixPath(name.casefold().removesuffix(".gz")).suffix


def first_lines(path: Path, what: str) -> list[str]:
    """The first lines that are not empty, each cut at LONGEST_FIRST characters."""
    found: list[str] = []
    with opened(path, what) as file:
        while len(found) < LOOKED_AT and (line := file.readline(LONGEST_FIRST)):
            found += [line.strip()] if line.strip() else []
    return found


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def rows(path: Path, name: str, what: str) -> Iterator[Row]:
    """The rows of a file that is no table. Raises RefusalError if it cannot be read at all."""
    kind = format_of(path, name, what)
    if kind == "json":
        return json_rows(path, what)
    if kind == "csv":
        return csv_rows(path, name, what)
    return text_rows(path, name, what) if kind == "text" else json_lines(path, what)


def json_lines(path: Path, what: str) -> Iterator[Row]:
    """One JSON value a line; empty lines are none."""
    for number, line in enumerate(read_lines(path, what, strict=False), start=1):
        if line.strip():
            yield Row(number, parse_line(line))


def parse_line(line: str) -> Any:
    """The JSON value of a line, or Broken."""
    if not_text(line):
        return Broken("is not UTF-8", "save the file as UTF-8")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Broken(f"is not JSON ({error})", LINES)
    if "\\ud" in line.lower() and not_text(json.dumps(value, ensure_ascii=False)):
        return Broken("has half of a character (a lone surrogate)", "write each text as whole Unicode")
    return value


def not_text(text: str) -> bool:
    """Whether a text has surrogates, which UTF-8 cannot hold: bytes that were no UTF-8, or halves of characters."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def json_rows(path: Path, what: str) -> Iterator[Row]:
    """A JSON document: a list of rows, an object with such a list, or an object of columns."""
    with opened(path, what) as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise RefusalError("BadDataset", f"{what} is not JSON: {error}", LINES) from error
    for number, value in enumerate(_listed(content), start=1):
        lost = not_text(json.dumps(value, ensure_ascii=False))
        yield Row(number, Broken("is not UTF-8", "save the file as UTF-8") if lost else value)


def _listed(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    lists = (
        {name: each for name, each in content.items() if isinstance(each, list)} if isinstance(content, dict) else {}
    )
    tables = [each for each in lists.values() if each and all(isinstance(row, dict) for row in each)]
    if "messages" not in lists and "conversations" not in lists and len(tables) == 1:
        return tables[0]
    if lists and len(lists) == len(content) and len({len(each) for each in lists.values()}) == 1 and not tables:
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [content]


def csv_rows(path: Path, name: str, what: str) -> Iterator[Row]:
    """A table with a head; commas, semicolons or tabs stand between its cells. Every value is a text."""
    csv.field_size_limit(LONGEST_CELL)
    with opened(path, what, newline="") as file:
        head = file.readline()
        tabs = suffix_of(name) == ".tsv" or ("\t" in head and "," not in head)
        delimiter = "\t" if tabs else ";" if ";" in head and "," not in head else ","
        names = next(csv.reader([head], delimiter=delimiter), [])
        if not any(names):
            return
        lines = csv.reader(file, delimiter=delimiter)
        number = 0
        while True:
            try:
                cells = next(lines, None)
            except csv.Error as error:
                raise RefusalError("BadDataset", f"{what} is not CSV: {error}", "write it anew, or as JSONL") from error
            if cells is None:
                return
            if cells:
                number += 1
                yield Row(number, _cells(names, cells))


def _cells(names: list[str], cells: list[str]) -> Any:
    if len(cells) != len(names):
        problem = f"has {len(cells)} cells, and the head has {len(names)}"
        return Broken(problem, 'write a cell with a comma, a quote or a line break in quotes: "..."')
    if any(map(not_text, cells)):
        return Broken("is not UTF-8", "save the file as UTF-8")
    return dict(zip(names, cells, strict=True))


def text_rows(path: Path, name: str, what: str) -> Iterator[Row]:
    """A text a line. A line of more than CHUNK_CHARACTERS is cut, and its parts are one group."""
    for number, line in enumerate(read_lines(path, what, strict=False), start=1):
        if not line.strip():
            continue
        if not_text(line):
            yield Row(number, Broken("is not UTF-8", "save the file as UTF-8"))
            continue
        parts = chunks(line.strip())
        for part in parts:
            yield Row(number, {"text": part} | ({"group": f"{name}:{number}"} if len(parts) > 1 else {}))


def chunks(text: str) -> list[str]:
    """A text in parts of at most CHUNK_CHARACTERS, cut at a space where there is one."""
    found = []
    while len(text) > CHUNK_CHARACTERS:
        end = text.rfind(" ", CHUNK_CHARACTERS // 2, CHUNK_CHARACTERS + 1)
        end = end if end > 0 else CHUNK_CHARACTERS
        found.append(text[:end])
        text = text[end:].lstrip()
    return [*found, text] if text else found


def read_lines(path: Path, what: str, *, strict: bool = True) -> Iterator[str]:
    """The lines of a file, which may be compressed by gzip, as split() gives them. Raises RefusalError.

    strict: refuse a file that is not UTF-8; otherwise such bytes become surrogates.
    """
    try:
        with opened(path, what, newline="\n", errors="strict" if strict else "surrogateescape") as file:
            line = "\n"
            for line in file:
                yield line.removesuffix("\n")
            if line.endswith("\n"):
                yield ""
    except UnicodeDecodeError as error:
        raise RefusalError("BadDataset", f"{what} is not UTF-8: {error}", "save it as UTF-8") from error


@contextmanager
def opened(path: Path, what: str, newline: str | None = None, errors: str = "surrogateescape") -> Iterator[IO[str]]:
    """A text file, which may be compressed by gzip. Raises RefusalError if that is damaged."""
    open_ = gzip.open if begins(path, GZIP) else open
    try:
        with open_(path, "rt", encoding="utf-8-sig", errors=errors, newline=newline) as file:
            yield cast("IO[str]", file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RefusalError("BadDataset", f"{what} is damaged: {error}", "compress it again") from error


def begins(path: Path, magic: bytes) -> bool:
    """Whether a file begins with these bytes."""
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
