"""Short texts, made from parts: enough for a model of few layers, different for calibration and evaluation."""

from __future__ import annotations

from itertools import product

SUBJECTS = (
    "The harbour", "A small library", "The night train", "Our garden", "An old clock", "The mountain road",
    "The bakery", "A blue tent", "The last ferry", "Their kitchen", "A stone bridge", "The school",
)  # fmt: skip
VERBS = (
    "was quiet before", "reminded everyone of", "changed a little after", "looked different in", "was built during",
    "was forgotten until",
)  # fmt: skip
ENDINGS = (
    "the first snow of the year, when the shops close early and people walk home slowly.",
    "the long summer, which nobody in the village had expected to last until October.",
    "the election, although the newspapers wrote about nothing else for three weeks.",
    "the great flood, which took the fields but left the houses on the hill untouched.",
    "the visit of the queen, who stayed for an hour and asked about the price of bread.",
    "the strike, when for eleven days no ship was loaded and no letter was delivered.",
)


def sentences() -> list[str]:
    """Every combination, in a fixed order."""
    return [f"{subject} {verb} {ending}" for subject, verb, ending in product(SUBJECTS, VERBS, ENDINGS)]


def calibration() -> list[str]:
    """Texts that the quantizer sees: long enough for samples of a hundred tokens."""
    every = sentences()[0::2]
    return [" ".join((first, second, third)) for first, second, third in zip(every, every[1:], every[2:], strict=False)]


def holdout() -> list[str]:
    """Texts that it does not see: as many as the gate needs for three candidates, of one sentence each."""
    return sentences()[1::2]
