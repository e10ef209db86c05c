"""What really happened: every object of every kind, and its history in etcd's order, past the proxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lowbit.kube.resources import OWN_KINDS, RESOURCES, SHARED_KINDS
from tests.faults.client import Admin

KINDS = (*OWN_KINDS, *SHARED_KINDS, "Event")
Reference = tuple[str, str]
"""Kind and name."""
Object = dict[str, Any]


@dataclass(frozen=True)
class Happened:
    """One event of etcd's history."""

    type: str
    kind: str
    name: str
    version: int
    manifest: Object


@dataclass
class Space:
    """One namespace: what is there, and how it came to be."""

    name: str
    objects: dict[Reference, Object] = field(default_factory=dict)
    history: list[Happened] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    """Reason and object of every Event. Events are no part of the state."""
    listeners: list[Callable[[Happened], None]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: Happened) -> None:
        if event.kind == "Event":
            self.told.add(f"{event.manifest.get('reason')} {event.manifest.get('regarding', {}).get('name')}")
            return
        reference = (event.kind, event.name)
        if event.type == "DELETED":
            self.objects.pop(reference, None)
        else:
            self.objects[reference] = event.manifest
        self.history.append(event)
        self.changed.set()
        for listener in self.listeners:
            listener(event)

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [each for (known, _), each in sorted(self.objects.items()) if known == kind]

    def counts(self, type_: str) -> Counter[str]:
        """How often an object of a name was made (ADDED) or has gone (DELETED)."""
        return Counter(f"{each.kind} {each.name}" for each in self.history if each.type == type_)


class Mirror:
    """Watches everything, as the admin. Namespaces that nobody has opened are not kept."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._spaces: dict[str, Space] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for kind in KINDS:
            listing = await self._admin.call("GET", RESOURCES[kind].path(None) + "?limit=1")
            version = listing["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._follow(kind, version)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open(self, name: str) -> Space:
        """Begin to keep a namespace; before anything is in it."""
        return self._spaces.setdefault(name, Space(name))

    def close(self, name: str) -> None:
        self._spaces.pop(name, None)

    def check(self) -> None:
        """Raise what has ended a watch: without it nothing that is said here is true."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _follow(self, kind: str, version: str) -> None:
        while True:
            async for event in self._admin.watch(kind, version):
                manifest = event["object"]
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the watch of {kind} has ended: {manifest}")
                version = manifest["metadata"]["resourceVersion"]
                space = self._spaces.get(manifest["metadata"].get("namespace", ""))
                if event["type"] != "BOOKMARK" and space is not None:
                    name = manifest["metadata"]["name"]
                    space.take(Happened(event["type"], kind, name, int(version), manifest))
