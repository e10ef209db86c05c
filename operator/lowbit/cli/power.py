"""`lowbit power`: whether a manifest's gates can pass what is good, and how many samples that takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lowbit.api.status import Measurement
from lowbit.gate.power import POWER
from lowbit.gate.sizes import Size, Sizes

COLUMNS = (
    "Threshold", "Candidates", "Confidence", "Assumed of a good candidate", f"Needed for {POWER:.0%}", "Asked for",
    "Power there",
)  # fmt: skip


class UnreadablePilotError(Exception):
    """A pilot's report cannot be used."""


def read_pilot(path: Path) -> list[Measurement]:
    """The measurements of an evaluation: of result.json or report.json in the store, or of a ModelEvaluation's status.

    Raises UnreadablePilotError.
    """
    try:
        rows = list(_rows(json.loads(path.read_text())))
        found = [Measurement.model_validate(row) for row in rows]
    except OSError as error:
        raise UnreadablePilotError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, ValidationError) as error:
        raise UnreadablePilotError(f"{path} is no report of an evaluation: {error}") from error
    if not found:
        raise UnreadablePilotError(
            f"{path} holds no measurements: give evaluations/<name>/result.json of the store, "
            "or what kubectl get modelevaluation NAME -o json has printed"
        )
    return found


def _rows(found: Any) -> Iterator[Any]:
    """Every member of a list `measurements`, wherever it stands."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "measurements" and isinstance(value, list):
                yield from value
            else:
                yield from _rows(value)


def show_power(console: Console, sizes: Sizes) -> None:
    """A table per suite; then all thresholds together."""
    for suite, rows in groupby(sizes.rows, key=lambda row: row.suite):
        table = Table(title=f"Power of suite {suite}", title_justify="left")
        for column in COLUMNS:
            table.add_column(column)
        for row in rows:
            table.add_row(*map(escape, cells(row)))
        console.print(table)
    for line in together(sizes):
        console.print(line, highlight=False, soft_wrap=True)


def cells(row: Size) -> tuple[str, ...]:
    """One threshold in the table's columns."""
    what = f"{row.metric}{f' of {row.slice}' if row.slice else ''} {row.threshold}"
    asked = f"{row.asked}" if row.asked is not None else "what the data has"
    if row.cannot_pass:
        asked += f" (at least {row.least})"
    return (
        what, str(row.candidates), f"{row.confidence:.4g}", row.assumption, count(row), asked, percent(row.power),
    )  # fmt: skip


def count(row: Size) -> str:
    """How many are needed."""
    if row.needed is None:
        return "?"
    return f"{row.needed}{' of each' if row.asked is None else ''}"


def percent(power: float | None) -> str:
    """92 %, or a question mark."""
    return "?" if power is None else f"{100 * power:.0f} %"


def together(sizes: Sizes) -> Iterator[str]:
    """What all thresholds need, to pass together."""
    if sizes.joint is None:
        yield "All thresholds together: not known, because one of them is not."
    elif len(sizes.rows) > 1:
        yield (
            f"All {len(sizes.rows)} thresholds together: a good candidate passes with a probability of about "
            f"{percent(sizes.joint)}, if they are independent."
        )
    for suite, samples in sizes.samples().items():
        if samples is not None and len(sizes.rows) > 1:
            yield f"For {POWER:.0%} of all together, suite {suite} needs {samples}."
    if sizes.joint is not None and sizes.joint < POWER:
        yield f"That is less than {POWER:.0%}: a good candidate may well stay Inconclusive. Ask for more samples."
