"""Errors that a stage raises on purpose: a permanent one (RefusalError), one that may pass (LaterError), or a failed
engine (EngineError).

Every other exception is named by worker/errors, which says whether it may pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from lowbit.api.problem import Problem
from lowbit.api.refusal import RefusalError, cut

__all__ = ["EngineError", "LaterError", "RefusalError", "causes", "cut", "from_problems"]


class LaterError(RefusalError):
    """An error that may pass by itself, or by what somebody does elsewhere. The operator tries again after a pause.

    retry_after: seconds that a server asked to wait.
    """

    def __init__(self, reason: str, message: str, action: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message, action)
        if retry_after is not None:
            self.refusal = self.refusal.model_copy(update={"retry_after": ceil(retry_after)})


class EngineError(Exception):
    """The engine restarted or dropped a request: the run is invalid, and may be retried."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was raised from, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def from_problems(name: str, problems: Sequence[Problem]) -> RefusalError:
    """One refusal with every problem between the QuantizedModel called name and its model."""
    what = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
    todo = "; ".join(f"{problem.field}: {problem.action}" for problem in problems)
    return RefusalError(problems[0].reason, f"QuantizedModel {name} does not fit its model: {what}", todo)
