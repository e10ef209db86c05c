"""Scorers: what makes an answer right. One for each name in `generation.scorer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.worker.suites.scorers.base import ExpectedError, Scored, Scorer, said
from lowbit.worker.suites.scorers.choices import MultipleChoice
from lowbit.worker.suites.scorers.numbers import Numeric
from lowbit.worker.suites.scorers.structures import JSONSchema, ToolCalls
from lowbit.worker.suites.scorers.texts import Exact, Pattern, Refusal

__all__ = ["SCORERS", "ExpectedError", "Scored", "Scorer", "said"]

SCORERS: Final[Mapping[str, Callable[[ResolvedGeneration], Scorer]]] = {
    "Exact": lambda _: Exact(),
    "Numeric": lambda _: Numeric(),
    "MultipleChoice": lambda _: MultipleChoice(),
    "Pattern": lambda settings: Pattern(settings.pattern),
    "JSONSchema": lambda settings: JSONSchema(settings.json_schema),
    "ToolCall": lambda _: ToolCalls(),
    "Refusal": lambda _: Refusal(),
}
"""Made from a suite's settings. Each may raise ExpectedError for a setting that cannot be used."""
