"""Answers that choose a letter."""

from __future__ import annotations

import re
from typing import Any

from lowbit.worker.engines.base import Constraint, Reply
from lowbit.worker.suites.scorers.base import UNREADABLE, ExpectedError, Scored, Scorer, said

LETTERS = "ABCDEFGHIJ"
AFTER_MARK = re.compile(
    r"(?i:\b(?:answer|choice|option)\b(?: is)?)\s*:?\s*[\"'*(\[]*(?i:option )?([A-J])\b(?![’'])", re.DOTALL
)
"""The answer is (B); Answer: B."""
ALONE = re.compile(r"^[\s\"'*(\[]*([A-Ja-j])[\s\"'*)\].:,;]*(?:$|[\n).:])")
"""B; (b) because; B. Paris."""
IN_BRACKETS = re.compile(r"\(([A-J])\)|\*\*([A-J])\*\*|\b([A-J])\)")


class MultipleChoice(Scorer):
    """The letter that an answer chooses: what it says the answer is, or begins with, or the only one in brackets."""

    def check(self, expected: Any) -> None:
        """One letter from A to J."""
        if not isinstance(expected, str) or len(expected.strip(" ().")) != 1 or letter(expected) not in LETTERS:
            raise ExpectedError("expects no letter of a choice", 'write the letter of the right choice, such as "B"')

    def score(self, reply: Reply, expected: Any) -> Scored:
        """Right if it chooses the expected letter."""
        found = chosen(said(reply))
        return UNREADABLE if found is None else Scored(found == letter(expected), found=found)

    def constraint(self, expected: Any) -> Constraint | None:
        """One letter."""
        return Constraint(choices=tuple(LETTERS))


def letter(text: str) -> str:
    """The letter, as it is listed."""
    return text.strip(" ().").upper()


def chosen(text: str) -> str | None:
    """The letter that a text chooses; None if it chooses none, or several."""
    if marked := AFTER_MARK.findall(text):
        return str(marked[-1]).upper()
    named = {"".join(groups) for groups in IN_BRACKETS.findall(text)}
    if begins := ALONE.match(text):
        named.add(begins[1].upper())
    return named.pop() if len(named) == 1 else None
