"""When a status is told: at once, or, while many keys wait, after what has to be made.

With a thousand changes at once, each status would be written before the next key's children, and soon be out of date.
So a status waits a little, and reports several steps in one write.
"""

from __future__ import annotations

from collections.abc import Callable

from lowbit.observe.keys import Key
from lowbit.state.plan import Plan

LATEST = 30.0
"""Seconds after which a status is put off no more: as long as progress waits."""
ENDS = frozenset({"Serving", "Passed"})
"""Stages that somebody waits for."""


class StatusDebouncer:
    """Statuses that are put off. clock gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}

    def put_off(self, key: Key, plan: Plan, *, crowded: bool) -> bool:
        """Whether the status of a plan is put off, since others wait.

        Never put off: the status of a ModelRevision or ModelEvaluation, on which others rest; failures; and that a
        model is served now.
        """
        if not crowded or not _can_wait(plan):
            return False
        now = self._clock()
        return now < self._due.setdefault(key, now + LATEST)

    def carried_out(self, key: Key, plan: Plan) -> None:
        """A plan whose status was not put off was carried out. After a fact there may still be something untold."""
        if plan.status is None or plan.status.kind == "QuantizedModel":
            self._due.pop(key, None)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._due.pop(key, None)


def _can_wait(plan: Plan) -> bool:
    if plan.status is None or plan.status.kind != "QuantizedModel":
        return False
    return all(event.type == "Normal" and event.reason not in ENDS for event in plan.events)
