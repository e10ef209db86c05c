"""Sorts of plans, made from the record of a run without faults: its calls in order of arrival, and its watch events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.faults.plan import CRASHES, Call, Fault, Plan

Calls: TypeAlias = Sequence[Call]
Events: TypeAlias = Sequence[str]
NEAR = 6
"""How many writes after a crash the second one is at most."""


def crashes(calls: Calls, _: Events) -> list[Plan]:
    """For every write: the process ends before it, after its commit; or its answer is lost."""
    return [(Fault(action, call.point),) for call in _writes(calls) for action in CRASHES]


def reads(calls: Calls, events: Events) -> list[Plan]:
    """For every read: the process ends before it, after its answer, or the answer is lost; for every watch and every
    event of it: the process ends before it."""
    gets = [call for call in calls if call.asked.verb in ("get", "list")]
    watches = [call.point for call in calls if call.asked.verb == "watch"]
    plans: list[Plan] = [(Fault(action, call.point),) for call in gets for action in CRASHES]
    return plans + [(Fault("kill-before", point),) for point in (*watches, *events)]


def answers(calls: Calls, _: Events) -> list[Plan]:
    """For every call but a watch: not passed on, sent twice, late, and answered with every error."""
    asked = [call for call in calls if call.asked.verb != "watch" and _is_first_lease(call)]
    faults = (("refuse", 0.0), ("repeat", 0.0), ("delay", 0.5), ("409", 0.0), ("429", 1.0), ("500", 0.0), ("503", 0.0))
    return [(Fault(action, call.point, value),) for call in asked for action, value in faults]


def views(calls: Calls, events: Events) -> list[Plan]:
    """For every watch event: lost, late, twice, after the next, last of its stream; for every watch: not opened."""
    faults = (("cut", 0.0), ("gone", 0.0), ("drop", 0.0), ("delay", 0.5), ("duplicate", 0.0), ("reorder", 0.0))
    watches = [call.point for call in calls if call.asked.verb == "watch"]
    opening = [(Fault(action, point),) for point in watches for action in ("refuse", "410", "500", "kill-before")]
    frozen: list[Plan] = [(Fault("freeze", point, 2.0),) for point in watches]
    return [*opening, *frozen, *((Fault(action, each, value),) for each in events for action, value in faults)]


def twice(calls: Calls, _: Events) -> list[Plan]:
    """For every write: a crash, and another one while that is made good: at the same write again, or at one of the
    next. Which one, and how, is chosen by a hash, and the same each time."""
    writes = _writes(calls)
    plans: list[Plan] = []
    for place, call in enumerate(writes):
        number = int.from_bytes(hashlib.sha256(f"{place} {call.point}".encode()).digest()[:4])
        number, first = divmod(number, len(CRASHES))
        number, second = divmod(number, len(CRASHES))
        points = [each.point for each in writes[place + 1 : place + 1 + NEAR]]
        # What was committed is not written again, and after the last write nothing else comes.
        crash = CRASHES[first] if points else "kill-before"
        if crash == "kill-before":
            points.append(f"{call.asked.text}#{call.occurrence + 1}")
        plans.append((Fault(crash, call.point), Fault(CRASHES[second], points[number % len(points)])))
    return plans


def stale(_: Calls, events: Events) -> list[Plan]:
    """For every watch event: its stream expires instead, and the LIST that follows shows the state at the beginning."""
    return [(Fault("gone", point), Fault("stale", f"list:{point.split(':')[1]}#2")) for point in dict.fromkeys(events)]


def _writes(calls: Calls) -> list[Call]:
    return [call for call in calls if call.asked.write and _is_first_lease(call)]


def _is_first_lease(call: Call) -> bool:
    """How often a Lease is renewed depends on the machine."""
    return not call.asked.lease or call.occurrence == 1


SORTS: dict[str, Callable[[Calls, Events], list[Plan]]] = {
    "crashes": crashes,
    "twice": twice,
    "reads": reads,
    "answers": answers,
    "views": views,
    "stale": stale,
}
WHOLE = ("crashes", "twice")
"""Of which every plan of every scenario is run."""
