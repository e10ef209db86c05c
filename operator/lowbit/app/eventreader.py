"""Reads, in the background, what Kubernetes says about Jobs without a pod and pods that do not start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from lowbit.app.logs import about
from lowbit.app.reads import Reads
from lowbit.kube.client import Kube
from lowbit.kube.errors import Forbidden, KubeError
from lowbit.observe.cache import Cache
from lowbit.observe.events import warnings_in
from lowbit.observe.keys import Key
from lowbit.observe.nodes import node_view
from lowbit.state.plan import ReadEvents
from lowbit.state.snapshot import EventsRead

logger = logging.getLogger(__name__)

NODES_INTERVAL = 300.0
"""Seconds between two LISTs of nodes, however many pods wait for one."""
NODES = "nodes"
INTERVAL = 60.0
"""Seconds between two LISTs of one object's events. A watch would bring those of the whole namespace."""


class EventReader:
    """Reads the events of an object at most every `interval` seconds, and the nodes.

    now gives seconds since the epoch; nodes: whether the chart grants listing them.
    """

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        touch: Callable[[Iterable[Key]], None],
        now: Callable[[], float],
        interval: float = INTERVAL,
        *,
        nodes: bool = False,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._now = now
        self._interval = interval
        self._reads = Reads(touch)
        self._nodes_read_at = -NODES_INTERVAL
        self._nodes_allowed = nodes
        self._waiting: set[Key] = set()
        """Models that a LIST of nodes concerns."""

    def ask_events(self, namespace: str, wanted: Iterable[ReadEvents]) -> None:
        """Read the events of these objects, unless that was done within the interval."""
        for each in wanted:
            read_at = self._cache.events_read_at(each.kind, namespace, each.name)
            if (namespace, each) not in self._reads and self._now() - read_at >= self._interval:
                self._reads.start((namespace, each), self._kept(namespace, each))

    def ask_nodes(self, key: Key) -> None:
        """List the nodes, unless that was done within NODES_INTERVAL, or is not allowed."""
        if not self._nodes_allowed:
            return
        self._waiting.add(key)
        if NODES not in self._reads and self._now() - self._nodes_read_at >= NODES_INTERVAL:
            self._nodes_read_at = self._now()
            self._reads.start(NODES, self._list_nodes())

    def stop(self) -> None:
        """Cancel the running reads."""
        self._reads.stop()

    async def _list_nodes(self) -> Iterable[Key]:
        waiting, self._waiting = self._waiting, set()
        try:
            views = [node_view(each) for each in await self._kube.nodes()]
        except Forbidden:
            self._nodes_allowed = False
            logger.info("nodes are not listed: the operator has no right to; the scheduler's words stand alone")
            return ()
        except KubeError as error:
            logger.info("the nodes were not listed: %s", error.message)
            return ()
        return waiting if self._cache.put_nodes(tuple(each for each in views if each.allocatable)) else ()

    async def _kept(self, namespace: str, wanted: ReadEvents) -> Iterable[Key]:
        return self._cache.put_events(wanted.kind, namespace, wanted.name, await self._read(namespace, wanted))

    async def _read(self, namespace: str, wanted: ReadEvents) -> EventsRead:
        try:
            events = await self._kube.warnings(namespace, wanted.uid)
        except KubeError as error:
            key = Key(namespace, wanted.name, wanted.kind)
            logger.info("the events were not read: %s", error.message, extra=about(key))
            return EventsRead(wanted.uid, self._now(), unread=error.message)
        return EventsRead(wanted.uid, self._now(), warnings_in(events, self._now()))
