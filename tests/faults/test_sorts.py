"""The plans that are made from a clean run: each can happen, and can be repeated from its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.plan import Asked, Call, Numbering, parse, told
from tests.faults.sorts import SORTS, twice

ASKED = st.one_of(
    st.builds(
        Asked, st.sampled_from(("create", "update", "patch", "delete")), st.sampled_from(("jobs", "pods")),
        st.just("chat"),
    ),
    st.builds(Asked, st.sampled_from(("list", "watch")), st.just("jobs")),
)  # fmt: skip
EVENTS = st.lists(st.sampled_from(("event:jobs:ADDED:chat#1", "event:pods:DELETED:chat#1")), unique=True)


def recorded(run: list[Asked]) -> list[Call]:
    """The calls of a run, numbered as the proxy numbers them."""
    numbering = Numbering()
    return [Call(number, asked, numbering.next(asked.text)) for number, asked in enumerate(run)]


@given(st.lists(ASKED, max_size=30))
def test_the_second_crash_can_come_after_the_first(run: list[Asked]) -> None:
    writes = [call for call in recorded(run) if call.asked.write]
    plans = twice(recorded(run), ())
    assert [plan[0].point for plan in plans] == [call.point for call in writes]
    for place, (first, second) in enumerate(plans):
        later = [call.point for call in writes[place + 1 :]]
        again = f"{writes[place].asked.text}#{writes[place].occurrence + 1}"
        assert second.point in later or (first.action == "kill-before" and second.point == again)


@pytest.mark.parametrize("sort", SORTS)
@given(run=st.lists(ASKED, max_size=30), events=EVENTS)
def test_a_plan_is_repeated_from_its_text(sort: str, run: list[Asked], events: list[str]) -> None:
    for plan in SORTS[sort](recorded(run), events):
        assert parse(told(plan)) == plan
