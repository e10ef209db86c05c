"""Puts the figures of results/*.json into docs/benchmarks.md, between the marks that name them; the words stay.

.venv/bin/python -m tests.bench.page
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.bench.record import LOOK_SECONDS, RESULTS, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
MARKS = re.compile(r"(<!-- figures: (?P<name>[\w.-]+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)


def number(value: float | None) -> str:
    """Three significant digits, and no more than needed for large ones."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(record: dict[str, Any]) -> str:
    """One row per figure."""
    percentiles = sorted(
        {key for each in record["figures"] for key in each["percentiles"]}, key=lambda key: int(key[1:])
    )
    head = ["figure", "unit", "runs", "mean", "deviation", "least", "median", *percentiles[1:], "most"]
    rows = [head, ["---"] + ["---:" if each != "unit" else "---" for each in head[1:]]]
    for each in record["figures"]:
        more = [number(each["percentiles"].get(key)) for key in percentiles[1:]]
        values = [number(each[key]) for key in ("mean", "deviation", "minimum", "median")]
        rows.append([each["name"], each["unit"], str(each["runs"]), *values, *more, number(each["maximum"])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def circumstances(record: dict[str, Any]) -> str:
    """Command, date, commit, machine, and what else it did."""
    machine, seen = record["machine"], record["surroundings"]
    commit = record["commit"][:12] + (" with changes" if record["changed"] else "")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    setting = "; ".join(f"{name}: {_text(value)}" for name, value in record["setting"].items())
    lines = [
        f"`{record['command']}`",
        f"{record['date']}, commit {commit}; {machine['cpu']}{' (virtual)' if machine['virtual'] else ''}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Linux {machine['kernel']}; "
        f"{versions}.",
        f"Load average {seen['load_before'][0]:.1f} before and {seen['load_after'][0]:.1f} after; "
        f"{seen['busy_before']:.1f} of the cores were busy with other things in the {LOOK_SECONDS:.0f} s before, "
        f"{seen['niced_during']:.1f} with niced processes of others and {seen.get('pods_during', 0.0):.1f} with pods "
        f"during the measurement. The measured processes ran at {seen['priority']}.",
    ]
    return "\n\n".join([*lines, f"{setting}."] if setting else lines)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def filled(page: str) -> str:
    """The page with the newest figures."""

    def fill(match: re.Match[str]) -> str:
        path = RESULTS / f"{match['name']}.json"
        if not path.exists():
            return match[0]
        record = json.loads(path.read_text())
        return f"{match[1]}{circumstances(record)}\n\n{table(record)}\n{match[4]}"

    return MARKS.sub(fill, page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
    print(PAGE.relative_to(ROOT))
