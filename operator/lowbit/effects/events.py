"""Events (events.k8s.io/v1) on Lowbit's objects. A repeated event is one object with a count."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from lowbit.api.base import API_VERSION, GROUP
from lowbit.kube.client import Kube
from lowbit.kube.errors import AlreadyExists
from lowbit.state.plan import Event

CONTROLLER = f"{GROUP}/operator"
NOTE_LIMIT = 1024
REMEMBERED = 1000


class EventSender:
    """Sends events. instance is the name of this operator's pod, now gives the time (with its zone)."""

    def __init__(self, kube: Kube, instance: str, now: Callable[[], datetime]) -> None:
        self._kube = kube
        self._instance = instance[:128]
        self._now = now
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._announced: OrderedDict[str, set[Event]] = OrderedDict()

    async def announce(self, event: Event, kind: str, namespace: str, name: str, uid: str) -> None:
        """Send an event of a status that is about to be written; once, even if that is retried. Raises KubeError."""
        announced = self._announced.setdefault(uid, set())
        if event in announced:
            return
        announced.add(event)
        if len(self._announced) > REMEMBERED:
            self._announced.popitem(last=False)
        await self.send(event, kind, namespace, name, uid)

    def written(self, uid: str) -> None:
        """Note that an object's status was written: from now on the same event is news again."""
        self._announced.pop(uid, None)

    async def send(self, event: Event, kind: str, namespace: str, name: str, uid: str) -> None:
        """Send one event on one object, or raise the count of an equal one. Raises KubeError."""
        note = event.message[:NOTE_LIMIT]
        key = hashlib.sha256("\n".join((uid, event.type, event.reason, note)).encode()).hexdigest()[:16]
        event_name = f"{name}.{key}"
        count = self._counts.pop(event_name, 0) + 1
        self._counts[event_name] = count
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        manifest = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event_name, "namespace": namespace},
            "eventTime": self._time(),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": note,
            "regarding": {"apiVersion": API_VERSION, "kind": kind, "namespace": namespace, "name": name, "uid": uid},
        }
        try:
            await self._kube.create(manifest)
        except AlreadyExists:
            series: dict[str, Any] = {"count": max(count, 2), "lastObservedTime": self._time()}
            await self._kube.merge_patch("Event", namespace, event_name, {"series": series})

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
