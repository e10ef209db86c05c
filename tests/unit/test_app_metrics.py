"""What Prometheus is told: durations of stages, revisions and their values, calls, the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lowbit.app.metrics import Metrics
from lowbit.app.queue import WorkQueue
from lowbit.observe.cache import Cache
from tests.unit import world
from tests.unit.world import World

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics) -> Samples:
    """Every series as Prometheus reads it: name and labels to value."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("lowbit_")
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def job(stage: str | None = "quantize", **status: Any) -> dict[str, Any]:
    labels = {"lowbit.dev/stage": stage} if stage else {}
    return {"kind": "Job", "metadata": {"name": "j", "namespace": "team", "labels": labels}, "status": status}


def ended(type_: str, **status: Any) -> dict[str, Any]:
    condition = {"type": type_, "status": "True", "lastTransitionTime": "2026-01-01T00:03:00Z"}
    return {"startTime": "2026-01-01T00:00:00Z", "conditions": [condition], **status}


RUNNING = job(startTime="2026-01-01T00:00:00Z")
DONE = job(**ended("Complete", completionTime="2026-01-01T00:02:00Z"))
FAILED = job(**ended("Failed"))


@pytest.mark.parametrize(("end", "result", "seconds"), [(DONE, "Succeeded", 120), (FAILED, "Failed", 180)])
def test_a_stage_takes_from_the_start_to_the_end_of_its_job(
    end: Mapping[str, Any], result: str, seconds: float
) -> None:
    metrics = Metrics()
    metrics.on_job(None, RUNNING)
    metrics.on_job(RUNNING, end)
    labels = {"stage": "quantize", "result": result}
    assert value(metrics, "lowbit_stage_seconds_sum", **labels) == seconds
    assert value(metrics, "lowbit_stage_seconds_count", **labels) == 1


def test_an_end_that_was_seen_before_is_not_counted_again() -> None:
    metrics = Metrics()
    metrics.on_job(RUNNING, DONE)
    metrics.on_job(DONE, DONE)
    metrics.on_job(None, DONE)  # seen by a new operator: it may have ended long ago, and was counted by the last one
    assert value(metrics, "lowbit_stage_seconds_count", stage="quantize", result="Succeeded") == 1


def test_jobs_without_a_stage_or_a_start_are_not_counted() -> None:
    metrics = Metrics()
    metrics.on_job(job(None), job(None, **ended("Complete")))
    metrics.on_job(job(), job(**ended("Failed", startTime=None)))
    assert not [name for name, _ in samples(metrics) if name.startswith("lowbit_stage_seconds")]


def test_calls_are_counted_by_verb_resource_and_code() -> None:
    metrics = Metrics()
    for status in (200, 200, 409, 0):
        metrics.on_call("patch", "jobs", status, 0.02)
    for code, count in (("200", 2), ("409", 1), ("0", 1)):
        assert value(metrics, "lowbit_api_calls_total", verb="patch", resource="jobs", code=code) == count
    assert value(metrics, "lowbit_api_call_seconds_count", verb="patch") == 4


def test_the_queue_shows_its_depth_and_the_age_of_its_oldest_key() -> None:
    now = [0.0]
    queue: WorkQueue[str] = WorkQueue(lambda: now[0], jitter=lambda: 0.5)
    metrics = Metrics()
    metrics.watch_queue(lambda: queue.depth, lambda: queue.age, queue.failing)
    assert value(metrics, "lowbit_queue_depth") == value(metrics, "lowbit_queue_oldest_seconds") == 0
    queue.add("a")
    now[0] = 3.0
    queue.add("b")
    queue.failed("c")
    now[0] = 5.0
    assert value(metrics, "lowbit_queue_oldest_seconds") == 5
    assert value(metrics, "lowbit_queue_depth") == 3  # the failed one is due again
    assert value(metrics, "lowbit_failing_keys") == 1
    for _ in range(3):
        queue.take()
    assert value(metrics, "lowbit_queue_depth") == value(metrics, "lowbit_queue_oldest_seconds") == 0


def seen(state: World) -> Metrics:
    """The metrics of an operator that has seen everything."""
    cache, metrics = Cache(), Metrics()
    for manifest in state.objects.values():
        cache.put(manifest)
    metrics.watch_cache(cache)
    return metrics


def test_revisions_are_shown_by_stage_and_verdict_and_with_what_was_measured() -> None:
    state = World()
    state.add_store()
    first = [True]

    def kl(_: str) -> float:
        failing, first[0] = first[0], False
        return 0.5 if failing else 0.05

    state.kl = kl
    state.apply_model("chat", world.spec())
    state.apply_model("waits", world.spec(storeRef="absent"))
    state.settle("chat", "waits")
    metrics = seen(state)
    assert value(metrics, "lowbit_quantizedmodels", namespace="models", stage="Serving") == 1
    assert value(metrics, "lowbit_quantizedmodels", namespace="models", stage="Pending") == 1
    shown = {
        (dict(labels)["stage"], dict(labels)["verdict"]): count
        for (name, labels), count in samples(metrics).items()
        if name == "lowbit_revisions"
    }
    assert shown == {("Serving", "Passed"): 1, ("Superseded", "Failed"): 1}
    measured = {
        dict(labels)["revision"]: number
        for (name, labels), number in samples(metrics).items()
        if name == "lowbit_evaluation_value" and dict(labels)["metric"] == "KLDivergence"
    }
    assert sorted(measured.values()) == [0.05, 0.5]
    assert set(measured) == state.names("ModelRevision")


def test_what_goes_away_is_shown_no_more() -> None:
    state = World()
    state.add_store()
    state.apply_model("chat", world.spec())
    state.settle("chat")
    state.delete("QuantizedModel", "chat")
    shown = {name for name, _ in samples(seen(state))}
    assert not shown & {"lowbit_quantizedmodels", "lowbit_revisions", "lowbit_evaluation_value"}
