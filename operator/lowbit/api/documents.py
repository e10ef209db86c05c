"""The worker's contract: one JSON document in, JSON lines of progress out, one termination message of at most 4 KB.

The document is an annotation of the pod (naming/names.py), mounted at DOCUMENT_PATH (api/paths.py). It names Secrets
and holds none.

Exit codes: 0: done. EXIT_REFUSED: a permanent error, which no retry can fix. EXIT_LATER: it may pass, and is tried
again after a pause. EXIT_CRASHED: a bug, which is not tried again. Anything else: the Job itself tries again, a few
times.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import Digest, Tolerant
from lowbit.api.calibration import ResolvedCalibration
from lowbit.api.engines import ResolvedEngine
from lowbit.api.evaluation import AttemptsPolicy, ResolvedGate
from lowbit.api.facts import Coverage, ModelFacts
from lowbit.api.modelevaluation import EvaluatedModel, EvaluationProtocol, Place, StoppingGate, Turn
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import ResolvedRecipe
from lowbit.api.showcase import ServedShowcase, Showcase
from lowbit.api.status import ArtifactRecord, EvaluationSummary, Verdict

EXIT_REFUSED = 64
"""A permanent error: bad data, or a model that is refused."""
EXIT_ENGINE = 65
"""The engine restarted or dropped a request: the run is invalid, and may be retried."""
EXIT_CRASHED = 70
"""A bug of Lowbit's, or of a library: it would crash again. As EX_SOFTWARE in sysexits.h."""
EXIT_LATER = 75
"""It may pass by itself, or somebody mends it elsewhere: the operator tries again after a pause. As EX_TEMPFAIL."""
EXIT_LOST = 77
"""Of an engine in a group: another member has ended. worker/member.py, which stands alone, has it as well."""


class PVCStoreAccess(Tolerant):
    """A pvc store, mounted at STORE_PATH; path is below it."""

    path: str = ""


class S3StoreAccess(Tolerant):
    """An s3 store. credentials names the folder below SECRETS_PATH."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    credentials: str | None = None


class StoreAccess(Tolerant):
    """Exactly one member."""

    pvc: PVCStoreAccess | None = None
    s3: S3StoreAccess | None = None


class StageDocument(Tolerant):
    """Fields of every stage's document."""

    store: StoreAccess


class PrepareDocument(StageDocument):
    """Input: the parts of spec and platform that revisions are frozen from, so that prepare freezes the same ones."""

    stage: Literal["prepare"] = "prepare"
    name: str
    """QuantizedModel's name, for messages and for the revisions."""
    namespace: str
    spec: QuantizedModelSpec
    """Without serving, jobs and evaluation.compare: no revision is made from them."""
    platform: Platform
    """Without the proxy, which is in the environment."""


class QuantizeDocument(StageDocument):
    """Input: make the artifact of artifact_hash; a no-op if the store holds it."""

    stage: Literal["quantize"] = "quantize"
    source: Digest
    facts: ModelFacts
    recipe: ResolvedRecipe
    calibration: ResolvedCalibration | None = None
    """Absent if the recipe needs none."""
    artifact_hash: str
    device: Literal["GPU", "CPU"]


class OtherCandidate(Tolerant):
    """A candidate that was judged before, whose evaluation is in the store: it is shown beside this one."""

    name: str
    """Short name of its recipe."""
    evaluation: str
    """Name of its ModelEvaluation."""
    model: EvaluatedModel
    runtime_key: str
    """Hash of the engine that it was measured in."""
    bytes: int
    """Size of its files."""
    verdict: Verdict


class ReportedRevision(Tolerant):
    """The revision that a candidate is measured for, as the report shows it. The worker decides nothing by it."""

    label: str = ""
    """Short name of the candidate, with its own engine settings and calibration; empty from an older operator."""
    candidate: int
    """Index in the QuantizedModel's candidates."""
    candidates: int
    """How many were declared."""
    attempts: AttemptsPolicy = "Warn"
    """What further attempts on the same samples cost."""
    gates: list[ResolvedGate]
    """Thresholds when the Job was made."""
    recipe: ResolvedRecipe
    calibration: ResolvedCalibration | None = None


