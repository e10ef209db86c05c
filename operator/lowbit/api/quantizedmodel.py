"""QuantizedModel: which model, how small, how good it must stay, and how it is to be served."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import ObjectName, Tolerant, Wire
from lowbit.api.calibration import Calibration
from lowbit.api.engines import Engine, default_engine, field_path
from lowbit.api.evaluation import Evaluation
from lowbit.api.pods import Jobs
from lowbit.api.recipes import RECIPES, Recipe
from lowbit.api.references import Source
from lowbit.api.serving import Serving
from lowbit.api.showcase import ServedShowcase
from lowbit.api.status import (
    ArtifactRecord,
    ComparedModel,
    Condition,
    EvaluationSummary,
    Failure,
    GPUMemory,
    Progress,
    RunningEngines,
    Stage,
    VerdictRecord,
)

BASELINE_ENGINE = "spec.evaluation.baseline.engine"
CALIBRATED = " and ".join(kind.name for kind in RECIPES if kind.calibrated)


class QuantizedModelSpec(Wire):
    """What a user wants."""

    source: Source
    """Where the original is."""
    store_ref: ObjectName = "default"
    """Name of the ModelStore that keeps the model's files. It cannot be changed."""
    candidates: list[Recipe] = Field(min_length=1, max_length=8)
    """Recipes in order of preference: the first that passes its gate is served."""
    calibration: Calibration | None = Field(
        default=None,
        description=f"Texts for quantizers that need them; required by {CALIBRATED}, unless the candidate has its own.",
    )
    evaluation: Evaluation
    """How a candidate is compared with the original, and what it must show."""
    engine: Engine = default_engine()
    """The server that runs the model, in evaluation and in serving."""
    serving: Serving | None = None
    """How it is served. Without it Lowbit quantizes and gates, and Ready means passed."""
    jobs: Jobs = Jobs()
    """How the Jobs run."""

    @property
    def original_engine(self) -> Engine:
        """The engine of the original."""
        return self.evaluation.baseline.engine or self.engine

    @property
    def original_field(self) -> str:
        """Path of the original's engine in the manifest: spec.engine.vllm, or spec.evaluation.baseline.engine.vllm."""
        own = self.evaluation.baseline.engine
        return field_path(self.engine) if own is None else field_path(own, BASELINE_ENGINE)

    def calibration_of(self, candidate: int) -> Calibration | None:
        """What a candidate is calibrated on: its own texts, or the model's."""
        return self.candidates[candidate].calibration or self.calibration

    def calibrations(self) -> dict[int | None, Calibration]:
        """Every calibration: the model's under None, and candidates' own under their indexes."""
        own = {index: each.calibration for index, each in enumerate(self.candidates)}
        return {index: each for index, each in [(None, self.calibration), *own.items()] if each is not None}


class RevisionSummary(Tolerant):
    """One revision in the QuantizedModel's status."""

    name: str
    candidate: int
    """Index in spec.candidates."""
    recipe: str
    """Short name of the recipe: gptq-int4-g64."""
    verdict: str | None = None
    artifact: ArtifactRecord | None = None


class QuantizedModelStatus(Tolerant):
    """The present state, for people."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    """Available, Ready; Reconciling, Stalled and VerdictStale only while they hold; Compared only with
    evaluation.compare: All."""
    stage: Stage = "Pending"
    reason: str | None = None
    """Reason of the Ready condition, for kubectl get."""
    message: str | None = None
    """Short message of the Ready condition, for kubectl get."""
    progress: Progress | None = None
    current: RevisionSummary | None = None
    """The revision that is served (or, without serving, that has passed)."""
    candidate: RevisionSummary | None = None
    """The revision that is being made or judged."""
    verdict: VerdictRecord | None = None
    """The last verdict."""
    evaluation: EvaluationSummary | None = None
    """The measurements behind the last verdict."""
    memory: list[GPUMemory] = Field(default_factory=list)
    """What the original and the candidate take on each GPU, once the model's facts are known. It is renewed along with
    the rest of the status: a new name of a GPU alone writes nothing."""
    running: RunningEngines | None = None
    """How the engines run that serve. The verdict holds for those that run as the judged one did."""
    comparison: list[ComparedModel] | None = None
    """The original and each candidate, with evaluation.compare: All."""
    showcase: ServedShowcase | None = None
    """What serves, asked the prompts of evaluation.showcase through the guard, after its rollout."""
    group_token: str | None = None
    """The Secret with the token by which the pods of a group know each other, once it was made."""
    endpoint: str | None = None
    """URL of the OpenAI-compatible API inside the cluster."""
    replicas: int = 0
    ready_replicas: int = 0
    selector: str | None = None
    """Label selector of the serving pods, for the scale subresource."""
    last_failure: Failure | None = None
    """The last failure, even if it was overcome. It is current only while the condition Stalled is True."""


class QuantizedModel(Tolerant):
    """spec and status, parsed. state/snapshot.py keeps metadata beside them."""

    spec: QuantizedModelSpec
    status: QuantizedModelStatus = QuantizedModelStatus()
