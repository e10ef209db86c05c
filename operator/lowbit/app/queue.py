"""The work queue: each key at most once, in the order of arrival, never in two hands, later again after a failure.

At a start thousands of keys are due at once, and nothing has to be done for most of them: what has changed goes before them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

FIRST_BACKOFF = 0.1
LAST_BACKOFF = 300.0
"""Seconds."""
CROWD = 50
"""So many keys that wait are many: about a second's work."""
PATIENT_TURN = 4
"""Of so many keys one is a patient one, where there are any: they are never forgotten."""


def backoff(failures: int, jitter: float) -> float:
    """Seconds until the next try after so many failures: doubled each time, up to a limit; jitter is from 0 to 1."""
    whole = min(FIRST_BACKOFF * 2.0 ** min(failures - 1, 30), LAST_BACKOFF)
    return whole * (0.75 + jitter / 2)


class WorkQueue(Generic[T]):
    """Keys to be worked on. clock gives seconds that never go back, jitter numbers from 0 to 1."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._waiting: dict[T, float] = {}  # in the order of arrival, with the time of arrival
        self._patient: dict[T, float] = {}
        self._turns = 0
        self._active: dict[T, bool] = {}  # with whether it had been patient
        self._again: dict[T, bool] = {}
        self._due: dict[T, float] = {}
        self._later: list[tuple[float, int, T]] = []
        self._order = itertools.count()
        self._failures: dict[T, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: T, *, patient: bool = False) -> None:
        """Put a key on the queue. One that is there already, or in work, is there once. A patient one lets others go before."""
        if key in self._active:
            self._again[key] = patient and self._again.get(key, True)
        elif key not in self._waiting and not (patient and key in self._patient):
            lane = self._patient if patient else self._waiting
            lane[key] = self._patient.pop(key, self._clock())
            self._wake.set()

    def add_all(self, keys: Iterable[T], *, patient: bool = False) -> None:
        """Put keys on the queue."""
        for key in keys:
            self.add(key, patient=patient)

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
        if not self._waiting and not self._patient:
            return None
        self._turns += 1
        patient = bool(self._patient) and (not self._waiting or self._turns % PATIENT_TURN == 0)
        lane = self._patient if patient else self._waiting
        key = next(iter(lane))
        del lane[key]
        self._active[key] = patient
        return key

    def done(self, key: T) -> None:
        """The work on a key has ended; what was added meanwhile is due now."""
        self._active.pop(key, None)
        if (patient := self._again.pop(key, None)) is not None:
            self.add(key, patient=patient)

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
        if self._waiting or self._patient:
            return 0.0
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    async def get(self) -> T:
        """Wait for the next key."""
        while True:
            if (key := self.take()) is not None:
                if self._waiting or self._patient:
                    self._wake.set()  # there is more for another worker
                return key
            self._wake.clear()
            try:
                async with asyncio.timeout(self.next_due()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def crowded_for(self, key: T) -> bool:
        """Whether many wait while a key is in work, and it is not its turn among the patient ones."""
        return len(self._waiting) > CROWD and not self._active.get(key, False)

    @property
    def depth(self) -> int:
        """Keys that wait and are due."""
        self._move_due()
        return len(self._waiting) + len(self._patient)

    @property
    def age(self) -> float:
        """Seconds for which the oldest key has waited."""
        self._move_due()
        oldest = [next(iter(lane.values())) for lane in (self._waiting, self._patient) if lane]
        return self._clock() - min(oldest) if oldest else 0.0

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
