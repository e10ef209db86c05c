"""Signs that a model's answers are not sound, whatever they are about. No gate asks for one (but gate/unsound.py)."""

from __future__ import annotations

from typing import Final

from lowbit.api.suites.metric import Metric

HEALTH: Final = "Health"
"""What the rows of an evaluation's own few prompts have in place of a suite's name, which has no capital letter."""


def _share(name: str, title: str, meaning: str) -> Metric:
    return Metric(name, title, meaning, better="Lower", greatest=1.0, bound=None, perfect=True, unit="answer")


LENGTH_RATIO = Metric(
    name="LengthRatio", title="Length ratio",
    meaning="tokens of an answer, candidate / original, exp of the mean of the logarithms; 1 is equal",
    better="Lower", scale="Logarithmic", bound=None, unit="answer",
)  # fmt: skip
LOOP_SHARE = _share("LoopShare", "Loops", "share of answers that end in the same words or lines over and over")
TRUNCATED_SHARE = _share("TruncatedShare", "Cut off", "share of answers that were cut off because they did not end")
RUN_ON_SHARE = _share(
    "RunOnShare", "Runs on", "share of answers that go on with another turn, or print a special token"
)
EMPTY_SHARE = _share("EmptyShare", "Empty", "share of answers that say nothing")

SIGNS: Final = (LOOP_SHARE, TRUNCATED_SHARE, RUN_ON_SHARE, EMPTY_SHARE)
"""Each a share of answers."""
HEALTH_METRICS: Final = (LENGTH_RATIO, *SIGNS)
