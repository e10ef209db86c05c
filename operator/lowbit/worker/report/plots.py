"""Plots as inline SVG, made by small pure functions: a report stays one file that opens anywhere.

Colours are CSS variables of the page (--series-1 to --series-8, --ink, --muted, --grid), which enables a dark mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
BINS = 40
SERIES = 8
Point = tuple[float, float]


def color(index: int) -> str:
    """The colour of a series."""
    return f"var(--series-{index % SERIES + 1})"


def svg(body: Sequence[str], title: str, height: float = HEIGHT) -> str:
    """The SVG element around body; title is for screen readers."""
    inner = "".join(body)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{inner}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> str:
    """A label; kind is its CSS class."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A straight line; kind is its CSS class."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def place(value: float, low: float, high: float, begin: float, end: float) -> float:
    """Where a value between low and high lies between begin and end."""
    return begin if high <= low else begin + (value - low) / (high - low) * (end - begin)


def decade(exponent: int) -> str:
    """0.01, 1, 100, and 1e-05 further out."""
    return f"{10.0**exponent:g}"


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around positive values; (-1, 0) where there are none."""
    exponents = [log10(value) for value in values if value > 0 and isfinite(value)]
    if not exponents:
        return -1, 0
    low, high = floor(min(exponents)), ceil(max(exponents))
    return low, max(high, low + 1)


def nice_step(span: float, most: int = 5) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts span into at most `most` parts."""
    if span <= 0 or not isfinite(span):
        return 1.0
    step = 10.0 ** floor(log10(span / most))
    return next(step * factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most)


def histogram(values: Sequence[float], least: float, x_title: str, mean: float | None = None) -> str:
    """Shares of values on a logarithmic axis. Values below least (> 0) count in the first bar. A line marks mean."""
    clipped = [max(value, least) for value in values if isfinite(value)]
    if not clipped:
        return ""
    low, high = log10(least), max(ceil(log10(max(clipped))), floor(log10(least)) + 1)
    counts = [0] * BINS
    for value in clipped:
        counts[min(BINS - 1, int((log10(value) - low) / (high - low) * BINS))] += 1
    shares = [count / len(clipped) for count in counts]
    step = nice_step(max(shares))
    top = step * ceil(max(shares) / step)
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    body = horizontal_grid(top, step, lambda value: f"{100 * value:g} %")
    width = (x1 - x0) / BINS
    for index, share in enumerate(shares):
        if share > 0:
            y = place(share, 0, top, y0, y1)
            edges = [10 ** (low + (index + i) / BINS * (high - low)) for i in (0, 1)]
            words = (
                f"{edges[0]:.2g} to {edges[1]:.2g}: {100 * share:.2f} %"
                if index
                else f"below {edges[1]:.2g}: {100 * share:.2f} %"
            )
            body.append(
                f'<rect x="{x0 + index * width + 0.5:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{y0 - y:.1f}" '
                f'fill="{color(0)}"><title>{escape(words)}</title></rect>'
            )
    for exponent in range(ceil(low), floor(high) + 1):
        x = place(exponent, low, high, x0, x1)
        body += [line(x, y0, x, y0 + 4, "axis"), text(x, y0 + 17, decade(exponent))]
    if mean is not None and mean > least:
        x = place(log10(mean), low, high, x0, x1)
        body += [line(x, y1, x, y0, "mark"), text(x + 5, y1 + 10, f"mean over tokens {mean:.3g}", "start", "note")]
    body += [line(x0, y0, x1, y0, "axis"), text((x0 + x1) / 2, HEIGHT - 6, x_title, kind="label")]
    return svg(body, f"Histogram: {x_title}")


def horizontal_grid(top: float, step: float, label: Callable[[float], str]) -> list[str]:
    """Lines and labels of a linear y axis from 0 to top."""
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    body = []
    for index in range(round(top / step) + 1):
        value = index * step
        y = place(value, 0, top, y0, y1)
        body += [line(x0, y, x1, y), text(x0 - 8, y + 4, label(value), "end")]
    return body


def lines(series: Mapping[str, Sequence[Point]], x_title: str, y_title: str) -> str:
    """Lines with dots over a whole-numbered x axis; y is logarithmic, and what is not positive is left out."""
    positive = {name: [(x, y) for x, y in points if y > 0 and isfinite(y)] for name, points in series.items()}
    points = [point for some in positive.values() for point in some]
    if not points:
        return ""
    low, high = decades([y for _, y in points])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    body = []
    for exponent in range(low, high + 1):
        level = place(exponent, low, high, y0, y1)
        body += [line(x0, level, x1, level), text(x0 - 8, level + 4, decade(exponent), "end")]
    for value in range(ceil(x_low), floor(x_high) + 1, max(1, round(nice_step(x_high - x_low, 12)))):
        at = place(value, x_low, x_high, x0 + 8, x1 - 8)
        body += [line(at, y0, at, y0 + 4, "axis"), text(at, y0 + 17, str(value))]
    for index, (name, some) in enumerate(positive.items()):
        pixels = [(place(x, x_low, x_high, x0 + 8, x1 - 8), place(log10(y), low, high, y0, y1)) for x, y in some]
        labels = [f"{name}, {x_title} {x:g}: {y:.3g}" for x, y in some]
        body += curve(index, pixels, labels) + legend(index, name)
    body += [line(x0, y0, x1, y0, "axis"), text((x0 + x1) / 2, HEIGHT - 8, x_title, kind="label")]
    return svg(body, f"{y_title} by {x_title}", HEIGHT + 8 + ceil(len(positive) / 4) * 18)


def curve(index: int, pixels: Sequence[Point], labels: Sequence[str]) -> list[str]:
    """One line, with a dot and its label at every point."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
    return [f'<polyline points="{path}" fill="none" stroke="{color(index)}" stroke-width="1.8"/>'] + [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color(index)}"><title>{escape(label)}</title></circle>'
        for (x, y), label in zip(pixels, labels, strict=True)
    ]


def legend(index: int, name: str) -> list[str]:
    """The name of a series below the plot, four in a row."""
    x, y = LEFT + index % 4 * 162, HEIGHT + 8 + index // 4 * 18
    return [
        f'<rect x="{x}" y="{y - 9}" width="11" height="11" rx="2" fill="{color(index)}"/>',
        text(x + 17, y, name, "start", "label"),
    ]


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: (name, value, what is written behind the bar). Bars of one name share a colour by position."""
    if not rows:
        return ""
    most = max((value for _, value, _ in rows if isfinite(value)), default=0.0)
    x0, x1, height = 150, WIDTH - 190, 34
    names = list(dict.fromkeys(name for name, _, _ in rows))
    body = []
    for index, (name, value, words) in enumerate(rows):
        y = 6 + index * height
        width = max(2.0, place(value, 0, most, 0, x1 - x0)) if most > 0 and isfinite(value) else 2.0
        body += [
            text(x0 - 10, y + 17, name, "end", "label"),
            f'<rect x="{x0}" y="{y + 2}" width="{width:.1f}" height="{height - 13}" rx="3" '
            f'fill="{color(names.index(name))}"/>',
            text(x0 + width + 8, y + 17, words, "start", "value"),
        ]
    return svg(body, "; ".join(f"{name}: {words}" for name, _, words in rows), 8 + len(rows) * height)
