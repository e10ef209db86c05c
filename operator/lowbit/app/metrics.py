"""Prometheus metrics. Counters are kept here; gauges of objects are read from the cache at each scrape."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lowbit.naming.names import STAGE_LABEL, WORKER_END_ANNOTATION
from lowbit.observe.cache import Cache
from lowbit.observe.jobviews import job_view
from lowbit.observe.readings import Readings

RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
STAGE_BUCKETS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.reconciles = Counter(
            "lowbit_reconciles", "Reconciles by kind and result.", ("kind", "result"), registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "lowbit_reconcile_seconds",
            "Seconds from taking a key off the queue until its plan was carried out.",
            ("kind",),
            buckets=RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self.api_calls = Counter(
            "lowbit_api_calls",
            "Calls to the API server by verb, resource and HTTP status (0: no answer).",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self.api_seconds = Histogram(
            "lowbit_api_call_seconds",
            "Seconds until the API server answered.",
            ("verb",),
            buckets=RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "lowbit_stage_seconds",
            "Seconds from the start to the end of a stage's Job.",
            ("stage", "result"),
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self.missed = Counter(
            "lowbit_missed_events",
            "Changes that a LIST found and no watch had brought.",
            ("kind",),
            registry=self.registry,
        )
        self.leader = Gauge("lowbit_leader", "1 while this operator holds the Lease.", registry=self.registry)

    def on_call(self, verb: str, resource: str, status: int, seconds: float) -> None:
        """Count one call to the API server."""
        self.api_calls.labels(verb, resource, str(status)).inc()
        self.api_seconds.labels(verb).observe(seconds)

    def on_job(self, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
        """Observe the duration of a Job's stage, if this change is the Job's end."""
        result, ended = _end(now)
        if before is None or ended is None or _end(before)[1] is not None:
            return
        started = (now.get("status") or {}).get("startTime")
        stage = (now["metadata"].get("labels") or {}).get(STAGE_LABEL)
        if started and stage:
            seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
            self.stage_seconds.labels(stage, result).observe(max(0.0, seconds))

    def watch_queue(self, depth: Callable[[], float], age: Callable[[], float], failing: Callable[[], float]) -> None:
        """Export the queue's depth, its oldest key's age, and how many keys fail."""
        for name, text, read in (
            ("lowbit_queue_depth", "Keys that wait for a worker.", depth),
            ("lowbit_queue_oldest_seconds", "Seconds for which the oldest key has waited.", age),
            ("lowbit_failing_keys", "Keys whose last reconcile failed.", failing),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def watch_cache(self, cache: Cache) -> None:
        """Export what the cache holds."""
        self.registry.register(CacheCollector(cache))


class CacheCollector(Collector):
    """QuantizedModels, revisions and evaluation values, as the cache holds them at each scrape."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are known only when collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        yield self._models()
        yield self._revisions()
        yield self._values()

    def _models(self) -> Metric:
        family = GaugeMetricFamily("lowbit_quantizedmodels", "QuantizedModels by stage.", labels=("namespace", "stage"))
        for namespace in self._cache.namespaces("QuantizedModel"):
            models = self._cache.scraped("QuantizedModel", namespace).values()
            for stage, count in Tally(model.stage for model in models).items():
                family.add_metric((namespace, stage), count)
        return family

    def _revisions(self) -> Metric:
        family = GaugeMetricFamily(
            "lowbit_revisions",
            "ModelRevisions by their QuantizedModel's stage (Superseded: it has moved on) "
            "and verdict (None: no verdict).",
            labels=("namespace", "stage", "verdict"),
        )
        for namespace in self._cache.namespaces("ModelRevision"):
            models = self._cache.scraped("QuantizedModel", namespace).values()
            stages = {name: model.stage for model in models for name in model.revisions}
            tally: Tally[tuple[str, str]] = Tally()
            for name, revision in self._cache.scraped("ModelRevision", namespace).items():
                tally[stages.get(name, "Superseded"), revision.verdict or "None"] += 1
            for (stage, verdict_name), count in tally.items():
                family.add_metric((namespace, stage, verdict_name), count)
        return family

    def _values(self) -> Metric:
        family = GaugeMetricFamily(
            "lowbit_evaluation_value",
            "What was measured on a revision, by suite (or suite/task) and metric.",
            labels=("namespace", "quantizedmodel", "revision", "suite", "metric"),
        )
        for namespace in self._cache.namespaces("ModelRevision"):
            evaluations = self._cache.scraped("ModelEvaluation", namespace)
            for name, revision in self._cache.scraped("ModelRevision", namespace).items():
                evaluation = evaluations.get(revision.evaluation or "")
                for suite, metric, value in evaluation.values if evaluation else ():
                    family.add_metric((namespace, revision.model, name, suite, metric), value)
        return family


def _end(job: Mapping[str, Any]) -> tuple[str, str | None]:
    """Result and time of a Job's end; the time is None until it has ended."""
    status = job.get("status") or {}
    if WORKER_END_ANNOTATION in (job["metadata"].get("annotations") or {}):
        ended = job_view(job, (), Readings())
        return ended.state, ended.finished
    for condition in status.get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            result = "Succeeded" if condition["type"] == "Complete" else "Failed"
            return result, status.get("completionTime") or condition.get("lastTransitionTime")
    return "", None
