"""What changes while another one leads, or nobody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from lowbit.observe.keys import Key


class Standby:
    """Keys by when they last changed: of the latest ones the last leader may not have seen to. clock gives seconds that never
    go back; what is older than horizon seconds, somebody has led through.
    """

    def __init__(self, clock: Callable[[], float], horizon: float) -> None:
        self._clock = clock
        self._horizon = horizon
        self._changed: OrderedDict[Key, float] = OrderedDict()
        """In the order of the times."""

    def __len__(self) -> int:
        return len(self._changed)

    def changed(self, keys: Iterable[Key]) -> None:
        """These have changed now."""
        now = self._clock()
        for key in keys:
            self._changed[key] = now
            self._changed.move_to_end(key)
        self._forget()

    def take(self) -> list[Key]:
        """What this operator sees to first when it begins to lead, the longest waiting first. Nothing is kept."""
        self._forget()
        keys = list(self._changed)
        self._changed.clear()
        return keys

    def _forget(self) -> None:
        oldest = self._clock() - self._horizon
        while self._changed and self._changed[first := next(iter(self._changed))] < oldest:
            del self._changed[first]
