"""The work queue: each key at most once, never in two hands, backoff after failures; a lane is first in, first out.

Thousands may be due at once. What has changed goes before what is new, so that work that was begun ends first.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

FIRST_BACKOFF = 0.1
LAST_BACKOFF = 300.0
"""Seconds."""
NEW_TURN = 32
"""Serve the NEW lane at least every 32 turns."""


class Lane(IntEnum):
    """Who goes first."""

    CHANGED = 0
    NEW = 1
    """Nothing was begun for it yet, or it is only looked at."""


def backoff(failures: int, jitter: float) -> float:
    """Seconds until the next try after so many failures: doubled each time, up to a limit; jitter is from 0 to 1."""
    whole = min(FIRST_BACKOFF * 2.0 ** min(failures - 1, 30), LAST_BACKOFF)
    return whole * (0.75 + jitter / 2)


class WorkQueue(Generic[T]):
    """Keys to be worked on. clock gives seconds that never go back, jitter numbers from 0 to 1."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._lanes: tuple[OrderedDict[T, float], ...] = tuple(OrderedDict() for _ in Lane)
        """In the order of arrival, with the time of arrival."""
        self._turns = 0
        self._active: set[T] = set()
        self._again: dict[T, Lane] = {}
        self._due: dict[T, float] = {}
        self._later: list[tuple[float, int, T]] = []
        self._order = itertools.count()
        self._failures: dict[T, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: T, lane: Lane = Lane.CHANGED) -> None:
        """Put a key on the queue. One that is there already, or in work, is there once, in the lane that goes first."""
        if key in self._active:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        if any(key in held for held in self._lanes[: lane + 1]):
            return
        since = self._clock()
        for held in self._lanes[lane + 1 :]:
            since = held.pop(key, since)
        self._lanes[lane][key] = since
        self._wake.set()

    def add_all(self, keys: Iterable[T], lane: Lane = Lane.CHANGED) -> None:
        """Put keys on the queue."""
        for key in keys:
            self.add(key, lane)

    def add_after(self, key: T, seconds: float) -> None:
        """Put a key on the queue later. Of two such wishes for a key the earlier one counts."""
        due = self._clock() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._order), key))
        self._wake.set()

    def take(self) -> T | None:
        """The next key, if one is due. It is in work until `done`."""
        self._move_due()
        if not any(self._lanes):
            return None
        self._turns += 1
        lane = self._turn()
        key, _ = self._lanes[lane].popitem(last=False)
        self._active.add(key)
        return key

    def _turn(self) -> Lane:
        """Whose turn it is."""
        if self._turns % NEW_TURN == 0 and self._lanes[Lane.NEW]:
            return Lane.NEW
        return next(lane for lane in Lane if self._lanes[lane])

    def _age(self, lane: Lane) -> float:
        """Seconds for which the first in a lane has waited."""
        held = self._lanes[lane]
        return self._clock() - next(iter(held.values())) if held else 0.0

    def done(self, key: T) -> None:
        """The work on a key has ended; what was added meanwhile is due now."""
        self._active.discard(key)
        if (lane := self._again.pop(key, None)) is not None:
            self.add(key, lane)

    def succeeded(self, key: T) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def failed(self, key: T, at_least: float = 0.0) -> float:
        """Put a key on the queue after its backoff (at least so many seconds). The seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        seconds = max(at_least, backoff(self._failures[key], self._jitter()))
        self.add_after(key, seconds)
        return seconds

    def next_due(self) -> float | None:
        """Seconds until something is due; None when nothing is."""
        if any(self._lanes):
            return 0.0
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    async def get(self) -> T:
        """Wait for the next key."""
        while True:
            if (key := self.take()) is not None:
                if any(self._lanes):
                    self._wake.set()  # there is more for another worker
                return key
            self._wake.clear()
            try:
                async with asyncio.timeout(self.next_due()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    @property
    def depth(self) -> int:
        """Keys that wait and are due."""
        self._move_due()
        return sum(map(len, self._lanes))

    @property
    def age(self) -> float:
        """Seconds for which the oldest key has waited."""
        self._move_due()
        return max(self._age(lane) for lane in Lane)

    def failing(self) -> int:
        """Keys whose last reconcile failed."""
        return len(self._failures)

    def _move_due(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
