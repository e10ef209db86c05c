"""Conditions as kstatus reads them. A transition time moves only when the status does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.api.status import Condition
from lowbit.decide.outcome import Clock

MESSAGE_LIMIT = 1024


@dataclass(frozen=True)
class Subject:
    """What conditions are told of: the object's generation and its conditions so far, and the time."""

    old: Sequence[Condition]
    generation: int
    clock: Clock


def condition(of: Subject, type_: str, status: str, reason: str, message: str) -> Condition:
    """The condition. The transition time is kept if the status is the same; the old object is kept if it is equal."""
    before = next((known for known in of.old if known.type == type_), None)
    since = before.last_transition_time if before is not None and before.status == status else of.clock.text
    message = message[:MESSAGE_LIMIT]
    if before is not None and _says(before) == (status, reason, message, of.generation):
        return before
    return Condition.model_validate(
        {
            "type": type_, "status": status, "reason": reason, "message": message,
            "last_transition_time": since, "observed_generation": of.generation,
        }
    )  # fmt: skip


def _says(known: Condition) -> tuple[str, str, str, int]:
    return known.status, known.reason, known.message, known.observed_generation
