"""ModelEvaluation: one immutable evaluation of one model in one engine setting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import Digest, ObjectName, Tolerant, Wire
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import AttemptsPolicy, ResolvedGate, ResolvedSuite, SpeedMeasurement
from lowbit.api.showcase import Showcase
from lowbit.api.status import Condition, EngineTermination, EvaluationSummary, Failure


class EvaluationProtocol(Wire):
    """What must be equal on both sides of a comparison: prompts, template, sampling, sample ids, scorer."""

    suites: list[ResolvedSuite]
    tokenizer: str
    """SHA-256 (hex) over the tokenizer files and the chat template of the original."""
    speed: SpeedMeasurement
    showcase: Showcase | None = None
    """What both models are asked, for people to read."""


class EvaluatedModel(Wire):
    """The model that is measured: the original (its source digest) or an artifact."""

    kind: Literal["Source", "Artifact"]
    digest: Digest


class Turn(Wire):
    """One start of an engine, in turn with the other model's: original 1, candidate 1, original 2, and so on."""

    start: int = Field(ge=1)
    """Its number, from 1."""
    other: Digest
    """The model that it is measured in turn with."""
    other_runtime: str
    """Hash of that model's engine."""


class Place(Wire):
    """Where a model is evaluated again, as engines run that serve it and were not judged: device or node is set."""

    image: str | None = None
    """The engine's image by its digest, if the one that serves is not the one that was judged."""
    device: str | None = None
    """Product of the devices: any node that has such ones will do."""
    node: str | None = None
    """The very node that serves, if its devices do not say what differs."""


class StoppingGate(Wire):
    """The gate of a suite that looks at its samples several times: measuring stops at the look that decides it."""

    gate: ResolvedGate
    candidates: int = Field(ge=1)
    """How many candidates were declared: the error is divided over them."""
    attempts: AttemptsPolicy = "Warn"
    """What another attempt on the same samples costs."""


class ModelEvaluationSpec(Wire):
    """Immutable, and named by its hash."""

    store_ref: ObjectName
    model: EvaluatedModel
    protocol: EvaluationProtocol
    protocol_key: str
    """Hash of protocol: equal keys make two results comparable."""
    engine: ResolvedEngine
    runtime_key: str
    """Hash of engine: a baseline must have the runtime that is asked for."""
    baseline: ObjectName | None = None
    """The ModelEvaluation of the original that this one is compared with; absent on a baseline."""
    turn: Turn | None = None
    """Set where only suites are measured whose two sides take turns. The candidate's own evaluation compares them."""
    stopping: list[StoppingGate] | None = None
    """Of a candidate's suites that look several times. Another threshold may stop at another look: it measures anew."""
    place: Place | None = None
    """Set where a revision that serves is evaluated again: its engine does not run there as the judged one did."""


class ModelEvaluationStatus(Tolerant):
    """Result of the evaluation."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    """Complete."""
    phase: Literal["Pending", "Running", "Complete", "Failed"] = "Pending"
    engine_image_id: str | None = None
    """The engine's image as the node ran it (with its digest where it has one)."""
    device: str | None = None
    """Product of the devices of the engine's node; absent if it is not known."""
    summary: EvaluationSummary | None = None
    engine_last_termination: EngineTermination | None = None
    """How the engine last ended before its measurement was complete."""
    last_failure: Failure | None = None


class ModelEvaluation(Tolerant):
    """spec and status, parsed. state/snapshot.py keeps metadata beside them."""

    spec: ModelEvaluationSpec
    status: ModelEvaluationStatus = ModelEvaluationStatus()
