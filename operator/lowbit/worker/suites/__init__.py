"""Runners of suites, by the suite's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowbit.worker.suites.base import (
    Arrays,
    Ask,
    ComparedSample,
    InterleavedRunner,
    LookingRunner,
    Part,
    Runner,
    Section,
    SeparateRunner,
    Summary,
)
from lowbit.worker.suites.classification import ClassificationRunner
from lowbit.worker.suites.fidelity import FidelityRunner
from lowbit.worker.suites.generation import GenerationRunner
from lowbit.worker.suites.harness import HarnessRunner
from lowbit.worker.suites.perplexity import PerplexityRunner

__all__ = [
    "RUNNERS",
    "AnyRunner",
    "Arrays",
    "Ask",
    "ComparedSample",
    "InterleavedRunner",
    "LookingRunner",
    "Part",
    "Runner",
    "Section",
    "SeparateRunner",
    "Summary",
]

AnyRunner = Runner[Any, Any]

RUNNERS: Mapping[str, AnyRunner] = {
    "fidelity": FidelityRunner(),
    "perplexity": PerplexityRunner(),
    "generation": GenerationRunner(),
    "classification": ClassificationRunner(),
    "harness": HarnessRunner(),
}
