"""Lowbit beside the bare call: both, what Lowbit's takes more, and what it does beyond."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.bench.containers import Usage
from tests.bench.record import Figure, figure

Runs = tuple[list[Usage], list[Usage]]
"""Lowbit's and the bare ones, pair by pair."""


def in_turn(runs: int, lowbit: Callable[[], Usage], bare: Callable[[], Usage], warm_up: int = 1) -> Runs:
    """Both in turn, `runs` times, each first in every other pair, so that a slow minute hits both; Lowbit's is the very
    first. The pairs of the warm-up, which fills the page cache, are thrown away."""
    taken: Runs = ([], [])
    for pair in range(warm_up + runs):
        number = pair + 1 - warm_up
        for side in (1, 0) if pair % 2 else (0, 1):
            usage = (lowbit, bare)[side]()
            who = ("Lowbit", "bare")[side]
            print(
                f"run {number} of {runs}, {who}: {usage.seconds:.1f} s, "
                f"CPU {usage.cpu_seconds:.1f} s, others {usage.others} cores",
                flush=True,
            )
            if number > 0:
                taken[side].append(usage)
    return taken


def beside(runs: Runs, shared: Sequence[str], label: str) -> list[Figure]:
    """Figures of both. shared names the parts that both have: together they are the same work; Lowbit's others are what
    it does beyond. Percents are of the bare one, pair by pair."""
    ours, bare = runs
    found: list[Figure] = []
    for unit, name, of in (
        ("s", "seconds", lambda usage: usage.seconds),
        ("s", "CPU seconds", lambda usage: usage.cpu_seconds),
        ("MiB", "peak memory", lambda usage: usage.peak_mib),
        ("s", "seconds of the same work", lambda usage: _sum(usage.parts, shared)),
        ("s", "CPU seconds of the same work", lambda usage: _sum(usage.cpu_parts, shared)),
    ):
        found += _compared(ours, bare, of, name, unit, label)
    found.append(figure(f"{label}: others meanwhile", "cores", [each.others for each in (*ours, *bare)]))
    for name in shared:
        found.append(figure(f"{label}: Lowbit, {name}", "s", [each.parts[name] for each in ours]))
        found.append(figure(f"{label}: bare, {name}", "s", [each.parts[name] for each in bare]))
    beyond = {name for usage in ours for name in usage.parts} - set(shared)
    found += _beyond(ours, bare, beyond, label)
    parts = {name: [usage.parts.get(name, 0.0) for usage in ours] for name in beyond}
    ordered = sorted(parts.items(), key=lambda item: -statistics.fmean(item[1]))
    return found + [figure(f"{label}: beyond: {name}", "s", seconds) for name, seconds in ordered]


def _compared(
    ours: Sequence[Usage], bare: Sequence[Usage], of: Callable[[Usage], float], name: str, unit: str, label: str
) -> list[Figure]:
    more = [100 * (of(one) / of(other) - 1) for one, other in zip(ours, bare, strict=True)]
    return [
        figure(f"{label}: Lowbit, {name}", unit, [of(each) for each in ours]),
        figure(f"{label}: bare, {name}", unit, [of(each) for each in bare]),
        figure(f"{label}: Lowbit beside bare, {name}", "%", more),
    ]


def _beyond(ours: Sequence[Usage], bare: Sequence[Usage], names: Iterable[str], label: str) -> list[Figure]:
    """What Lowbit does beyond, in seconds and beside all of the bare one."""
    names = tuple(names)
    seconds = [_sum(each.parts, names) for each in ours]
    cpu = [_sum(each.cpu_parts, names) for each in ours]
    shares = [100 * one / other.seconds for one, other in zip(seconds, bare, strict=True)]
    cpu_shares = [100 * one / other.cpu_seconds for one, other in zip(cpu, bare, strict=True)]
    return [
        figure(f"{label}: beyond, all of it, seconds", "s", seconds),
        figure(f"{label}: beyond, all of it, CPU seconds", "s", cpu),
        figure(f"{label}: beyond, all of it, beside the bare one's seconds", "%", shares),
        figure(f"{label}: beyond, all of it, beside the bare one's CPU seconds", "%", cpu_shares),
    ]


def _sum(parts: Mapping[str, float], names: Iterable[str]) -> float:
    return sum(parts.get(name, 0.0) for name in names)
