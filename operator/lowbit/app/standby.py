"""Recent changes that the previous leader may have missed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from lowbit.observe.keys import Key


class Standby:
    """Keys of objects that changed while this operator did not lead, by the time of their last change.

    clock: seconds, monotonic. Changes older than horizon seconds are dropped: a leader has handled them.
    """

    def __init__(self, clock: Callable[[], float], horizon: float) -> None:
        self._clock = clock
        self._horizon = horizon
        self._changed: OrderedDict[Key, float] = OrderedDict()
        """Ordered by time."""

    def __len__(self) -> int:
        return len(self._changed)

    def changed(self, keys: Iterable[Key]) -> None:
        """Note that these have changed now."""
        now = self._clock()
        for key in keys:
            self._changed[key] = now
            self._changed.move_to_end(key)
        self._forget()

    def take(self) -> list[Key]:
        """Take all keys out, the oldest change first: a new leader reconciles them first."""
        self._forget()
        keys = list(self._changed)
        self._changed.clear()
        return keys

    def _forget(self) -> None:
        oldest = self._clock() - self._horizon
        while self._changed and self._changed[first := next(iter(self._changed))] < oldest:
            del self._changed[first]
