"""Suites: what is measured. Members of `evaluation.suites[]`, and their metrics, from the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.classification import ClassificationKind
from lowbit.api.suites.fidelity import FidelityKind
from lowbit.api.suites.generation import GenerationKind
from lowbit.api.suites.harness import HarnessKind
from lowbit.api.suites.health_metrics import HEALTH_METRICS
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.perplexity import PerplexityKind
from lowbit.api.tagged import Registry

AnySuite = SuiteKind[Any, Any]

SUITES: Registry[AnySuite] = Registry(
    "suite", FidelityKind(), PerplexityKind(), GenerationKind(), ClassificationKind(), HarnessKind()
)


def metrics() -> Mapping[str, Metric]:
    """Every metric by its name, in the order of the suites; then those that every evaluation reports."""
    return {metric.name: metric for kind in SUITES for metric in kind.metrics} | {
        metric.name: metric for metric in HEALTH_METRICS
    }


def gated() -> list[Metric]:
    """The metrics that a gate may ask for by a value."""
    known = metrics().values()
    losses = {metric.loss for metric in known}
    return [metric for metric in known if metric.bound is not None and metric.name not in losses]
