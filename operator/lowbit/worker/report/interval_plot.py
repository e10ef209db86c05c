"""A plot of values with their bounds, each at its own place on the x axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from lowbit.worker.report.plots import HEIGHT, INK, axes, color


@dataclass(frozen=True)
class Interval:
    """One value with its bounds."""

    name: str
    x: float
    value: float
    lower: float
    upper: float

    @property
    def whiskers(self) -> tuple[list[float], list[float]]:
        """How far the bounds are below and above; 0 where one of them is no number, or infinite."""
        below, above = (abs(end - self.value) if isfinite(end) else 0.0 for end in (self.lower, self.upper))
        return [below], [above]


def intervals(points: Sequence[Interval], x_title: str, y_title: str, mark: tuple[str, float]) -> str:
    """Dots with whiskers; a dashed line marks one place on the x axis. Empty without a point."""
    shown = [point for point in points if isfinite(point.value)]
    if not shown:
        return ""
    name, at = mark
    with axes(f"{y_title} by {x_title}", HEIGHT + ceil(len(shown) / 3) * 0.2) as (plot, found):
        for index, point in enumerate(shown):
            plot.errorbar(
                [point.x], [point.value], yerr=point.whiskers, fmt="o", color=color(index), capsize=4, label=point.name
            )
        plot.axvline(at, color=INK, linestyle="--", linewidth=1)
        plot.annotate(name, (at, 1), xycoords=("data", "axes fraction"), xytext=(-5, -8), ha="right",
                      textcoords="offset points")  # fmt: skip
        plot.set_xlim(left=0)
        plot.grid(axis="y")
        plot.set_xlabel(x_title)
        plot.set_ylabel(y_title)
        plot.get_figure().legend(loc="outside lower center", ncols=3, fontsize=9)
    return found[0]
