"""Plots of the quantizer's log: loss by depth, time by kind of module."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.report.model import ModuleRow, Plot
from lowbit.report.quantlog import by_kind
from lowbit.worker.report import plots


def module_plots(modules: Sequence[ModuleRow]) -> list[Plot]:
    """Loss by depth with a line for each kind of module, and time by kind."""
    found = []
    series: dict[str, list[plots.Point]] = {}
    for kind, layers in _by_layer(modules).items():
        series[kind] = sorted((layer, sum(losses) / len(losses)) for layer, losses in layers.items())
    if svg := plots.lines(series, "layer", "loss"):
        text = "The quantizer's own error. A module far above its neighbours is where quality went."
        found.append(Plot(title="Loss by depth and kind of module", text=text, svg=svg))
    # In the order of the lines, so that a kind has the same colour in both plots.
    seconds = {one.name: one.seconds for one in by_kind(modules)}
    kinds = {row.kind: seconds[row.kind] for row in modules}
    rows = [(kind, spent, f"{spent:.3g} s") for kind, spent in kinds.items() if spent is not None]
    if svg := plots.bars(rows):
        found.append(Plot(title="Time by kind of module", text="All modules of one kind together.", svg=svg))
    return found


def _by_layer(modules: Sequence[ModuleRow]) -> dict[str, dict[float, list[float]]]:
    """Losses by kind and layer."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in modules:
        if row.layer is not None and row.loss is not None:
            found.setdefault(row.kind, {}).setdefault(float(row.layer), []).append(row.loss)
    return found
