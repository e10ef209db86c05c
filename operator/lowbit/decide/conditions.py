"""Conditions as kstatus reads them. A transition time moves only when the status does."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.status import Condition
from lowbit.decide.outcome import Clock

MESSAGE_LIMIT = 1024


def condition(
    old: Sequence[Condition], type_: str, status: str, reason: str, message: str, generation: int, clock: Clock
) -> Condition:
    """The condition, with the old transition time where the status is the same; the old one itself where nothing is new."""
    before = next((known for known in old if known.type == type_), None)
    since = before.last_transition_time if before is not None and before.status == status else clock.text
    message = message[:MESSAGE_LIMIT]
    if before is not None and _says(before) == (status, reason, message, generation):
        return before
    return Condition.model_validate(
        {
            "type": type_, "status": status, "reason": reason, "message": message,
            "last_transition_time": since, "observed_generation": generation,
        }
    )  # fmt: skip


def _says(known: Condition) -> tuple[str, str, str, int]:
    return known.status, known.reason, known.message, known.observed_generation
