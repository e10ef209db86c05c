"""kopf, and nothing of it but its watches: an event goes into the store and puts keys on the queue."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from lowbit.api.names import MANAGED_SELECTOR
from lowbit.kube.connect import credentials
from lowbit.kube.resources import OWN_KINDS, RESOURCES

OnEvent = Callable[[str | None, dict[str, Any]], None]
"""Takes the event's type (None: from a LIST, ADDED, MODIFIED, DELETED) and the object."""


class EndlessBackoff:
    """Seconds between tries, for ever: an operator that gives up on the API server is of no use to anybody."""

    def __iter__(self) -> Iterator[float]:
        seconds = 0.5
        while True:
            yield seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
            seconds = min(seconds * 2, 30.0)


def watch_settings(kinds: Sequence[str]) -> kopf.OperatorSettings:
    """No writes, no peering, no scanning; kinds that others use too are filtered by the API server."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = EndlessBackoff()
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 30.0
    for kind in kinds:
        if kind not in OWN_KINDS:
            resource = RESOURCES[kind]
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = MANAGED_SELECTOR
    return settings


def watch_registry(kinds: Sequence[str], on_event: OnEvent, configuration: Any) -> kopf.OperatorRegistry:
    """Low-level event handlers only: any other sort of handler would write to the objects."""
    registry = kopf.OperatorRegistry()

    async def login(**_kwargs: Any) -> kopf.ConnectionInfo:
        found = await credentials(configuration)
        scheme, _, token = (found.authorization or "").rpartition(" ")
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            scheme=scheme or None,
            token=token or None,
        )

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
    configuration: Any,
    on_event: OnEvent,
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Watch until told to stop. It replaces the process's signal handlers before it sets `ready`."""
    await kopf.operator(
        registry=watch_registry(kinds, on_event, configuration),
        settings=watch_settings(kinds),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        ready_flag=ready,
        stop_flag=stop,
    )
