"""Rows of a fidelity suite: means over groups of texts, percentiles over tokens, and slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lowbit.api.status import Measurement
from lowbit.api.suites.fidelity_metrics import KL_DIVERGENCE, KL_P99, KL_P999, TOP1_AGREEMENT
from lowbit.api.suites.metric import Metric
from lowbit.worker.suites import scoring
from lowbit.worker.suites.measurement import Slice, measurement
from lowbit.worker.suites.scoring import Booleans, Comparison, Floats, Integers

LENGTHS: Final = (("0-256", 0), ("256-1k", 256), ("1k-4k", 1024), ("4k-16k", 4096), ("16k-64k", 16_384))
"""Slices by length: tokens that have so many tokens before them. A text counts in each that it reaches."""
LAST = 65_536
LEAST_IN_SLICE = 16
"""Tokens that a text must have in a slice to count in it: a mean of fewer says little."""
LEAST_GROUPS = 2
"""One group has no standard error."""
SEED = 0
"""Of the bootstrap: equal samples give equal errors."""


@dataclass(frozen=True)
class Rows:
    """Makes measurements from values at all scored positions: means over groups of the means over their texts of the
    means over their tokens.

    Standard errors count groups, because neither the tokens of a text nor the texts of a document are independent.
    """

    suite: str
    lengths: Integers
    """[texts]: scored positions of each."""
    groups: Integers
    """[texts]: number of the group."""

    def units(self, values: npt.NDArray[Any], selected: Booleans | None = None) -> Floats:
        """[groups]: means of values [positions], or of the selected ones; groups without any are left out."""
        if selected is None:
            means = scoring.text_means(values, self.lengths)
        else:
            means = scoring.selected_means(values, self.lengths, selected, LEAST_IN_SLICE)
        return scoring.group_means(means, self.groups)

    def of(self, metric: Metric, values: npt.NDArray[Any]) -> Measurement:
        """values: [positions], on the metric's scale."""
        return measurement(self.suite, metric, scoring.mean(self.units(values)))

    def tails(self, divergences: Floats) -> list[Measurement]:
        """Percentiles over all tokens, which a mean hides."""
        shares = ((KL_P99, 0.99), (KL_P999, 0.999))
        return [
            measurement(
                self.suite, metric, scoring.percentile(divergences, self.lengths, self.groups, share, SEED)
            )
            for metric, share in shares
        ]  # fmt: skip

    def slices(self, comparison: Comparison, turns: Integers) -> list[Measurement]:
        """Divergence and agreement by length and by turns; of a kind with one slice alone, none: that is the whole.

        turns: [texts].
        """
        found = []
        for parts in list(self.by_length()), list(self.by_turns(turns)):
            for slice_, selected in parts if len(parts) > 1 else []:
                for metric, values in (
                    (KL_DIVERGENCE, comparison.kl_divergence), (TOP1_AGREEMENT, comparison.agreement)
                ):  # fmt: skip
                    mean = scoring.mean(self.units(values, selected))
                    found.append(measurement(self.suite, metric, mean, slice_))
        return found

    def by_length(self) -> Iterator[tuple[Slice, Booleans]]:
        """Slices by how many tokens a token has before it, with the positions [positions] in each."""
        before = np.concatenate([np.arange(1, length + 1) for length in self.lengths])
        edges = [*LENGTHS, ("", LAST)]
        for (name, least), (_, end) in pairwise(edges):
            selected = (before > least) & (before <= end)
            if self.enough(selected):
                yield Slice(name, "Length"), selected

    def by_turns(self, turns: Integers) -> Iterator[tuple[Slice, Booleans]]:
        """Chats in which a user speaks once, and others."""
        for name, chosen in (("SingleTurn", turns == 1), ("MultiTurn", turns > 1)):
            selected = np.repeat(chosen, self.lengths)
            if self.enough(selected):
                yield Slice(name, "Turns"), selected

    def enough(self, selected: Booleans) -> bool:
        """Whether there are groups enough for a standard error."""
        return bool(selected.any()) and len(self.units(selected, selected)) >= LEAST_GROUPS
