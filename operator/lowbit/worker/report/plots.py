"""Plots of the report, by matplotlib, as inline SVG: the page stays one file that opens anywhere.

Colours become CSS variables of the page (--series-1 to --series-8, --ink, --muted, --grid), which enables a dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter, StrMethodFormatter

WIDTH, HEIGHT, BAR = 5.8, 2.9, 0.34
"""Inches: of a plot, and the height of one bar."""
BINS = 40
SERIES = 8
INK, MUTED, GRID = "#0000e1", "#0000e2", "#0000e3"
"""Stand for CSS variables until the SVG is written."""
NAMED = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"} | {
    f"#0000f{number}": f"var(--series-{number})" for number in range(1, SERIES + 1)
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "font.family": "DejaVu Sans",
    "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "grid.color": GRID,
    "legend.frameon": False, "legend.labelcolor": MUTED, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none",
}  # fmt: skip
Point = tuple[float, float]


def color(index: int) -> str:
    """The colour of a series."""
    return f"#0000f{index % SERIES + 1}"


@contextmanager
def axes(title: str, height: float = HEIGHT) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list that has the SVG afterwards. title: for screen readers."""
    found: list[str] = []
    style: Any = STYLE | {"svg.hashsalt": title}
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure.add_subplot(), found
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        found.append(inline(out.getvalue(), title))


def inline(written: str, title: str) -> str:
    """The SVG element alone: without metadata, fixed size, fonts and unused ids, in the page's colours."""
    body = written[written.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', body)
    label = escape(title)
    head = (
        f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title>{label}</title>'
    )
    body = head + body[body.index(">") + 1 :]
    body = re.sub(r"#0000[ef]\d", lambda found: NAMED[found[0]], body)
    body = re.sub(r"font(-family)?: [^;\"]*(DejaVu|sans)[^;\"]*;? ?", _font, body)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", body)


def _font(found: re.Match[str]) -> str:
    size = re.search(r"([\d.]+)px", found[0])
    return f"font-size: {size[1]}px; " if size else ""


def histogram(values: Sequence[float], least: float, x_title: str, mean: float | None = None) -> str:
    """Shares of values on a logarithmic axis. Values below least (> 0) count in the first bar. A line marks mean."""
    clipped = [max(value, least) for value in values if isfinite(value)]
    if not clipped:
        return ""
    low, high = log10(least), max(ceil(log10(max(clipped))), floor(log10(least)) + 1)
    edges = [10 ** (low + index / BINS * (high - low)) for index in range(BINS + 1)]
    with axes(f"Histogram: {x_title}") as (plot, found):
        weights = [1 / len(clipped)] * len(clipped)
        plot.hist([min(value, edges[-1]) for value in clipped], edges, weights=weights, color=color(0), rwidth=0.9)
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(numticks=9))
        plot.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        plot.minorticks_off()
        plot.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        plot.grid(axis="y")
        plot.set_xlabel(x_title)
        if mean is not None and mean > least:
            plot.axvline(mean, color=INK, linestyle="--", linewidth=1)
            plot.annotate(f"mean {mean:.3g}", (mean, 1), xycoords=("data", "axes fraction"), xytext=(5, -8),
                          textcoords="offset points")  # fmt: skip
    return found[0]


def lines(series: Mapping[str, Sequence[Point]], x_title: str, y_title: str) -> str:
    """Lines with dots over a whole-numbered x axis; y is logarithmic, and what is not positive is left out."""
    positive = {name: [(x, y) for x, y in points if y > 0 and isfinite(y)] for name, points in series.items()}
    if not any(positive.values()):
        return ""
    rows = ceil(len(positive) / 3)
    with axes(f"{y_title} by {x_title}", HEIGHT + rows * 0.2) as (plot, found):
        for index, (name, points) in enumerate(positive.items()):
            xs, ys = [x for x, _ in points], [y for _, y in points]
            style = "-" if index < SERIES else "--"
            plot.plot(xs, ys, style, color=color(index), marker="o", markersize=3, linewidth=1.5, label=name)
        plot.set_yscale("log")
        plot.yaxis.set_major_locator(LogLocator(numticks=7))
        plot.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        plot.minorticks_off()
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.grid(axis="y")
        plot.set_xlabel(x_title)
        plot.set_ylabel(y_title)
        plot.get_figure().legend(loc="outside lower center", ncols=3, fontsize=9)
    return found[0]


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: (name, value, what is written behind the bar). Bars of one name share a colour."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for name, _, _ in rows))
    widths = [value if isfinite(value) and value > 0 else 0.0 for _, value, _ in rows]
    title = "; ".join(f"{name}: {words}" for name, _, words in rows)
    with axes(title, 0.15 + len(rows) * BAR) as (plot, found):
        drawn = plot.barh(range(len(rows)), widths, height=0.62, color=[color(names.index(row[0])) for row in rows])
        plot.bar_label(drawn, [words for _, _, words in rows], padding=5)
        plot.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        plot.set_xlim(0, (max(widths) or 1.0) * 1.6)
        plot.invert_yaxis()
        plot.xaxis.set_visible(False)
        plot.spines[["bottom", "left"]].set_visible(False)
        plot.tick_params(length=0)
    return found[0]
