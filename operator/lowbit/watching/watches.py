"""Watches, by kopf; nothing else of kopf is used. on_event gets each event: it updates the cache and queues keys."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import kopf

from lowbit.kube.listing import CHUNK
from lowbit.kube.resources import OWN_KINDS, RESOURCES
from lowbit.naming.names import MANAGED_SELECTOR
from lowbit.watching.streams import REOPENED

OnEvent = Callable[[str | None, dict[str, Any]], None]
"""Takes the event's type (None: from a LIST, ADDED, MODIFIED, DELETED) and the object."""


class EndlessBackoff:
    """Seconds between retries, without end: an operator that gives up on the API server is useless."""

    def __iter__(self) -> Iterator[float]:
        seconds = 0.5
        while True:
            yield seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
            seconds = min(seconds * 2, 30.0)


class NothingKept(kopf.DiffBaseStorage):
    """Keeps no earlier state of objects.

    For handlers that compare an object with its earlier state, kopf copies it three times per event. Lowbit has none.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


def watch_settings(kinds: Sequence[str]) -> kopf.OperatorSettings:
    """kopf's settings: no writes, no peering, no scanning. The API server filters shared kinds by label."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = CHUNK  # to bound memory in a LIST of thousands
    settings.persistence.diffbase_storage = NothingKept()
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.connect_timeout = 10.0
    settings.watching.server_timeout = REOPENED
    settings.watching.client_timeout = REOPENED + 30.0
    settings.queueing.idle_timeout = 0.05  # kopf keeps a task for each object this long
    settings.process.ultimate_exiting_timeout = 30.0
    for kind in kinds:
        if kind not in OWN_KINDS:
            resource = RESOURCES[kind]
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = MANAGED_SELECTOR
    return settings


def watch_registry(
    kinds: Sequence[str], on_event: OnEvent, connect: Callable[[], Awaitable[kopf.AiohttpSession]]
) -> kopf.OperatorRegistry:
    """Low-level event handlers only: every other kind of handler writes to the objects."""
    registry = kopf.OperatorRegistry()
    waits = iter(EndlessBackoff())
    logins = 0

    async def login(**_kwargs: Any) -> kopf.AiohttpSession:
        nonlocal logins
        if logins:  # credentials were refused, which may be transient: back off, kopf tries nothing else meanwhile
            await asyncio.sleep(next(waits))
        logins += 1
        return await connect()

    kopf.on.login(registry=registry)(login)
    for kind in kinds:
        resource = RESOURCES[kind]
        kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=f"watch-{kind}")(
            _handler(kind, resource.api_version, on_event)
        )
    return registry


def _handler(kind: str, api_version: str, on_event: OnEvent) -> Any:
    async def handle(event: Any, **_kwargs: Any) -> None:
        manifest = dict(event["object"])
        manifest.setdefault("kind", kind)
        manifest.setdefault("apiVersion", api_version)
        on_event(event["type"], manifest)

    return handle


async def watch(
    kinds: Sequence[str],
    namespaces: Sequence[str],
    connect: Callable[[], Awaitable[kopf.AiohttpSession]],
    on_event: OnEvent,
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watch until told to stop. It replaces the process's signal handlers before it sets `ready`."""
    await kopf.operator(
        registry=watch_registry(kinds, on_event, connect),
        settings=watch_settings(kinds),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        ready_flag=ready,
        stop_flag=stop,
    )
