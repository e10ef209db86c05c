"""Parquet files as datasets: their rows, written as JSON lines.

prepare reads them once and stores the lines, so that quantize and evaluate know only one kind of file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowbit.worker.data.chats import CHAT_FIELDS
from lowbit.worker.data.datasets import CONVERT_PARQUET
from lowbit.worker.refuse import RefusalError

COLUMNS = ("text", *CHAT_FIELDS, "input", "output", "tools")
"""Those that a text or a chat is made of. Others, such as embeddings, are not read."""
ROWS_AT_ONCE = 1024


def as_lines(path: Path, target: Path, what: str, *, every: bool = False) -> Path:
    """Write the rows of a Parquet file to target, one JSON object a line; a row's number is its line's.

    every: with all columns, not only those of a text or chat. Never holds more than ROWS_AT_ONCE rows of a row group.
    Raises RefusalError if it cannot be read or has no column of a text or chat.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(path, what, every))
    return target


def _rows(path: Path, what: str, every: bool) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        problem = f"{what} is a Parquet file, and this image has no pyarrow to read it"
        raise RefusalError("BadDataset", problem, CONVERT_PARQUET) from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if every or name in COLUMNS]
            if not columns:
                found = ", ".join(sorted(file.schema_arrow.names)[:8])
                problem = f"{what} has none of the columns {', '.join(COLUMNS)} (found: {found})"
                raise RefusalError("BadDataset", problem, "name the column of the texts `text`, or of chats `messages`")
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
                yield from map(_without_nulls, batch.to_pylist(maps_as_pydicts="lossy"))
    except (pyarrow.ArrowException, OSError) as error:
        problem = f"{what} is a damaged Parquet file, or one of a kind that cannot be read: {error}"
        raise RefusalError("BadDataset", problem, "write it anew, or as JSONL") from error


def _without_nulls(value: Any) -> Any:
    """The value without fields that are null: a struct has each field in each row, and templates ask for some by name.

    What JSON has no word for becomes text.
    """
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value if isinstance(value, str | int | float | None) else str(value)
