"""From each property of a spec to the changes of it, one at a time, and the spec that is there before."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.properties.schema import ITEM, VALUE, Path, Property, Schema, child, members_of, properties
from tests.faults.properties.values import KEYS, RESOURCES, examples, is_leaf, known, others

Spec = dict[str, Any]
Place = tuple[str | int, ...]
"""As a Path, with the index of an item and the key of a value."""


@dataclass(frozen=True)
class Change:
    """One change of one property."""

    property: Property
    what: str
    """changed, added or removed."""
    before: Spec
    after: tuple[Spec, ...]
    """Specs that have it, of which the first that the API server takes is tried: siblings may forbid a value."""

    def __str__(self) -> str:
        return f"{self.property} {self.what}"


def changes(schema: Schema, base: Spec, under: Path = ()) -> Iterator[Change]:
    """All changes of all properties below a path, each of a base that has the property's parents."""
    for each in properties(schema):
        if each.path[: len(under)] == under:
            yield from _of(schema, each, base)


def by_before(found: Iterable[Change], most: int) -> Iterator[list[Change]]:
    """Groups of at most so many that begin with the same spec."""
    groups: dict[str, list[Change]] = defaultdict(list)
    for each in found:
        groups[json.dumps(each.before, sort_keys=True)].append(each)
    for group in groups.values():
        yield from (group[first : first + most] for first in range(0, len(group), most))


def _of(schema: Schema, each: Property, base: Spec) -> Iterator[Change]:
    before, place = _with_parents(schema, each.path, base)
    parent, last = look(before, place), each.path[-1]
    if last == VALUE:
        yield from _of_map(each, before, place, parent)
    elif last == ITEM:
        yield from _of_list(each, before, place, parent)
    elif last not in parent and not is_leaf(each.schema):
        yield _change(each, "added", before, place, last, examples(each.path, each.schema))
    else:
        if is_leaf(each.schema) and not _only_one(each):
            values = others(each.path, each.schema, parent.get(last, each.schema.get("default")))
            yield _change(each, "changed" if last in parent else "added", before, place, last, values)
        if last in parent and not each.required and not each.member and "default" not in each.schema:
            yield Change(each, "removed", before, (_without(before, place, last),))


def _change(each: Property, what: str, before: Spec, place: Place, last: str | int, values: Iterable[Any]) -> Change:
    members = members_of_parent(each)
    return Change(each, what, before, tuple(_with(before, place, last, value, members) for value in values))


def _only_one(each: Property) -> bool:
    """There is no other value."""
    return len(each.schema.get("enum", "..")) == 1


def members_of_parent(each: Property) -> tuple[str, ...]:
    """What may not stand beside the property, where it is one of several of which there is exactly one."""
    return each.beside if each.member else ()


def _of_map(each: Property, before: Spec, place: Place, parent: dict[str, Any]) -> Iterator[Change]:
    key = next(iter(parent))
    yield _change(each, "changed", before, place, key, others(each.path, each.schema, parent[key]))
    new = next(name for name in (RESOURCES if key in RESOURCES else KEYS) if name not in parent)
    yield _change(each, "added", before, place, new, examples(each.path, each.schema))
    if len(parent) > 1:
        yield Change(each, "removed", before, (_without(before, place, key),))


def _of_list(each: Property, before: Spec, place: Place, parent: list[Any]) -> Iterator[Change]:
    if is_leaf(each.schema):
        yield _change(each, "changed", before, place, 0, others(each.path, each.schema, parent[0]))
    afters = []
    for item in examples(each.path, each.schema):
        if (unlike := _unlike(item, each, parent)) is not None:
            after = copy.deepcopy(before)
            look(after, place).append(unlike)
            afters.append(after)
    if afters:
        yield Change(each, "added", before, tuple(afters))
    if len(parent) > 1:
        after = copy.deepcopy(before)
        look(after, place).pop()
        yield Change(each, "removed", before, (after,))


def _unlike(item: Any, each: Property, present: list[Any]) -> Any:
    """The item, with a key that none of the present ones has; None where every key is taken."""
    for key in each.keys:
        taken = [one.get(key) for one in present]
        values = [item[key], *known((*each.path, key), child(each.schema, key))]
        free = next((value for value in values if value not in taken), None)
        if free is None:
            return None
        item = item | {key: free}
    return item


def _with_parents(schema: Schema, path: Path, base: Spec) -> tuple[Spec, Place]:
    """The base with everything on the way to a property, and the place of its parent."""
    spec = copy.deepcopy(base)
    value: Any = spec
    place: list[str | int] = []
    for depth, step in enumerate(path[:-1]):
        here, under = child(schema, step), path[: depth + 1]
        key = _step(value, schema, under, path[depth + 1])
        place.append(key)
        value, schema = value[key], here
    return spec, tuple(place)


def _step(value: Any, schema: Schema, path: Path, following: str) -> str | int:
    """One step down; what is not there is made."""
    step = path[-1]
    if step == VALUE:
        return str(next(iter(value)))
    if step == ITEM:
        fits = (index for index, item in enumerate(value) if isinstance(item, dict) and following in item)
        return next(fits, 0)
    if step not in value:
        for member in members_of(schema):
            value.pop(member, None)
        value[step] = examples(path, child(schema, step))[0]
    return step


def look(spec: Spec, place: Place) -> Any:
    """What is at a place."""
    value: Any = spec
    for step in place:
        value = value[step]
    return value


def _with(before: Spec, place: Place, last: str | int, value: Any, members: tuple[str, ...]) -> Spec:
    after = copy.deepcopy(before)
    parent = look(after, place)
    for member in members:
        parent.pop(member, None)
    parent[last] = copy.deepcopy(value)
    return after


def _without(before: Spec, place: Place, last: str) -> Spec:
    after = copy.deepcopy(before)
    del look(after, place)[last]
    return after
