"""Plots of size, speed and latency."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.report.model import Plot, Sizes, SpeedRow
from lowbit.report.words import size
from lowbit.worker.report import plots

ORIGINAL, CANDIDATE = "Original", "Candidate"


def size_plot(sizes: Sizes) -> Plot:
    """Bytes of the original and of the artifact."""
    rows = [(ORIGINAL, float(sizes.source_bytes), size(sizes.source_bytes))]
    if sizes.artifact_bytes is not None and sizes.ratio is not None:
        words = f"{size(sizes.artifact_bytes)} ({sizes.ratio:.2f}x smaller)"
        rows.append(("Artifact", float(sizes.artifact_bytes), words))
    return Plot(title="Size of the weights", svg=plots.bars(rows))


def speed_plots(speed: Sequence[SpeedRow]) -> list[Plot]:
    """Throughput and latency, original and candidate in turn; none if nothing was measured."""
    throughput, latency = [], []
    for row in speed:
        at = f"{row.concurrency} at once" if row.concurrency > 1 else "one by one"
        both = row.original_tokens_per_second is not None
        if row.original_tokens_per_second is not None:
            before = row.original_tokens_per_second
            throughput.append((ORIGINAL, before, f"{before:.1f} tok/s, {at}"))
        if row.original_first_token_seconds is not None:
            before = row.original_first_token_seconds
            latency.append((ORIGINAL, before, f"{1000 * before:.0f} ms, {at}"))
        name = CANDIDATE if both else ORIGINAL
        throughput.append((name, row.tokens_per_second, f"{row.tokens_per_second:.1f} tok/s, {at}"))
        latency.append((name, row.first_token_seconds, f"{1000 * row.first_token_seconds:.0f} ms, {at}"))
    if not throughput:
        return []
    return [
        Plot(title="Generated tokens per second", text="More is better.", svg=plots.bars(throughput)),
        Plot(title="Latency: median time to the first token", text="Less is better.", svg=plots.bars(latency)),
    ]
