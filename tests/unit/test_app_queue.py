"""The work queue, with a clock of the test's own."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from lowbit.app.queue import (
    FIRST_BACKOFF,
    LAST_BACKOFF,
    NEW_TURN,
    Lane,
    WorkQueue,
    backoff,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def queue() -> tuple[WorkQueue[str], Clock]:
    clock = Clock()
    return WorkQueue(clock, jitter=lambda: 0.5), clock


def test_a_key_waits_once_however_often_it_is_added() -> None:
    work, _ = queue()
    work.add_all(["a", "b", "a", "a"])
    assert [work.take(), work.take(), work.take()] == ["a", "b", None]


def test_a_key_is_never_in_two_hands_and_what_came_meanwhile_is_not_lost() -> None:
    work, _ = queue()
    work.add("a")
    assert work.take() == "a"
    work.add("a")
    assert work.take() is None
    work.done("a")
    assert work.take() == "a"


def test_a_busy_key_does_not_starve_the_others() -> None:
    work, _ = queue()
    work.add_all(["a", "b"])
    assert work.take() == "a"
    work.add("a")
    work.done("a")
    assert [work.take(), work.take()] == ["b", "a"]


def test_what_has_changed_goes_before_what_is_new() -> None:
    work, _ = queue()
    work.add_all(["new"], Lane.NEW)
    work.add_all(["changed"])
    assert [work.take(), work.take()] == ["changed", "new"]


def test_whatever_has_changed_what_is_new_has_its_turn() -> None:
    work, _ = queue()
    work.add_all(["new"], Lane.NEW)
    work.add_all(f"changed-{number}" for number in range(3 * NEW_TURN))
    assert "new" in [work.take() for _ in range(NEW_TURN)]


def test_a_key_is_in_the_lane_that_goes_first_and_as_old_as_its_first_wish() -> None:
    work, clock = queue()
    work.add_all(["a", "b"], Lane.NEW)
    clock.now = 5.0
    work.add("b")
    work.add("b", Lane.NEW)
    assert (work.depth, work.age) == (2, 5.0)
    assert [work.take(), work.take(), work.take()] == ["b", "a", None]


def test_a_key_that_is_added_while_it_is_in_work_comes_again_in_the_lane_that_goes_first() -> None:
    work, _ = queue()
    work.add_all(["a", "b"])
    taken = [work.take(), work.take()]
    for key in taken:
        work.add(str(key), Lane.NEW)
    work.add("b")
    work.add("b", Lane.NEW)
    for key in taken:
        work.done(str(key))
    assert [work.take(), work.take(), work.take()] == ["b", "a", None]


def test_a_key_that_fails_comes_back_later_each_time_until_it_succeeds() -> None:
    work, clock = queue()
    waits = [work.failed("a") for _ in range(4)]
    assert waits == [FIRST_BACKOFF * 2**n for n in range(4)]
    assert work.failing() == 1
    clock.now += waits[0]
    assert work.take() == "a"
    work.succeeded("a")
    assert work.failing() == 0
    assert work.failed("a") == FIRST_BACKOFF


def test_the_api_servers_wish_for_patience_is_heard() -> None:
    work, _ = queue()
    assert work.failed("a", at_least=7.0) == 7.0


def test_of_two_wishes_for_later_the_earlier_one_counts() -> None:
    work, clock = queue()
    work.add_after("a", 10)
    work.add_after("a", 5)
    work.add_after("a", 20)
    clock.now = 5
    assert work.take() == "a"
    work.done("a")
    clock.now = 30
    assert work.take() is None


def test_depth_and_age_tell_of_what_is_due() -> None:
    work, clock = queue()
    work.add("a")
    work.add_after("b", 2)
    clock.now = 1
    assert (work.depth, work.age) == (1, 1)
    clock.now = 3
    assert (work.depth, work.age) == (2, 3)


async def test_all_workers_that_wait_are_woken() -> None:
    work, _ = queue()
    waiting = [asyncio.create_task(work.get()) for _ in range(3)]
    await asyncio.sleep(0)
    work.add_all(["a", "b", "c"])
    assert sorted(await asyncio.gather(*waiting)) == ["a", "b", "c"]


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_a_backoff_has_bounds(failures: int, jitter: float) -> None:
    assert 0 < backoff(failures, jitter) <= LAST_BACKOFF * 1.25


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "done", "later", "tick"]), st.sampled_from("abc"))))
def test_nothing_added_is_ever_lost(steps: list[tuple[str, str]]) -> None:
    work, clock = queue()
    active: set[str] = set()
    owed: set[str] = set()
    for step, key in steps:
        if step == "add":
            work.add(key)
            owed.add(key)
        elif step == "later":
            work.add_after(key, 3)
            owed.add(key)
        elif step == "tick":
            clock.now += 1
        elif step == "done" and key in active:
            active.discard(key)
            work.done(key)
        elif step == "take" and (taken := work.take()) is not None:
            assert taken not in active
            active.add(taken)
            owed.discard(taken)
    clock.now += 10
    for key in active:
        work.done(key)
    left = set()
    while (taken := work.take()) is not None:
        left.add(taken)
        work.done(taken)
    assert owed <= left
