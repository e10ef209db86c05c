"""How a stage says why it ends: a lasting reason (RefusalError), or an engine that cannot be trusted (EngineError).

Everything else that a stage raises counts as a passing reason, and the Job is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.problem import Problem
from lowbit.api.termination import Refusal

MESSAGE_LIMIT = 2400
ACTION_LIMIT = 1200
"""In characters: together they fit into a termination message."""


class RefusalError(Exception):
    """A lasting reason: trying again cannot help. Says what happened, why, and what to change."""

    def __init__(self, reason: str, message: str, action: str) -> None:
        super().__init__(f"{message} ({action})")
        self.refusal = Refusal(reason=reason, message=cut(message, MESSAGE_LIMIT), action=cut(action, ACTION_LIMIT))


class EngineError(Exception):
    """The engine restarted or dropped a request: the run is invalid, and may be tried again."""


def cut(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis where it is longer than limit characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def from_problems(name: str, problems: Sequence[Problem]) -> RefusalError:
    """One refusal out of every problem between the manifest of QuantizedModel name and its model."""
    what = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
    todo = "; ".join(f"{problem.field}: {problem.action}" for problem in problems)
    return RefusalError(problems[0].reason, f"QuantizedModel {name} does not fit its model: {what}", todo)
