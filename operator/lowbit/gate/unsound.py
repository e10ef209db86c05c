"""Answers of a candidate that are implausibly unsound beside its original's: empty, looping, cut off, running on.

A model that falls silent or never stops is broken for its clients, whatever its scores are. The evaluation asks about
twenty prompts of its own: so few that ten points are two answers. A candidate must also be surely worse at all.
"""

from __future__ import annotations

from math import comb, isfinite, log
from statistics import NormalDist
from typing import Final

from lowbit.api.status import Measurement
from lowbit.api.suites.health_metrics import HEALTH, LENGTH_RATIO, SIGNS
from lowbit.gate.measured import number

UNSOUND: Final = 0.1
"""By so much more a share of the candidate's answers may be unsound."""
UNSOUND_RATIO: Final = 1.5
"""Factor by which its answers may be longer or shorter."""
SURE: Final = 0.95
"""One-sided confidence that the candidate is worse at all."""
LOOK: Final = (
    "Look at its answers in the report, and whether its chat template, its tokenizer and its generation_config.json "
    "are those of the original"
)


def unsound(row: Measurement) -> str | None:
    """What is implausible of one row on the soundness of answers; None of every other row."""
    if row.suite != HEALTH or row.slice is not None or row.mean is None:
        return None
    value = number(row.mean.value)
    if row.metric == LENGTH_RATIO.name:
        return _length(row, value, number(row.mean.standard_error))
    title = next((sign.title for sign in SIGNS if sign.name == row.metric), None)
    if title is None or row.original is None:
        return None
    before = number(row.original)
    if row.count < 1 or not (0 <= value <= 1 and 0 <= before <= 1):
        return (
            f"{title}: {row.mean.value} of the candidate's {row.count} answers and {row.original} of the original's "
            "are no shares"
        )
    if value - before <= UNSOUND or not surely_more(value, before, row.count):
        return None
    return (
        f"{title}: {value:.0%} of the candidate's {row.count} answers to the evaluation's own prompts, "
        f"{before:.0%} of the original's. {LOOK}"
    )


def _length(row: Measurement, value: float, error: float) -> str | None:
    """value: the mean logarithm of the ratio."""
    # Without a number for the error nothing is sure.
    if not isfinite(error) or abs(value) <= max(log(UNSOUND_RATIO), NormalDist().inv_cdf(SURE) * error):
        return None
    return (
        f"The candidate's {row.count} answers to the evaluation's own prompts are {LENGTH_RATIO.of(value):.2f} times "
        f"as long as the original's. {LOOK}"
    )


def surely_more(share: float, before: float, count: int) -> bool:
    """Whether a share of count answers is surely larger than another's (Fisher's exact test, one-sided)."""
    more, less = round(share * count), round(before * count)
    both = more + less
    tail = sum(comb(count, k) * comb(count, both - k) for k in range(more, min(count, both) + 1))
    return tail / comb(2 * count, both) <= 1 - SURE  # whole numbers, too large for a float alone
