"""The error of work that cannot go on, in words for people. A stage ends with it, and the command line prints it."""

from __future__ import annotations

from lowbit.api.termination import Refusal

MESSAGE_LIMIT = 2400
ACTION_LIMIT = 1200
"""In characters: together they fit into a termination message."""


class RefusalError(Exception):
    """A permanent error: a retry cannot help. Says what happened, why, and what to change."""

    def __init__(self, reason: str, message: str, action: str) -> None:
        super().__init__(f"{message} ({action})")
        self.refusal = Refusal(reason=reason, message=cut(message, MESSAGE_LIMIT), action=cut(action, ACTION_LIMIT))


def cut(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis if it is longer than limit characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
