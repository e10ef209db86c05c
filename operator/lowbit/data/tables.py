"""Parquet and Arrow files as datasets: their rows, written as JSON lines.

prepare reads them once and stores the lines, so that quantize and evaluate know only one kind of file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowbit.api.calibration import DatasetFormat
from lowbit.api.refusal import RefusalError
from lowbit.data.files import ARROW, PARQUET, begins
from lowbit.data.kinds import has_usual_names, kind_of

COLUMNS = ("text", "messages", "conversations", "instruction", "input", "output", "tools")
"""Those that a text or a chat is made of. Others, such as embeddings, are read only where they are needed."""
ROWS_AT_ONCE = 1024
CONVERT_PARQUET = "write it as JSONL: pandas.read_parquet(FILE).to_json(OTHER, orient='records', lines=True)"


@dataclass(frozen=True)
class Wanted:
    """Which columns are read."""

    format: DatasetFormat = "Auto"
    column: str | None = None
    all: bool = False
    """Every column that JSON can hold."""
    group: bool = False
    """The column group, too."""


def is_table(path: Path) -> bool:
    """Whether a file says that it is Parquet or Arrow."""
    return any(begins(path, magic) for magic in (PARQUET, *ARROW))


def as_lines(path: Path, target: Path, what: str, wanted: Wanted = Wanted()) -> Path:
    """Write the rows of a table to target, one JSON object a line; a row's number is its line's.

    Never holds more than ROWS_AT_ONCE rows of a row group. Raises RefusalError if it cannot be read or has no column of
    a text or chat.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(path, what, wanted))
    return target


def _rows(path: Path, what: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    kind = "a Parquet" if begins(path, PARQUET) else "an Arrow"
    try:
        import pyarrow
    except ImportError as error:
        problem = f"{what} is {kind} file, and this image has no pyarrow to read it"
        raise RefusalError("BadDataset", problem, CONVERT_PARQUET) from error
    read = _parquet if begins(path, PARQUET) else _arrow
    try:
        for batch in read(path, what, wanted):
            yield from map(_without_nulls, batch.to_pylist(maps_as_pydicts="lossy"))
    except (pyarrow.ArrowException, OSError) as error:
        problem = f"{what} is {kind.replace(' ', ' damaged ').replace('an damaged', 'a damaged')} file, or one of a "
        problem += f"kind that cannot be read: {error}"
        raise RefusalError("BadDataset", problem, "write it anew, or as JSONL") from error


def _parquet(path: Path, what: str, wanted: Wanted) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = chosen(file.schema_arrow, what, wanted)
        yield from file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns)


def _arrow(path: Path, what: str, wanted: Wanted) -> Iterator[Any]:
    """Batches of an Arrow file, or of a stream."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        if begins(path, ARROW[0]):
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(source)
            batches = iter(reader)
        columns = chosen(reader.schema, what, wanted)
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                part = batch.slice(start, ROWS_AT_ONCE).select(columns)
                part.validate(full=True)  # of a stranger's file: its offsets may lead anywhere
                yield part


def chosen(schema: Any, what: str, wanted: Wanted) -> list[str]:
    """The columns that are read, in the file's order. Raises RefusalError if there is none."""
    names: Sequence[str] = schema.names
    more = ("group",) if wanted.group else ()
    if wanted.column is not None:
        if wanted.column not in names:
            raise _without(what, f"no column {wanted.column}", names, "write the name of one of them in column")
        if not wanted.all:
            return [name for name in names if name in (wanted.column, "tools", *more)]
    if not wanted.all and columns_suffice(names, wanted.format):
        return [name for name in names if name in (*COLUMNS, *more)]
    said = [name for name in names if _has_words(schema.field(name).type)]
    if not said:
        raise _without(what, f"none of the columns {', '.join(COLUMNS)}", names,
                       "name the column of the texts `text`, or of chats `messages`")  # fmt: skip
    return said


def columns_suffice(names: Sequence[str], format_: DatasetFormat) -> bool:
    """Whether COLUMNS are all that is read of a record with these fields: none has another name."""
    if format_ in ("SFT", "RL"):
        return False
    kind = kind_of(names) if format_ == "Auto" else format_
    return kind not in (None, "RL") and has_usual_names(names, kind)


def _without(what: str, missing: str, names: Sequence[str], action: str) -> RefusalError:
    return RefusalError("BadDataset", f"{what} has {missing} (found: {', '.join(sorted(names)[:8])})", action)


def _has_words(kind: Any) -> bool:
    """Whether a column holds no bytes (such as pictures) and no vectors of numbers."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return not types.is_floating(kind.value_type) and _has_words(kind.value_type)
    if types.is_struct(kind):
        return all(_has_words(kind.field(number).type) for number in range(kind.num_fields))
    return not (types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _without_nulls(value: Any) -> Any:
    """The value without fields that are null: a struct has each field in each row, and templates ask for some by name.

    What JSON has no word for becomes text.
    """
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value if isinstance(value, str | int | float | None) else str(value)
