"""A result that is longer than a termination message: it is read in the worker's log, judged whole, and then let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from lowbit.api.status import Measurement
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from tests.unit.life import NAME, condition, only_passed_is_served, status
from tests.unit.measurements import Estimate, row
from tests.unit.world import NAMESPACE, World, spec

CLASSES = [
    row("Top1Agreement", Estimate(0.9 + n / 1e4, 0.01 + n / 1e5), slice_=f"class-{n * 7919}") for n in range(400)
]
"""More than 4 KB hold, packed."""


@pytest.fixture
def large(world: World) -> World:
    """Every candidate has numbers for 400 classes."""
    world.rows = CLASSES
    world.apply_model(NAME, spec())
    return world


def rows(world: World) -> list[Measurement]:
    (name,) = (name for name in world.names("ModelEvaluation") if name.startswith("eval-"))
    found = world.objects["ModelEvaluation", name]["status"]["summary"]["measurements"]
    return [Measurement.model_validate(each) for each in found]


def test_a_result_of_any_length_is_judged_whole(large: World) -> None:
    large.settle(NAME, after=only_passed_is_served(large))
    assert condition(large, "Ready")["status"] == "True"
    assert large.worker_logs, "it was told in the log"
    assert [each for each in rows(large) if each.slice] == CLASSES
    shown = status(large)["evaluation"]["measurements"]
    assert {each["metric"] for each in shown} >= {"KLDivergence", "Top1Agreement"}
    assert not [each for each in shown if "slice" in each], "the model's status stays readable"


def test_a_result_whose_log_cannot_be_read_is_a_failure_and_no_engine_is_started_again_for_it(large: World) -> None:
    large.lost = True
    large.settle(NAME, after=only_passed_is_served(large))
    assert condition(large, "Ready")["reason"] == "ReadingResult"
    assert "the log holds 0 of the result's" in condition(large, "Ready")["message"]
    evaluated = large.evaluated
    large.now += timedelta(minutes=5)
    large.settle_waiting(NAME, after=only_passed_is_served(large))
    assert condition(large, "Stalled")["reason"] == "ResultUnreadable"
    large.lost = False
    large.settle(NAME, after=only_passed_is_served(large))
    assert condition(large, "Ready")["status"] == "True", "it was asked for again"
    assert large.evaluated == evaluated


def test_who_deletes_the_job_has_another_one_say_the_result_again(large: World) -> None:
    large.lost = True
    large.settle_waiting(NAME)
    large.lost = False
    (name,) = (each for each in large.names("Job") if each.startswith("eval-"))
    large.end_job(name)
    large.delete("Job", name)
    large.settle(NAME, after=only_passed_is_served(large))
    assert condition(large, "Ready")["status"] == "True"


def test_a_result_that_stays_unread_wakes_nobody_again(large: World) -> None:
    """Who is woken asks again: that would be a read after the other."""
    large.lost = True
    large.settle_waiting(NAME)
    cache = Cache()
    for manifest in large.objects.values():
        cache.put(manifest)
    ((pod, unread),) = large.results.items()
    assert cache.put_result(NAMESPACE, pod, unread)
    assert not cache.put_result(NAMESPACE, pod, replace(unread, unread="in other words"))


def test_what_was_read_is_let_go_at_rest(large: World) -> None:
    large.settle(NAME)
    cache = Cache()
    for manifest in large.objects.values():
        cache.put(manifest)
    large.show_read(cache)
    assert cache._readings.results
    cache.rest(Key(NAMESPACE, NAME))
    assert not cache._readings.results


def test_a_model_at_rest_keeps_the_result_that_another_one_waits_for(large: World) -> None:
    large.apply_model("other", spec())
    large.settle(NAME, "other")
    cache = Cache()
    for manifest in large.objects.values():
        cache.put(manifest)
    large.show_read(cache)
    cache.rest(Key(NAMESPACE, NAME))
    assert cache._readings.results, "the Job is of both"