class EvaluateDocument(StageDocument):
    """Input: measure one model in the engine at 127.0.0.1:ENGINE_PORT; a no-op if the store holds the result."""

    stage: Literal["evaluate"] = "evaluate"
    evaluation: str
    """Name of the ModelEvaluation: the key of its results in the store."""
    model: EvaluatedModel
    source: Digest
    """The original: both models use its tokenizer and chat template."""
    source_bytes: int
    protocol: EvaluationProtocol
    engine: ResolvedEngine
    served_name: str
    baseline: str | None = None
    """Name of the baseline's ModelEvaluation, whose results are in the store."""
    baseline_runtime: str | None = None
    """Hash of the engine that the baseline was measured in: a result of another one does not count."""
    turn: Turn | None = None
    """Measure only suites whose two sides take turns, and only this start."""
    stopping: list[StoppingGate] | None = None
    """Gates of the suites that look several times: measuring one stops as soon as its gate is decided."""
    place: Place | None = None
    """Where it is evaluated again: samples of another place do not count, although the engine is the same."""
    turns: list[str] = Field(default_factory=list)
    """Names of the ModelEvaluations of all starts: original 1, candidate 1, original 2, and so on."""
    input_hash: str | None = None
    """Of a candidate: the manifest whose attempt this is."""
    left_behind: list[str] = Field(default_factory=list)
    """Files beside the original that were not copied, for report.html."""
    removed: dict[str, int] = Field(default_factory=dict)
    """Lines that were left out of the calibration datasets because they are evaluated on, for report.html."""
    candidate: str | None = None
    """Short name of the candidate's recipe, if there are others to compare it with, for report.html."""
    others: list[OtherCandidate] = Field(default_factory=list)
    """Candidates of the same QuantizedModel that were judged before, with evaluation.compare: All, for report.html."""
    artifact_hash: str | None = None
    """Finds the candidate's quantize report (per-module losses) in the store, for report.html."""
    reported: ReportedRevision | None = None
    """For the report of a candidate: what made it, and what it is judged by."""


class AskDocument(StageDocument):
    """Input: ask the served model the prompts of the showcase, through the guard, as a client does."""

    stage: Literal["ask"] = "ask"
    url: str
    """URL of the Service: http://chat.models.svc."""
    served_name: str
    engine: ResolvedEngine
    """The engine behind it: how its API is spoken."""
    api_key: str | None = None
    """The key's file below SECRETS_PATH; none where clients need none."""
    showcase: Showcase
    revision: str
    """The revision that serves."""
    key: str
    """Hash of revision and showcase: the folder of the answers in the store."""
    evaluation: str | None = None
    """The revision's ModelEvaluation, whose answers are shown beside."""
    baseline: str | None = None
    """The original's."""


class AskResult(Tolerant):
    """Result of ask."""

    showcase: ServedShowcase


class FetchDocument(StageDocument):
    """Input: put a model at MODEL_PATH (from an s3 store), hash it again, and refuse another digest. Fails closed."""

    stage: Literal["fetch"] = "fetch"
    model: EvaluatedModel


class ProgressLine(Tolerant):
    """One line on stdout: {"lowbit": "progress", ...}. Other lines are for people."""

    lowbit: Literal["progress"] = "progress"
    stage: str
    percent: float
    """From 0 to 100."""
    eta_seconds: float | None = None
    message: str
    """What is being done now, in a few words."""
    time: float
    """Seconds since the epoch."""


class PrepareResult(Tolerant):
    """Result of prepare. Source and datasets are in the store under these digests."""

    source: Digest
    facts: ModelFacts
    datasets: dict[str, Digest]
    """By the dataset's key: calibration/<name>, calibration/<candidate's index>/<name> or evaluation/<suite name>."""
    removed: dict[str, int] = Field(default_factory=dict)
    """Lines that were left out of calibration datasets, because they are evaluated on, by the dataset's key without
    calibration/."""
    broken: dict[str, int] = Field(default_factory=dict)
    """Lines that were left out of calibration datasets, because they are no records, by the dataset's key without
    calibration/."""
    artifacts: dict[str, Digest] = Field(default_factory=dict)
    """Digests of artifact candidates, by the candidate's index as text."""
    artifact_bytes: dict[str, int] = Field(default_factory=dict)
    """Sizes of artifact candidates, by the candidate's index as text."""
    artifact_coverage: dict[str, Coverage] = Field(default_factory=dict)
    """Which layers of artifact candidates are quantized, where it is known; by the candidate's index as text."""
    found: dict[str, ArtifactRecord] = Field(default_factory=dict)
    """Artifacts that the store already holds, by artifact hash."""
    found_evaluations: dict[str, EvaluationSummary] = Field(default_factory=dict)
    """Finished evaluations that the store already holds, by the ModelEvaluation's name, as far as 4 KB allow."""


class QuantizeResult(Tolerant):
    """Result of quantize."""

    artifact: ArtifactRecord
    seconds: float
    peak_bytes: int
    worst_module: str | None = None
    worst_loss: float | None = None
    rounded_experts: int = 0
    """Experts of a mixture that were rounded to nearest, because hardly a token reached them."""
    experts: int = 0
    """Experts in all layers."""
    smoke: str | None = None
    """The first words that the artifact generated, cut at 80 characters."""
    versions: dict[str, str] = Field(default_factory=dict)
    device: str = ""
    reused: bool = False
    """Whether the store already held it."""


class EvaluateResult(Tolerant):
    """Result of evaluate."""

    evaluation: str
    summary: EvaluationSummary
    seconds: float
    reused: bool = False


class FetchResult(Tolerant):
    """Result of fetch."""

    digest: Digest
    files: int
    bytes: int
