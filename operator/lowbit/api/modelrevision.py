"""ModelRevision: one immutable attempt of one QuantizedModel, frozen and named by its hash."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import Digest, ObjectName, OtherName, Tolerant, Wire
from lowbit.api.calibration import ResolvedCalibration
from lowbit.api.engine import EngineChanges
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import AttemptsPolicy, ResolvedGate
from lowbit.api.facts import ModelFacts
from lowbit.api.modelevaluation import EvaluationProtocol
from lowbit.api.platform import ServingContainers
from lowbit.api.recipes import ResolvedRecipe, calibrated, label
from lowbit.api.status import ArtifactRecord, Condition, Failure, JudgedAgain, VerdictRecord


class RevisionSource(Wire):
    """The original under its digest."""

    digest: Digest
    facts: ModelFacts


class RevisionImages(Wire):
    """Lowbit's own images and the guard's, frozen so that a newer Lowbit restarts nothing."""

    operator: str
    worker: str
    guard: str


class RevisionPlatform(Wire):
    """Other settings of the platform that show in pods, frozen like the images. Absent fields have their defaults."""

    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: list[OtherName] = Field(default_factory=list)
    gpu_resource: str = "nvidia.com/gpu"
    run_as_user: int = 65532
    ca_bundle_config_map: str | None = None
    containers: ServingContainers | None = None
    """Requests and limits of what the manifest leaves out. Absent in revisions of a Lowbit that had no such setting."""


class ModelRevisionSpec(Wire):
    """Immutable."""

    quantized_model: ObjectName
    candidate: int = Field(ge=0)
    """Index in the QuantizedModel's candidates."""
    candidates: int = Field(ge=1)
    """How many candidates were declared; the gate's confidence is divided by it."""
    input_hash: str
    """Hash of the part of the QuantizedModel's spec that this revision was made from."""
    store_ref: ObjectName
    source: RevisionSource
    recipe: ResolvedRecipe
    calibration: ResolvedCalibration | None = None
    """Absent for an artifact that was made elsewhere."""
    own_calibration: bool = False
    """Whether the candidate has a calibration of its own, in place of the model's."""
    protocol: EvaluationProtocol
    gates: list[ResolvedGate]
    attempts: AttemptsPolicy = "Warn"
    """What another attempt on the same samples costs."""
    engine: ResolvedEngine
    """The engine in which the candidate is judged and served."""
    engine_changes: EngineChanges | None = None
    """The candidate's own changes to the engine."""
    baseline_engine: ResolvedEngine | None = None
    """The engine in which the original is measured, if the candidate changes something."""
    images: RevisionImages
    platform: RevisionPlatform = RevisionPlatform()
    artifact_hash: str
    """Hash of source, recipe and calibration: equal hashes share one artifact."""

    @property
    def label(self) -> str:
        """Short name of the candidate: "gptq-int4-g64 with --kv-cache-dtype=fp8 on tickets and general"."""
        names = [each.name for each in self.calibration.datasets] if self.calibration and self.own_calibration else []
        return calibrated(label(self.recipe, self.engine_changes), names)

    @property
    def original_engine(self) -> ResolvedEngine:
        """The engine in which the original is measured, and served if it is the fallback."""
        return self.baseline_engine or self.engine


class ModelRevisionStatus(Tolerant):
    """Result of the attempt."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    """Passed: True, False or Unknown, with the verdict's message."""
    artifact: ArtifactRecord | None = None
    baseline: str | None = None
    """Name of the baseline's ModelEvaluation."""
    evaluation: str | None = None
    """Name of the candidate's ModelEvaluation."""
    verdict: VerdictRecord | None = None
    judged_again: list[JudgedAgain] = Field(default_factory=list)
    """Verdicts in engines that serve it and run otherwise, the newest last; at most 8."""
    failure: Failure | None = None
    """Why it could be neither made nor measured; the next candidate is tried."""


class ModelRevision(Tolerant):
    """spec and status, parsed. state/snapshot.py keeps metadata beside them."""

    spec: ModelRevisionSpec
    status: ModelRevisionStatus = ModelRevisionStatus()
