"""A LIST held against the cache: it fills it at the start, and finds what watches have missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowbit.observe.keys import Key, Reference, newer, reference

if TYPE_CHECKING:
    from lowbit.observe.cache import Cache


@dataclass(frozen=True)
class Difference:
    """What a LIST found that the watches had not brought: the keys it touches, and the objects."""

    keys: frozenset[Key]
    objects: tuple[Reference, ...]


class Comparison:
    """A LIST of one kind, part by part, against what is in the cache. Watches may bring more between two parts."""

    def __init__(self, cache: Cache, kind: str, namespace: str | None) -> None:
        self._cache, self._kind, self._namespace = cache, kind, namespace
        self._listed: set[Reference] = set()
        self._touched: set[Key] = set()
        self._different: list[Reference] = []

    def take(self, items: Iterable[Mapping[str, Any]], gone: Iterable[Mapping[str, Any]] = ()) -> None:
        """One part: objects, and what has gone since an earlier part showed it."""
        for item in items:
            name = reference(item)
            self._listed.add(name)
            before = self._cache.version(*name)
            self._touched |= self._cache.put(item)
            if self._cache.version(*name) != before:
                self._different.append(name)
                self._cache.pack(*name)  # at a start there are thousands, and each is decided on later
        self._listed.difference_update(map(reference, gone))

    def end(self, listed_at: str) -> Difference:
        """There are no more. What was not listed is gone, if it is not newer than the LIST."""
        for version, name in list(self._cache.versions(self._kind, self._namespace)):
            if name not in self._listed and not newer(version, listed_at):
                self._different.append(name)
                self._touched |= self._cache.remove(self._cache.get(*name) or {})
        return Difference(frozenset(self._touched), tuple(self._different))
