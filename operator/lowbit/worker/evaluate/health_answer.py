"""What a model answered to a prompt that every evaluation asks, as it is stored."""

from __future__ import annotations

from typing import Literal

from lowbit.api.base import Tolerant
from lowbit.worker.engines.base import Reply


class HealthAnswer(Tolerant):
    """One answer to one of the prompts."""

    id: str
    prompt: str
    """A long one only by its length."""
    category: str
    text: str
    ended: Literal["Stop", "Length", "ToolCalls"]
    prompt_tokens: int
    output_tokens: int
    expected: str = ""
    """Of a long prompt: a word that the answer has to have."""

    def reply(self) -> Reply:
        """As the engine gave it."""
        return Reply(self.text, self.ended, self.prompt_tokens, self.output_tokens)
