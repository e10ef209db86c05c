"""Problems between a manifest and a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something that cannot work, and what to write instead."""

    field: str
    """Path in the manifest: spec.engine.vllm.tensorParallelSize."""
    reason: str
    """One word in CamelCase."""
    message: str
    action: str


class Refused(Exception):  # noqa: N818 - it is a verdict on the input, not an error of the program
    """The model and the manifest do not fit; carries every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first of many names, for a message."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
