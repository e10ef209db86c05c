"""The report's section on what the quantizer was calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lowbit.worker.suites.base import Section

HEADER = ("Dataset and file", "Taken for", "Lines", "Broken", "Short", "Duplicates", "Evaluated on", "Drawn")
COUNTS = ("lines", "broken", "short", "duplicates", "removed")
MOST_ROWS = 100


def calibration_section(about: Any) -> list[Section]:
    """The section, from the quantizer's report; none if an older Lowbit wrote it, or nothing was calibrated."""
    if not isinstance(about, Mapping) or not isinstance(about.get("datasets"), list):
        return []
    text = (
        f"{about.get('texts')} texts, drawn by weight and seed, and kept in the store as {about.get('set')}. "
        "Left out: broken lines, lines that are evaluated on, short texts (20 characters or fewer), duplicates."
    )
    rows = [row for dataset in about["datasets"] if isinstance(dataset, Mapping) for row in _rows(dataset)]
    return [Section("Calibration texts", text, header=HEADER, rows=rows[:MOST_ROWS])]


def _rows(dataset: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each file; the first one has the dataset's count of drawn texts."""
    name, drawn = str(dataset.get("name")), str(dataset.get("drawn"))
    files = [file for file in dataset.get("files") or [] if isinstance(file, Mapping)]
    if not files:
        yield (name, "", *("" for _ in COUNTS), drawn)
    for number, file in enumerate(files):
        kinds = file.get("kinds") if isinstance(file.get("kinds"), Mapping) else {}
        told = f"{', '.join(map(str, kinds or ()))} ({file.get('why')})"
        counts = (str(file.get(count, "")) for count in COUNTS)
        yield (f"{name}: {file.get('file')}", told, *counts, drawn if number == 0 else "")
