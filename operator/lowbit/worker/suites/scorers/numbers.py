"""Answers that are a number."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from lowbit.worker.engines.base import Reply
from lowbit.worker.suites.scorers.base import UNREADABLE, ExpectedError, Scored, Scorer, listed, said

NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/[1-9]\d*)?(?![\w])|(?<![\w.])[-+−]?\.\d+(?!\w)"
)
"""12, -3, 1,234.5, .5, 3/4; not the digits inside of a word or of a version."""
MARKED = re.compile(r"(?:####|\\boxed\{|(?:answer|result)\s*(?:is|:|=))\s*\$?\s*([^\n]{0,80})", re.IGNORECASE)
"""How answers mark what they end with."""
MOST_DIGITS = 40
NEAR = Fraction(1, 1_000_000)
"""Relative difference within which two numbers are equal."""


class Numeric(Scorer):
    """The number after a mark such as "####" or "the answer is", else the last number."""

    def check(self, expected: Any) -> None:
        """A number, or a text that has one."""
        if not listed(expected) or any(number_in(each) is None for each in listed(expected)):
            raise ExpectedError("expects no number", 'write the right number, such as 42 or "42"')

    def score(self, reply: Reply, expected: Any) -> Scored:
        """Equal to a millionth."""
        found = number_in(said(reply))
        if found is None:
            return UNREADABLE
        wanted = [value for each in listed(expected) if (value := number_in(each)) is not None]
        return Scored(any(abs(found - each) <= NEAR * abs(each) for each in wanted), found=shown(found))


def number_in(value: Any) -> Fraction | None:
    """The number that a value is or that a text ends with; None if there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, float):
        return Fraction(value) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN
    marked = [match[1] for match in MARKED.finditer(text) if NUMBER.search(match[1])]
    found = NUMBER.findall(marked[-1])[:1] if marked else NUMBER.findall(text)[-1:]
    return parse(found[0]) if found and len(found[0]) <= MOST_DIGITS else None


def parse(text: str) -> Fraction:
    """The number as it is written."""
    whole, _, divisor = text.replace(",", "").replace("−", "-").partition("/")
    return Fraction(whole) / Fraction(divisor or "1")


def shown(number: Fraction) -> str:
    """For people: whole numbers as such."""
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.10g}"
