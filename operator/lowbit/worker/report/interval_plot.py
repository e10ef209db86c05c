"""A plot of values with their bounds, each at its own place on the x axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, isnan

from lowbit.worker.report.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    color,
    legend,
    line,
    nice_step,
    place,
    svg,
    text,
)


@dataclass(frozen=True)
class Interval:
    """One value with its bounds."""

    name: str
    x: float
    value: float
    lower: float
    upper: float

    @property
    def ends(self) -> tuple[float, float]:
        """The bounds; the value itself where one of them is infinite."""
        return tuple(end if isfinite(end) else self.value for end in (self.lower, self.upper))  # type: ignore[return-value]


@dataclass(frozen=True)
class Axis:
    """A linear axis with ticks."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], *, zero: bool = False) -> Axis:
        """One that holds all values, and zero if that is asked for."""
        low, high = min([*values, *([0.0] if zero else [])]), max(values)
        step = nice_step(high - low or abs(high) or 1.0)
        low, high = floor(low / step) * step, ceil(high / step) * step
        return cls(low, high if high > low else low + step, step)

    def ticks(self) -> list[float]:
        """The values of its labels."""
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]


def intervals(points: Sequence[Interval], x_title: str, y_title: str, mark: tuple[str, float]) -> str:
    """Dots with whiskers; a dashed line marks one place on the x axis. Empty without a point."""
    shown = [point for point in points if isfinite(point.value)]
    if not shown:
        return ""
    x_axis = Axis.around([mark[1], *(point.x for point in shown)], zero=True)
    y_axis = Axis.around([end for point in shown for end in (point.value, *point.ends)])
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    body = []
    for value in y_axis.ticks():
        at = place(value, y_axis.low, y_axis.high, y0, y1)
        body += [line(x0, at, x1, at), text(x0 - 8, at + 4, f"{value:.3g}", "end")]
    for value in x_axis.ticks():
        at = place(value, x_axis.low, x_axis.high, x0, x1)
        body += [line(at, y0, at, y0 + 4, "axis"), text(at, y0 + 17, f"{value:.3g}")]
    at = place(mark[1], x_axis.low, x_axis.high, x0, x1)
    body += [line(at, y1, at, y0, "mark"), text(at - 5, y1 + 10, mark[0], "end", "note")]
    for index, point in enumerate(shown):
        body += whisker(index, point, x_axis, y_axis) + legend(index, point.name)
    body += [line(x0, y0, x1, y0, "axis"), text((x0 + x1) / 2, HEIGHT - 8, x_title, kind="label")]
    return svg(body, f"{y_title} by {x_title}", HEIGHT + 8 + ceil(len(shown) / 4) * 18)


def whisker(index: int, point: Interval, x_axis: Axis, y_axis: Axis) -> list[str]:
    """One value with its bounds."""
    x = place(point.x, x_axis.low, x_axis.high, LEFT, WIDTH - RIGHT)
    middle, low, high = (
        place(value, y_axis.low, y_axis.high, HEIGHT - BOTTOM, TOP) for value in (point.value, *point.ends)
    )
    bounds = "" if isnan(point.lower) or isnan(point.upper) else f" [{point.lower:.3g}, {point.upper:.3g}]"
    words = f"{point.name}, {point.x:.3g}: {point.value:.3g}{bounds}"
    bars = [(x, low, x, high), (x - 5, low, x + 5, low), (x - 5, high, x + 5, high)]
    return [
        f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" stroke="{color(index)}" stroke-width="1.8"/>'
        for a, b, c, d in bars
    ] + [f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="4" fill="{color(index)}"><title>{escape(words)}</title></circle>']
