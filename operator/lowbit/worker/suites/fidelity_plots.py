"""Plots and tables of a fidelity suite in the report."""

from __future__ import annotations

import numpy as np

from lowbit.worker.report import plots
from lowbit.worker.suites.base import Section
from lowbit.worker.suites.scoring import Comparison, Integers, text_means

LEAST_KL = 1e-6
"""Left end of the histogram, in nats: below this, two models are practically equal."""
WORST_TEXTS = 5


def divergence(suite: str, comparison: Comparison, lengths: Integers) -> Section:
    """The histogram over tokens, and the quantiles."""
    values = comparison.kl_divergence
    quantiles = np.quantile(values, [0.5, 0.9, 0.99, 1.0])
    names = ("median", "90 %", "99 %", "largest")
    words = " · ".join(f"{name} {value:.3g}" for name, value in zip(names, quantiles, strict=True))
    return Section(
        f"KL divergence by token · {suite}",
        f"Share of tokens by how far the two models' next-token distributions are apart. {words} nats, over "
        f"{int(lengths.sum())} scored tokens of {len(lengths)} texts.",
        plots.histogram(values.tolist(), LEAST_KL, "KL divergence of a token, nats", float(np.mean(values))),
    )


def worst(suite: str, comparison: Comparison, lengths: Integers) -> Section:
    """The texts on which the two differ most."""
    divergences = text_means(comparison.kl_divergence, lengths)
    agreements = text_means(comparison.agreement, lengths)
    order = np.argsort(-divergences, kind="stable")[:WORST_TEXTS]
    return Section(
        f"Texts that differ most · {suite}",
        "Texts are counted from 0 among those that were read; every token is in details.npz beside this report.",
        header=("Text", "Scored tokens", "KL divergence", "Top-1 agreement"),
        rows=[
            (str(text), str(int(lengths[text])), f"{divergences[text]:.4g}", f"{agreements[text]:.3f}")
            for text in order.tolist()
        ],
    )
