"""Compares the figures of results/*.json with ranges.yaml. It says what is outside, and what was not measured.

    .venv/bin/python -m tests.bench.check [--all]

A range is what a figure is held to: a change that leaves it has made the product slower, or the machine was busy. The
aim, where it is another number, is what is striven for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.bench.record import RESULTS

RANGES = Path(__file__).parent / "ranges.yaml"


@dataclass(frozen=True)
class Range:
    """One entry of ranges.yaml."""

    result: str
    """Name of the file in results."""
    figure: str
    value: str = "mean"
    """mean, median, minimum, maximum, or a percentile: p99."""
    most: float | None = None
    times: float | None = None
    """At most so many times the value of the figure `of` ("result: figure")."""
    of: str = ""
    aim: float | None = None


@dataclass(frozen=True)
class Verdict:
    """One entry, checked."""

    range: Range
    found: float | None
    most: float | None

    @property
    def word(self) -> str:
        if self.found is None or self.most is None:
            return "not measured"
        if self.found > self.most:
            return "OUTSIDE"
        aim = self.range.aim
        return "within, aim missed" if aim is not None and self.found > aim else "within"


def read_ranges(path: Path = RANGES) -> list[Range]:
    """All entries."""
    return [Range(**each) for each in yaml.safe_load(path.read_text())]


def check(ranges: list[Range], results: Path = RESULTS) -> Iterator[Verdict]:
    """Each range with what was measured."""

    @cache
    def figures(result: str) -> Mapping[str, Any]:
        path = results / f"{result}.json"
        record = json.loads(path.read_text()) if path.exists() else {"figures": []}
        return {each["name"]: each for each in record["figures"]}

    def value(result: str, name: str, which: str) -> float | None:
        found = figures(result).get(name)
        if found is None:
            return None
        read = found["percentiles"].get(which) if which.startswith("p") else found[which]
        return None if read is None else float(read)

    for each in ranges:
        most = each.most
        if each.times is not None:
            result, _, name = each.of.partition(": ")
            base = value(result, name, each.value)
            most = None if base is None else base * each.times
        yield Verdict(each, value(each.result, each.figure, each.value), most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="fail where something was not measured, too")
    arguments = parser.parse_args()
    verdicts = list(check(read_ranges()))
    for each in verdicts:
        found = "-" if each.found is None else f"{each.found:.4g}"
        most = "-" if each.most is None else f"{each.most:.4g}"
        aim = "" if each.range.aim is None else f" (aim {each.range.aim:g})"
        print(f"{each.word:18}  {found:>8} of {most:>8}{aim}  {each.range.figure}, {each.range.value}")
    words = {each.word for each in verdicts}
    sys.exit(1 if "OUTSIDE" in words or (arguments.all and "not measured" in words) else 0)


if __name__ == "__main__":
    main()
