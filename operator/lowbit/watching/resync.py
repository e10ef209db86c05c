"""Comparison with LISTs: fills the cache at the start, and finds changes that a watch has missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowbit.kube.client import Kube
from lowbit.kube.errors import KubeError, NotFound
from lowbit.kube.listing import Part
from lowbit.kube.resources import OPTIONAL_KINDS, OWN_KINDS, RESOURCES, SHARED_KINDS
from lowbit.naming.names import MANAGED_SELECTOR
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key, Reference, reference
from lowbit.observe.restored import RestoreDetector
from lowbit.watching.ended import HistoryLost

logger = logging.getLogger(__name__)

SETTLING = 10.0
"""Seconds from a watch's restart to the comparison that finds what was deleted meanwhile."""
RETRY = 2.0
ROUNDS_MISSED = 3
"""The watches count as dead after this many rounds in a row that found missed changes."""


@dataclass(frozen=True)
class Pace:
    """How often to compare: every `interval` seconds, plus or minus a fifth."""

    interval: float
    jitter: Callable[[], float]
    """From 0 to 1."""


class Resync:
    """Compares the cache with LISTs, periodically."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        namespaces: Sequence[str],
        *,
        touch: Callable[[Iterable[Key]], None],
        on_missed: Callable[[str], None],
        pace: Pace,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._touch = touch
        self._on_missed = on_missed
        self._pace = pace
        self._pending: dict[Reference, None] = {}
        """Changes that a LIST found and no watch has delivered yet."""
        self._rounds_missed = 0
        self._doubts = 0
        """Number of comparisons in a row that contradicted what was seen before."""
        self._error = ""
        """Why the last comparison failed."""
        self._gap = asyncio.Event()
        self.synced = False
        self.listed: dict[str, str] = {}
        """resourceVersions of the LISTs that filled the cache, by path: the watches continue from there."""
        self.watched: frozenset[str] = frozenset()
        """Kinds for which a watch should deliver every change."""

    def pending(self) -> str | None:
        """Why nothing can be decided yet; None once the cache is filled."""
        why = f": {self._error}" if self._error else ""
        return None if self.synced else f"the cluster has not been read yet{why}"

    async def fill(self) -> None:
        """Fill the cache. Retries without end: the CRDs may be installed after the operator."""
        while True:
            try:
                await self.compare()
            except KubeError as error:
                hint = "; are Lowbit's CRDs installed?" if isinstance(error, NotFound) else ""
                self._error = f"{error.message}{hint}"
                logger.warning("the cluster cannot be read yet: %s", self._error)
                await asyncio.sleep(RETRY)
            else:
                self.synced = True
                return

    async def run(self) -> None:
        """Compare periodically. Raises HistoryLost."""
        wait = self._next()
        while True:
            await self.pause(wait)
            wait = self._next()
            try:
                await self.compare()
            except KubeError as error:
                logger.warning("the comparison with a LIST failed: %s", error.message)
                wait = min(wait, 30.0)
            if self._doubts:
                wait = min(wait, RETRY)  # one stale answer is possible, two are not

    def _next(self) -> float:
        return self._pace.interval * (0.8 + 0.4 * self._pace.jitter())

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until shortly after a watch has restarted."""
        try:
            async with asyncio.timeout(seconds):
                await self._gap.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(SETTLING, self._pace.interval))  # all watches restart, one after another
        self._gap.clear()

    def gap(self) -> None:
        """Note that a watch has restarted from a new LIST, which does not show what was deleted meanwhile."""
        self._gap.set()

    async def compare(self) -> None:
        """One comparison. Raises KubeError, HistoryLost."""
        if self.synced:
            self._count_missed()
        await self._look_for_pod_monitors()
        optional = OPTIONAL_KINDS if self._cache.has_pod_monitors else ()
        witness: Reference | None = None
        # Owners last, so that one that is deleted meanwhile is not mistaken for one that has lost its children.
        for kind in sorted((*OWN_KINDS, *SHARED_KINDS, *optional), key=lambda kind: kind == "QuantizedModel"):
            for namespace in self._namespaces:
                witness = await self._compare_kind(kind, namespace) or witness
        self._doubt(witness)

    async def _compare_kind(self, kind: str, namespace: str | None) -> Reference | None:
        """Compare one kind. Returns an object that contradicts what was seen before, or None."""
        selector = None if kind in OWN_KINDS else MANAGED_SELECTOR
        past, comparison = RestoreDetector(self._cache, kind, namespace), self._cache.comparison(kind, namespace)

        def take(part: Part) -> None:
            past.take(part.items, part.gone)
            comparison.take(part.items, part.gone)

        listed_at = await self._kube.read(kind, namespace, selector, take)
        difference = comparison.end(listed_at)
        if not self.synced:
            self.listed[RESOURCES[kind].path(namespace)] = listed_at
        if kind in self.watched:
            self._pending.update(dict.fromkeys(difference.objects))
        self._touch(difference.keys)
        return past.contradicted(listed_at)

    def _doubt(self, witness: Reference | None) -> None:
        self._doubts = self._doubts + 1 if witness is not None else 0
        if witness is not None and self._doubts > 1:
            kind, namespace, name = witness
            raise HistoryLost(f"{kind} {namespace}/{name}")

    async def _look_for_pod_monitors(self) -> None:
        """Check for the kind PodMonitor. If it was installed or removed, reconcile everything."""
        served = await self._kube.serves("PodMonitor")
        if served != self._cache.has_pod_monitors:
            self._cache.has_pod_monitors = served
            self._touch(self._cache.keys())

    def noticed(self, manifest: Mapping[str, Any]) -> None:
        """Note that a watch has delivered an object."""
        self._pending.pop(reference(manifest), None)

    def trouble(self) -> str | None:
        """Why the watches seem to be dead; None if they do not."""
        if self._rounds_missed < ROUNDS_MISSED:
            return None
        return f"{self._rounds_missed} comparisons in a row found changes that no watch had brought"

    def _count_missed(self) -> None:
        for kind, namespace, name in self._pending:
            self._on_missed(kind)
            logger.warning("no watch has brought a change of %s %s/%s", kind, namespace, name)
        self._rounds_missed = self._rounds_missed + 1 if self._pending else 0
        self._pending.clear()
