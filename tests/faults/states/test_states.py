"""From any state, reached in any way, the operator comes to rest; what is promised holds in every state on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from unittest import mock

from hypothesis import HealthCheck, example, given, settings

from lowbit.decide.reconcile import decide
from lowbit.state.plan import Plan
from lowbit.state.snapshot import Body, Observed, Snapshot
from tests.faults.states.starts import STARTS, directed
from tests.faults.states.walk import Start, walk

EXAMPLES = 3100
"""About 100,000 decide steps, a tenth of what `python -m tests.faults.states` does."""


RELABELLED = Start(life=5, moment=42, damages=[("edit_child", 55, 1), ("apply", 0, 1)], outcomes=["exhaust"])
"""A revision of one model under another's label: neither has directed its artifact."""
WIPED = Start(life=9, moment=59, damages=[("wipe", 14, 8)])
"""All candidates have failed, and the status of a former revision is empty: nothing can come of it any more."""
UNASKED = Start(life=10, moment=21, damages=[("apply", 0, 2), ("pin", 0, 0)])
"""The manifest has no showcase any more, and what is pinned had one."""

BESIDE = Start(moment=5, damages=[("foreign", 1, 0), ("impostor", 0, 1)])
"""The only Job that an impostor could pose as is somebody else's already."""


LED = Start(life=14, moment=200, damages=[("leads", 0, 0), ("leads", 0, 3), ("leads", 0, 4)])
"""Two pods lead groups, and one of them has moved."""


# The same starts each time; new ones are for `make faults`.
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STARTS)
@example(RELABELLED)
@example(WIPED)
@example(UNASKED)
@example(BESIDE)
@example(LED)
def test_from_any_state_it_comes_to_rest_and_no_rule_is_broken_on_the_way(start: Start) -> None:
    walk(start)


def test_from_states_that_are_rare_no_rule_is_broken_either() -> None:
    for start in directed():
        walk(start)


def with_and_without_memory(snapshot: Snapshot, now: datetime) -> Plan:
    """Decide, and decide again as an operator would that has just started."""
    plan = decide(snapshot, now)
    assert decide(forgotten(snapshot), now) == plan
    return plan


def forgotten(snapshot: Snapshot) -> Snapshot:
    """The same, with nothing worked out yet."""
    return replace(
        snapshot,
        model=anew(snapshot.model),
        store=anew(snapshot.store) if snapshot.store is not None else None,
        revisions=tuple(map(anew, snapshot.revisions)),
        shared_revisions={key: tuple(map(anew, held)) for key, held in snapshot.shared_revisions.items()},
        evaluations={name: anew(seen) for name, seen in snapshot.evaluations.items()},
    )


def anew(seen: Observed[Body]) -> Observed[Body]:
    return Observed(seen.meta, seen.body)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STARTS)
@example(RELABELLED)
@example(WIPED)
def test_what_is_remembered_changes_no_decision(start: Start) -> None:
    with mock.patch("tests.faults.states.walk.decide", with_and_without_memory):
        walk(start)
