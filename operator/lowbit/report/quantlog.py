"""The quantizer's log, a module a row: as quant_log.csv, by depth, and by kind of module."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from lowbit.report.model import ModuleRow

COLUMNS = ("layer", "module", "kind", "loss", "samples", "damp", "seconds", "rounded")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""
BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.(.+)$")
EXPERT = re.compile(r"\bexperts\.\d+\b")


def parse_modules(rows: Any) -> list[ModuleRow]:
    """The quantizer's rows: a name (name or module, below a layer where that is given), and its numbers."""
    return [_parse(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _parse(row: Mapping[str, Any]) -> ModuleRow:
    name = str(row.get("name") or row.get("module") or "")
    if row.get("layer") is not None and not BLOCK.search(name):
        name = f"layers.{row['layer']}.{name}"
    match = BLOCK.search(name)
    samples = _number(row.get("samples"))
    return ModuleRow(
        name=name,
        layer=int(match[1]) if match else None,
        kind=EXPERT.sub("experts.*", match[2] if match else name),
        loss=_number(row.get("loss")),
        samples=int(samples) if samples is not None else None,
        damp=_number(row.get("damp")),
        seconds=_number(row.get("seconds")),
        rounded=row.get("rounded") is True,
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def quant_log(modules: Iterable[ModuleRow]) -> str:
    """The log as CSV (RFC 4180), one row for each module, in the quantizer's order. Empty where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in modules:
        values = (row.layer, row.name, row.kind, row.loss, row.samples, row.damp, row.seconds)
        writer.writerow([*map(_cell, values), str(row.rounded).lower()])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return "" if value is None else f"{value:.10g}"


@dataclass(frozen=True)
class Group:
    """Modules of one depth or of one kind."""

    name: str
    count: int
    mean_loss: float | None
    worst: ModuleRow | None
    """With the largest loss; None if none was measured."""
    seconds: float | None
    """Together."""


def by_depth(modules: Sequence[ModuleRow]) -> list[Group]:
    """Modules by layer, from the first."""
    known = [row for row in modules if row.layer is not None]
    return _groups(sorted(known, key=lambda row: row.layer or 0), lambda row: str(row.layer))


def by_kind(modules: Sequence[ModuleRow]) -> list[Group]:
    """Modules by kind, the largest mean loss first."""
    return sorted(_groups(modules, lambda row: row.kind), key=lambda one: -(one.mean_loss or 0.0))


def _groups(modules: Sequence[ModuleRow], name: Callable[[ModuleRow], str]) -> list[Group]:
    found: dict[str, list[ModuleRow]] = {}
    for row in modules:
        found.setdefault(name(row), []).append(row)
    return [_group(key, rows) for key, rows in found.items()]


def _group(name: str, rows: Sequence[ModuleRow]) -> Group:
    losses = [row.loss for row in rows if row.loss is not None]
    times = [row.seconds for row in rows if row.seconds is not None]
    worst = max((row for row in rows if row.loss is not None), key=lambda row: row.loss or 0.0, default=None)
    return Group(name, len(rows), sum(losses) / len(losses) if losses else None, worst, sum(times) if times else None)
