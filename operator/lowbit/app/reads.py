"""Reads in the background: one of an object at a time, a few at once, and whom it concerns is woken after each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable

from lowbit.observe.keys import Key

AT_ONCE = 4
"""Reads at the same time."""


class Reads:
    """Running reads, by what is read. touch wakes the objects that a read concerns."""

    def __init__(self, touch: Callable[[Iterable[Key]], None]) -> None:
        self._touch = touch
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, of: Hashable) -> bool:
        return of in self._tasks

    def start(self, of: Hashable, work: Coroutine[object, object, Iterable[Key]]) -> None:
        """Begin to read. work returns the keys of whom it concerns."""
        self._tasks[of] = asyncio.create_task(self._run(of, work))

    def stop(self) -> None:
        """Cancel the running reads."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _run(self, of: Hashable, work: Coroutine[object, object, Iterable[Key]]) -> None:
        """Read, and wake whom it concerns. They may ask for the next read of the same object at once."""
        touched: Iterable[Key] = ()
        try:
            async with self._slots:
                touched = await work
        finally:
            work.close()  # cancelled while it waited for its turn
            self._tasks.pop(of, None)
        self._touch(touched)
