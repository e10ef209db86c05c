"""What was seen, however it came: late, twice, out of order, or never. In the end the cache holds what there is.

A history in etcd's order is delivered to an operator's cache as watches and LISTs may deliver it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from lowbit.observe.cache import Cache

NAMESPACE, NAMES = "models", ("one", "two")
FIRST_VERSION = 7
"""So that versions get a digit more on the way."""
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """How one event of the history comes: so many places late, so many times, or not at all."""

    late: int = 0
    times: int = 1


@dataclass(frozen=True)
class Lists:
    """A LIST is taken after so many events of the history, and compared with the cache so many places later.

    As a stream it may be behind at first: it shows what was there so many events before, and then those events.
    """

    after: int
    late: int = 0
    behind: int = 0


HISTORIES = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=12)
"""Each: a name, and whether what is there goes (else it is changed). What is not there is made."""
DELIVERIES = st.lists(
    st.builds(Delivery, st.integers(0, 4), st.sampled_from([1, 1, 1, 2, 0])), min_size=12, max_size=12
)
LISTS = st.lists(st.builds(Lists, st.integers(0, 12), st.integers(0, 4), st.integers(0, 4)), max_size=3)


def history(steps: list[tuple[str, bool]]) -> list[tuple[str, Manifest]]:
    """Type and object of each event, in etcd's order."""
    there: dict[str, str] = {}
    events = []
    for version, (name, goes) in enumerate(steps, FIRST_VERSION):
        type_ = "ADDED" if name not in there else "DELETED" if goes else "MODIFIED"
        uid = there.setdefault(name, f"uid-{version}")
        events.append((type_, manifest(name, uid, version)))
        if type_ == "DELETED":
            del there[name]
    return events


def manifest(name: str, uid: str, version: int) -> Manifest:
    """A Job of a QuantizedModel of the same name."""
    owner = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "name": name, "uid": f"of-{name}"}
    metadata = {"name": name, "namespace": NAMESPACE, "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata | {"ownerReferences": [owner]}}


def truth(events: list[tuple[str, Manifest]]) -> dict[str, Manifest]:
    """What is there after these events, by name."""
    there: dict[str, Manifest] = {}
    for type_, each in events:
        there[each["metadata"]["name"]] = each
        if type_ == "DELETED":
            del there[each["metadata"]["name"]]
    return there


def parts(events: list[tuple[str, Manifest]], each: Lists) -> list[tuple[list[Manifest], list[Manifest]]]:
    """What a LIST shows, part by part, and what it says has gone again."""
    taken = min(each.after, len(events))
    shown = max(0, taken - each.behind)
    more = [([], [what]) if type_ == "DELETED" else ([what], []) for type_, what in events[shown:taken]]
    return [(list(truth(events[:shown]).values()), []), *more]


def compared(
    events: list[tuple[str, Manifest]], each: Lists, cache: Cache
) -> Iterator[tuple[int, Callable[[], object]]]:
    """The steps of a comparison with a LIST, and their places: it begins where it was taken, and may end later."""
    taken = min(each.after, len(events))
    held = cache.comparison("Job")
    (items, gone), *more = parts(events, each)
    yield taken, lambda: held.take(items, gone)
    for items_, gone_ in more:
        yield taken + each.late // 2, partial(held.take, items_, gone_)
    yield taken + each.late, lambda: held.end(str(FIRST_VERSION + taken - 1))


def deliver(steps: list[tuple[str, bool]], deliveries: list[Delivery], lists: list[Lists]) -> None:
    """Deliver a history, then a LIST where an event was lost. Raises AssertionError where the cache is wrong."""
    events, cache = history(steps), Cache()
    queue: list[tuple[int, Callable[[], object]]] = []
    for number, ((type_, what), how) in enumerate(zip(events, deliveries, strict=False)):
        take = cache.remove if type_ == "DELETED" else cache.put
        queue += [(number + how.late, partial(take, what))] * how.times
    for each in lists:
        queue += compared(events, each, cache)
    for _, act in sorted(queue, key=lambda each: each[0]):
        act()
    if any(how.times == 0 for how in deliveries[: len(events)]):
        for _, act in compared(
            events, Lists(len(events), behind=max((each.behind for each in lists), default=0)), cache
        ):
            act()
    found = {name: cache.get("Job", NAMESPACE, name) for name in cache.views("Job", NAMESPACE)}
    versions = {name: each["metadata"]["resourceVersion"] for name, each in found.items() if each is not None}
    wanted = {name: each["metadata"]["resourceVersion"] for name, each in truth(events).items()}
    assert versions == wanted, f"seen {versions}, there is {wanted}"
