"""Whether what was seen has ever happened: a restored etcd knows nothing of what came after its snapshot. Pure.

resourceVersions of one kind grow with time, and a LIST shows everything up to its own. What contradicts that was seen in a
past that there is no more; a watch would go on from there and bring nothing, for as long as it takes to get there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lowbit.observe.keys import Reference, reference
from lowbit.observe.store import Store


class Past:
    """What is known of a kind (in a namespace, or in all of them) before a LIST is asked for."""

    def __init__(self, store: Store, kind: str, namespace: str | None) -> None:
        self._store = store
        known = ((_number(version), name) for version, name in store.versions(kind, namespace))
        nothing: tuple[int, Reference | None] = (-1, None)
        self._newest, self._witness = max(known, default=nothing)

    def contradicted(self, items: Iterable[Mapping[str, Any]], listed_at: str) -> Reference | None:
        """An object that shows, by one page of the LIST, that the past is another one now. None as a rule."""
        at = _number(listed_at)
        if at < 0:
            return None
        if self._newest > at:
            return self._witness
        for item in items:
            known = self._store.version(*reference(item))
            # What is newer than the LIST has come by a watch meanwhile.
            if known is not None and 0 <= _number(item["metadata"]["resourceVersion"]) < _number(known[1]) <= at:
                return reference(item)
        return None


def _number(version: str) -> int:
    """A resourceVersion; -1 where it is not a number."""
    return int(version) if version.isdecimal() else -1
