"""What plays and what watches the cluster, while the API server comes and goes: it is not they who are tested."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from lowbit.kube.resources import RESOURCES
from tests.api.calls import CallError
from tests.faults.client import JSON, Admin
from tests.faults.mirror import KINDS, Happened, Mirror, Object, Space

AWAY = 300.0
"""Seconds for which the API server is waited for."""
RETRY = 0.05


class PatientAdmin(Admin):
    """Asks again until the API server answers."""

    async def call(self, method: str, path: str, body: Any = None, content: str = JSON) -> Any:
        deadline, again = time.monotonic() + AWAY, False
        while True:
            try:
                return await super().call(method, path, body, content)
            except CallError as error:
                if again and error.status == 409 and method == "POST":
                    return {}  # the first try had come through
                if error.status not in (429, 500, 502, 503, 504) or time.monotonic() > deadline:
                    raise
            except (aiohttp.ClientError, OSError):
                if time.monotonic() > deadline:
                    raise
            again = True
            await asyncio.sleep(RETRY)


class PatientMirror(Mirror):
    """Lists again wherever a watch has ended, and takes what is different for what has happened."""

    async def stop(self) -> None:
        ending, self._tasks = self._tasks, []  # at once: nobody is to take them for watches that have failed
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def go_back(self, spaces: list[Space], revision: int) -> None:
        """Forget what came after that revision: etcd was restored. Call it while stopped; it starts again."""
        listings = {kind: await self._admin.call("GET", RESOURCES[kind].path(None)) for kind in KINDS}
        for space in spaces:
            space.history[:] = [event for event in space.history if event.version <= revision]
            space.objects.clear()
            for kind, listing in listings.items():
                if kind != "Event":
                    for manifest in _in(space, kind, listing):
                        space.objects[kind, manifest["metadata"]["name"]] = manifest
            space.changed.set()
        self._tasks = [
            asyncio.create_task(self._follow(kind, listing["metadata"]["resourceVersion"]))
            for kind, listing in listings.items()
        ]

    async def _follow(self, kind: str, version: str) -> None:
        while True:
            try:
                async for event in self._admin.watch(kind, version):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "BOOKMARK":
                        version = self._take(kind, event["type"], event["object"])
            except (aiohttp.ClientError, OSError, CallError):
                await asyncio.sleep(RETRY)
            version = await self._compare(kind)

    def _take(self, kind: str, type_: str, manifest: Object, version: str | None = None) -> str:
        metadata = manifest["metadata"]
        version = version or str(metadata["resourceVersion"])
        if space := self._spaces.get(metadata.get("namespace", "")):
            space.take(Happened(type_, kind, metadata["name"], int(version), manifest))
        return version

    async def _compare(self, kind: str) -> str:
        """What has happened since the watch ended. The listing's version."""
        listing = await self._admin.call("GET", RESOURCES[kind].path(None))
        version = str(listing["metadata"]["resourceVersion"])
        for space in list(self._spaces.values()):
            now = {each["metadata"]["name"]: each for each in _in(space, kind, listing)}
            before = {name: each for (known, name), each in space.objects.items() if known == kind}
            for name, manifest in before.items():
                if name not in now or now[name]["metadata"]["uid"] != manifest["metadata"]["uid"]:
                    self._take(kind, "DELETED", manifest, version)
            for name, manifest in now.items():
                known = before.get(name)
                if known is None or known["metadata"]["uid"] != manifest["metadata"]["uid"]:
                    self._take(kind, "ADDED", manifest)
                elif known["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
                    self._take(kind, "MODIFIED", manifest)
        return version


def _in(space: Space, kind: str, listing: Object) -> list[Object]:
    """The objects of a space in a listing; built-in kinds leave out what they are."""
    told = {"apiVersion": RESOURCES[kind].api_version, "kind": kind}
    return [told | each for each in listing["items"] if each["metadata"]["namespace"] == space.name]
