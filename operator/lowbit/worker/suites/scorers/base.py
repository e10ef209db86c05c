"""What a scorer is."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from lowbit.worker.engines.base import Constraint, Reply

THOUGHT_END = "</think>"
"""Ends a model's thoughts where no reasoning parser of the engine took them out."""
EDGES = " \t\n\r.,;:!?\"'`*_()[]{}<>“”‘’„"
"""Around an answer they mean nothing."""


@dataclass(frozen=True)
class Scored:
    """One answer, scored."""

    right: bool
    parsed: bool = True
    """Whether the scorer could read it. What it cannot read is wrong."""
    found: str = ""
    """What the scorer took for the answer."""


UNREADABLE = Scored(right=False, parsed=False)


class ExpectedError(Exception):
    """What a line expects cannot be used: says why, and what to write."""

    def __init__(self, problem: str, action: str) -> None:
        super().__init__(problem)
        self.problem, self.action = problem, action


class Scorer(ABC):
    """Says whether an answer is right."""

    @abstractmethod
    def check(self, expected: Any) -> None:
        """Raises ExpectedError if nothing can be scored against it."""

    @abstractmethod
    def score(self, reply: Reply, expected: Any) -> Scored:
        """One answer against what check() has let pass."""

    def constraint(self, expected: Any) -> Constraint | None:
        """What an answer must be like for this scorer to read it; None if it cannot say."""
        return None


def said(reply: Reply) -> str:
    """The answer without the thoughts before it."""
    return reply.text.rpartition(THOUGHT_END)[2].strip()


def plain(text: str) -> str:
    """The text without differences that mean nothing: case, space, Unicode's forms, punctuation around it."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(EDGES)


def listed(expected: Any) -> list[Any]:
    """What is expected, as alternatives."""
    return expected if isinstance(expected, list) else [expected]


def name_of(value: Any) -> str:
    """A text, a number or true and false as a text. Raises ExpectedError for something else, or for nothing."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise ExpectedError("expects no text", "write the right answer as a text, or a list of texts that are all right")
