"""The showcase: a few prompts whose answers people want to read, of the original and of each candidate. No gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import ObjectName, Tolerant, Wire

MOST_PROMPTS = 32


class ShowcaseMessage(Wire):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str = Field(min_length=1, max_length=4000)
    """What is said."""


class ShowcasePrompt(Wire):
    """What is asked: a chat, which goes through the model's template, or a text that is continued. Exactly one."""

    name: ObjectName
    """Name of the prompt in reports."""
    messages: list[ShowcaseMessage] | None = Field(default=None, min_length=1, max_length=8)
    """A chat, to which the model gives the next answer."""
    text: str | None = Field(default=None, min_length=1, max_length=4000)
    """A text that the model goes on with, without a chat template."""


class Showcase(Wire):
    """Prompts whose answers are shown side by side: of the original, of the candidate, and of what serves."""

    prompts: list[ShowcasePrompt] = Field(min_length=1, max_length=MOST_PROMPTS)
    """What is asked. Answers are drawn as a client of serving gets them that asks for no sampling of its own."""
    output_tokens: int = Field(default=256, ge=1, le=4096)
    """The longest answer in tokens."""


class ShowcaseAnswer(Tolerant):
    """One answer, or why there is none."""

    name: str
    """Name of the prompt."""
    text: str = ""
    ended: str = ""
    """Stop, Length (it was cut off) or ToolCalls."""
    refused: str = ""
    """Why the server refused the request."""


class ServedShowcase(Tolerant):
    """What the served model has answered through the guard, after its rollout."""

    revision: str
    """The revision that was asked."""
    key: str
    """Hash of what was asked."""
    answered: int
    refused: int = 0
    same: int = 0
    """Answers that are word for word those of the evaluation. Sampled ones differ by chance."""
    path: str
    """Path of showcase.html below the store's root."""
    digest: str
    """SHA-256 of that page."""
