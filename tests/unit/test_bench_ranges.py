"""The ranges of the figures: each names one that is measured."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.check import Range, check, read_ranges
from tests.bench.record import RESULTS


def test_every_range_names_a_figure_that_its_script_measures() -> None:
    for each in read_ranges():
        path = RESULTS / f"{each.result}.json"
        if path.exists():
            names = {figure["name"] for figure in json.loads(path.read_text())["figures"]}
            assert each.figure in names, f"{path.name} has no figure {each.figure!r}"


def test_what_is_outside_its_range_and_what_was_not_measured_is_said(tmp_path: Path) -> None:
    figures = [{"name": name, "mean": value, "percentiles": {"p99": value}} for name, value in (("a", 1), ("b", 6))]
    (tmp_path / "r.json").write_text(json.dumps({"figures": figures}))
    ranges = [
        Range("r", "a", most=2),
        Range("r", "a", most=2, aim=0.5),
        Range("r", "b", value="p99", most=2),
        Range("r", "b", times=5, of="r: a"),
        Range("r", "c", most=2),
    ]
    words = [each.word for each in check(ranges, tmp_path)]
    assert words == ["within", "within, aim missed", "OUTSIDE", "OUTSIDE", "not measured"]
