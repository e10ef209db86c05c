"""Whether what was seen has ever happened: a restored etcd knows nothing of what came after its snapshot. Pure.

resourceVersions of one kind grow with time, and a LIST shows everything up to its own. An object that contradicts that
is from a state that the restore discarded. A watch would go on from there, and bring nothing until that version is
reached again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lowbit.observe.cache import Cache
from lowbit.observe.keys import Reference, reference


class RestoreDetector:
    """What is known of a kind (in a namespace, or in all) before a LIST, to compare part by part."""

    def __init__(self, cache: Cache, kind: str, namespace: str | None) -> None:
        self._cache = cache
        known = ((_number(version), name) for version, name in cache.versions(kind, namespace))
        nothing: tuple[int, Reference | None] = (-1, None)
        self._newest, self._witness = max(known, default=nothing)
        self._newer: dict[Reference, int] = {}
        """What was known in a newer version than the LIST has shown so far, and that version."""

    def take(self, items: Iterable[Mapping[str, Any]], gone: Iterable[Mapping[str, Any]] = ()) -> None:
        """One part of the LIST, before the cache takes it. A later part may show it again, or that it is gone."""
        for item in items:
            name = reference(item)
            known, shown = self._cache.version(*name), _number(item["metadata"]["resourceVersion"])
            if known is not None and 0 <= shown < _number(known[1]):
                self._newer[name] = _number(known[1])
            else:
                self._newer.pop(name, None)
        for item in gone:
            self._newer.pop(reference(item), None)

    def contradicted(self, listed_at: str) -> Reference | None:
        """An object that shows, when all parts were taken, that the past is another one now. None as a rule."""
        at = _number(listed_at)
        if at < 0:
            return None
        if self._newest > at:
            return self._witness
        # What is newer than the LIST has come by a watch meanwhile.
        return next((name for name, known in self._newer.items() if known <= at), None)


def _number(version: str) -> int:
    """A resourceVersion; -1 where it is not a number."""
    return int(version) if version.isdecimal() else -1
