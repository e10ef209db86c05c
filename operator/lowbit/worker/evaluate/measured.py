"""What an evaluation measures, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowbit.api.documents import EvaluateDocument
from lowbit.api.evaluation import ResolvedSuite, starts_of, suite_of
from lowbit.api.showcase import ShowcaseAnswer
from lowbit.api.status import CountedAttempt, SpeedSummary
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate import decoding, results, turns
from lowbit.worker.evaluate.health_answer import HealthAnswer
from lowbit.worker.evaluate.stored import StoredResult, damaged
from lowbit.worker.store import Store
from lowbit.worker.suites import RUNNERS, AnyRunner


@dataclass(frozen=True)
class SuiteOf:
    """One suite of the protocol, with its runner."""

    suite: ResolvedSuite
    settings: Any
    runner: AnyRunner
    of: Mapping[str, Any]
    """What the model's samples depend on."""

    @property
    def key(self) -> str:
        """Key of the samples in the store."""
        return results.suite_key(self.of)


@dataclass(frozen=True)
class Measured:
    """Everything measured in the engine."""

    samples: list[Any]
    """By suite, in the protocol's order."""
    generated: list[decoding.Generated]
    health: list[HealthAnswer]
    """Answers to the prompts that every evaluation asks."""
    speed: list[SpeedSummary]
    engine_version: str
    max_model_len: int | None
    showcase: list[ShowcaseAnswer] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    """Kernels of quantized layers, as the engine's log names them."""


@dataclass(frozen=True)
class Baseline:
    """The original's result and samples."""

    result: StoredResult
    samples: list[Any]
    """By suite that this evaluation measures, in the protocol's order."""
    starts: dict[str, list[tuple[Any, Any]]]
    """By suite whose sides took turns: samples of the original and of the candidate at each start."""
    attempt: CountedAttempt | None = None
    """Which attempt on these samples the candidate's evaluation will be."""


def suites_of(document: EvaluateDocument) -> list[SuiteOf]:
    """The suites to measure, in the protocol's order."""
    found = []
    for suite in turns.suites_of(document):
        kind, settings = suite_of(suite)
        found.append(SuiteOf(suite, settings, RUNNERS[kind.name], turns.input_of(document, suite)))
    return found


def load_baseline(document: EvaluateDocument, store: Store) -> Baseline | None:
    """What the candidate is compared with; None if the original itself is measured. Raises RefusalError."""
    if document.baseline is None:
        return None
    result = results.read_baseline(store, document)
    version = result.versions.get("engine", UNKNOWN_VERSION)
    if document.turn is not None:
        # The original's start has nothing to be compared with, only an engine that must be the same.
        pair = turns.suites_of(document) if document.model.kind == "Artifact" else []
        start = document.turn.start
        return Baseline(result, [turns.read_original(document, store, result, suite, start) for suite in pair], {})
    samples = []
    for suite in turns.suites_of(document):
        found = results.read_suite(store, result.suites.get(suite.name, "none"), suite, version)
        if found is None:
            raise damaged(document.baseline, f"what it gave for suite {suite.name} is missing, or was measured anew")
        samples.append(found)
    starts = {
        suite.name: turns.read_starts(document, store, result, suite)
        for suite in document.protocol.suites
        if starts_of(suite)
    }
    return Baseline(result, samples, starts)
