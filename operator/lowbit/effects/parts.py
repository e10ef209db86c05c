"""What carrying out a plan needs of the rest of the operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lowbit.observe.keys import Key
from lowbit.state.plan import Event


class Sees(Protocol):
    """The cache of observed objects. It gets the API server's answers, so that the next snapshot has our own writes."""

    def put(self, manifest: Mapping[str, Any]) -> object:
        """Cache an object as it is now."""

    def remove(self, manifest: Mapping[str, Any]) -> object:
        """Remove an object that is gone."""

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """An object as it was last seen."""

    def is_bereft(self, key: Key) -> bool:
        """Whether it lost a child that we did not delete: it may be gone itself."""

    def found(self, key: Key) -> None:
        """Note that it was re-read, and exists."""


class Sends(Protocol):
    """Sends events."""

    async def send(self, event: Event, kind: str, namespace: str, name: str, uid: str) -> None:
        """One event on one object."""

    async def announce(self, event: Event, kind: str, namespace: str, name: str, uid: str) -> None:
        """One event of a status that is about to be written."""

    def written(self, uid: str) -> None:
        """The status of an object was written."""
