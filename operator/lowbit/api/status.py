"""Parts of status that several resources share."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.class_loss import class_loss
from lowbit.api.facts import Coverage
from lowbit.api.quantity import human

ConditionStatus = Literal["True", "False", "Unknown"]
Stage = Literal[
    "Pending",
    "Preparing",
    "Quantizing",
    "EvaluatingBaseline",
    "Evaluating",
    "Gating",
    "RollingOut",
    "Serving",
    "Passed",
    "Failed",
]
"""Stages of a QuantizedModel, in order. Passed is the last one without serving."""
Verdict = Literal["Passed", "Failed", "Inconclusive"]
Basis = Literal["Thresholds", "NonInferiority"]
SliceKind = Literal["Class", "Task", "Category", "Length", "Turns"]


class Condition(Tolerant):
    """A condition as Kubernetes writes it (metav1.Condition)."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int = 0


class Failure(Tolerant):
    """The last failure: what people should read first."""

    stage: str
    """Stage that failed: Prepare, Quantize, Evaluate, Gate, Serve."""
    reason: str
    """One word in CamelCase."""
    message: str
    """What happened and why."""
    action: str
    """What to do about it."""
    exit_code: int | None = None
    """Exit code of the worker, if one failed."""
    revision: str | None = None
    """The ModelRevision that failed."""
    time: str
    """When it happened first (RFC 3339)."""
    job: str | None = None
    """The Job that is tried again, for a failure that may pass."""
    attempts: int | None = None
    """How often it has failed so."""
    next_try: str | None = None
    """When it is tried again (RFC 3339)."""


class Progress(Tolerant):
    """How far the stage is. Written at most every 30 seconds."""

    percent: int | None = None
    """From 0 to 100."""
    eta_seconds: int | None = None
    """Estimated seconds until the stage's end."""
    message: str | None = None
    """The worker's last line for people."""


class MeanStatistics(Tolerant):
    """A mean over independent units, on its metric's scale."""

    value: str
    standard_error: str
    skewness: str = "NaN"
    """Skewness of the units' values, unbiased; NaN if unknown."""


class PairedCounts(Tolerant):
    """Units that each of two models got right or wrong. The metric is the loss: the original's share less the
    candidate's."""

    both: int
    original_only: int
    candidate_only: int
    neither: int


class ClassCounts(Tolerant):
    """What each of two models said of one class, by what is true. In both fields "said" is: said that it is of the
    class. From the eight counts follow precision, recall, F1 and specificity of both models, and their differences."""

    of_class: PairedCounts
    """Units that are of the class: who said so is right."""
    others: PairedCounts
    """Units that are not: who said so is wrong."""


class Quantiles(Tolerant):
    """A value with quantiles of its bootstrap distribution, on its metric's scale."""

    value: str
    probabilities: list[str]
    """Rising, between 0 and 1."""
    values: list[str]
    """One for each probability."""


class Measurement(Tolerant):
    """One measured number of a suite, with the statistics that the gate needs: one of mean, pairs, classes, successes
    and quantiles."""

    suite: str
    metric: str
    slice: str | None = None
    """A class, a task or a length bucket; absent for the whole suite."""
    slice_kind: SliceKind | None = None
    """What the slice is one of."""
    count: int
    """Independent units behind it (texts, not tokens)."""
    not_finite: int = 0
    """Numbers behind it that are NaN or infinite. Any makes the suite Failed."""
    mean: MeanStatistics | None = None
    pairs: PairedCounts | None = None
    classes: ClassCounts | None = None
    successes: int | None = None
    """Of one model alone: units that it got right, of `count`."""
    original: str | None = None
    """With the soundness of a candidate's answers: the value of its original, on the same prompts."""
    chance: str | None = None
    """With pairs: the share that guessing gets right."""
    look: int = 1
    """Which of several looks at the samples this is, from 1."""
    looks: int = 1
    """How many looks were fixed before the first one."""
    quantiles: Quantiles | None = None

    @property
    def whole(self) -> bool:
        """Whether it is of a whole suite, or of a whole task of a suite that has no average over its tasks."""
        return self.slice is None or self.slice_kind == "Task"

    @property
    def whole_name(self) -> str:
        """Name of what it is of, if it is whole: the suite, or suite/task."""
        return self.suite if self.slice is None else f"{self.suite}/{self.slice}"

    @property
    def estimate(self) -> float | None:
        """The value on the metric's scale; None where there is none."""
        if self.pairs is not None:
            return (self.pairs.original_only - self.pairs.candidate_only) / max(self.count, 1)
        if self.successes is not None:
            return self.successes / max(self.count, 1)
        if self.classes is not None:
            return class_loss(self.metric, self.classes)
        told = self.mean or self.quantiles
        return float(told.value) if told is not None else None


class GateCheck(Tolerant):
    """One threshold, judged."""

    suite: str
    metric: str
    slice: str | None = None
    """The class or task that is judged; absent for the whole suite."""
    bound: Literal["Maximum", "Minimum", "NonInferiority"]
    threshold: str
    """With NonInferiority the margin: how much worse than the original is good enough."""
    value: str
    """With NonInferiority the loss: the original's value less the candidate's."""
    lower: str
    upper: str
    count: int | None = None
    """Independent units behind it."""
    verdict: Verdict
    message: str | None = None
    """The same as a sentence."""


class VerdictRecord(Tolerant):
    """A verdict and the checks behind it."""

    verdict: Verdict
    basis: Basis
    message: str
    """One sentence with the metric that decided."""
    confidence: str
    """One-sided confidence of each bound, after dividing over the declared candidates, at the look that was taken."""
    attempts: int
    """Which manifest it was of those that were judged on the same samples, from 1."""
    checks: list[GateCheck]
    checks_left_out: int | None = None
    """How many more there are in the ModelRevision, where these are not all. Failed and inconclusive ones come first.
    """
    implausible: list[str] = Field(default_factory=list)
    """What cannot be believed of the results. While there is anything, nothing passes."""
    time: str


class ArtifactRecord(Tolerant):
    """An artifact in the store."""

    digest: str
    bytes: int
    """Size of its files."""
    source_bytes: int
    """Size of the original's weights."""
    ratio: str
    """source_bytes / bytes."""
    coverage: Coverage | None = None
    """Which of its layers are quantized; absent if it is not known."""


class SpeedSummary(Tolerant):
    """Speed in the serving engine at one degree of concurrency."""

    concurrency: int
    tokens_per_second: str
    """Generated tokens per second over all requests."""
    time_to_first_token_seconds: str
    """Median."""


class EngineRuntime(Tolerant):
    """How an engine ran. What is unknown is left out."""

    image: str | None = None
    """Its image as the node ran it (with its digest where it has one)."""
    device: str | None = None
    """Product of the node's devices."""
    kernels: list[str] = Field(default_factory=list)
    """Kernels of quantized layers that its log names."""


class JudgedAgain(EngineRuntime):
    """One more verdict on a revision that serves: in an engine that does not run as the first judged one did."""

    node: str | None = None
    """The node that it was evaluated on; absent if any node with such devices would do."""
    evaluation: str
    """Name of the candidate's ModelEvaluation."""
    baseline: str
    """Name of the original's ModelEvaluation."""
    verdict: Verdict
    message: str
    """The verdict's sentence."""
    time: str


class GPUMemory(Tolerant):
    """What one model takes on each GPU of its engine, in bytes, as estimated from its configuration. Of several GPUs it
    is the one that holds most."""

    name: str
    """original, or the short name of the candidate's recipe."""
    weights: int
    cache: int
    """Keys and values of one request of `tokens` tokens."""
    engine: int
    """What the engine itself takes: CUDA's context, activations, captured graphs."""
    tokens: int
    """The longest request: maxModelLen, or what the model allows."""
    gpu: str | None = None
    """The GPU that it is held against; absent if neither manifest nor platform name one."""
    room: int | None = None
    """What the engine may take of it, by gpuMemoryUtilization; absent if it is not known."""
    sequences: int | None = None
    """How many requests of full length fit at once. Shorter ones need less; what does not fit waits."""

    def words(self) -> str:
        """The same as one sentence, for people."""
        takes = (
            f"{self.name}: {human(self.weights)} of weights, {human(self.cache)} of cache for a request of "
            f"{self.tokens} tokens and {human(self.engine)} for the engine itself on each GPU"
        )
        if self.room is None or self.sequences is None:
            return f"{takes}."
        many = f"{self.sequences} such requests fit at once" if self.sequences else "not one such request fits"
        return f"{takes}; {self.gpu} gives {human(self.room)}, so {many}."


class RunningEngine(EngineRuntime):
    """How engines of one kind run that serve."""

    nodes: list[str] = Field(default_factory=list)
    """Nodes that they run on."""


class RunningEngines(Tolerant):
    """All engines that serve a revision."""

    revision: str
    engines: list[RunningEngine] = Field(default_factory=list)


class EngineTermination(Tolerant):
    """How an engine exited while it was needed, and the end of its log."""

    pod: str
    count: int
    """How often it has ended in this Job."""
    exit_code: int | None = None
    reason: str | None = None
    """As the kubelet says it: OOMKilled, Error."""
    error: str | None = None
    """The line of its log that says why."""
    kernels: list[str] = Field(default_factory=list)
    """Kernels of quantized layers that its log names."""
    log: str = ""
    """The last lines of its log."""


class ComparedModel(Tolerant):
    """The original or one candidate, in a comparison of all of them."""

    name: str
    """original, or the short name of the recipe: gptq-int4-g64."""
    candidate: int | None = None
    """Index in spec.candidates; absent for the original."""
    revision: str | None = None
    """Name of the candidate's ModelRevision."""
    evaluation: str | None = None
    """Name of the ModelEvaluation."""
    bytes: int | None = None
    """Size of its files (of the original: of its weights); absent until it is known."""
    ratio: str | None = None
    """Size of the original's weights / bytes."""
    verdict: Verdict | None = None
    failure: str | None = None
    """Reason for which it could be neither made nor measured."""
    decided_by: GateCheck | None = None
    """The threshold that decided: the closest call of a Passed, else the one farthest from passing."""
    speed: list[SpeedSummary] = Field(default_factory=list)


SHOWN_MEASUREMENTS = 80
"""Of whole suites. Those that a gate asks for are shown first, however many."""


class CountedAttempt(Tolerant):
    """Which attempt on the same samples an evaluation was, as the store has counted it."""

    ordinal: int
    """From 1. The candidates of one manifest are one attempt."""
    input_hash: str
    """The manifest that it was counted for: its revisions' input hash."""
    before: list[str] = Field(default_factory=list)
    """The latest evaluations of earlier attempts."""


class EvaluationSummary(Tolerant):
    """What an evaluation measured; the full report is in the store."""

    measurements: list[Measurement] = Field(default_factory=list)
    """Measurements of every suite."""
    speed: list[SpeedSummary]
    kernels: list[str] = Field(default_factory=list)
    """Kernels of quantized layers that the engine's log names: "CPUWNA16LinearKernel for AutoGPTQLinearMethod"."""
    report_digest: str | None = None
    """SHA-256 of report.html in the store."""
    report_path: str | None = None
    """Path of report.html below the store's root."""
    attempt: CountedAttempt | None = None
    """Which attempt on the same samples it was. Of a candidate only."""
    report_json_digest: str | None = None
    """SHA-256 of report.json beside it."""

    def brief(self, asked: Container[tuple[str, str]] = ()) -> EvaluationSummary:
        """The summary of whole suites and tasks, with at most SHOWN_MEASUREMENTS rows.

        The ModelEvaluation has them all.

        asked: (suite, metric) of what a gate asks for. None of these is left out.
        """
        whole = [row for row in self.measurements if row.whole]
        if len(whole) > SHOWN_MEASUREMENTS:
            needed = [(row.suite, row.metric) in asked for row in whole]
            room = SHOWN_MEASUREMENTS - sum(needed)
            others = [at for at, need in enumerate(needed) if not need][: max(room, 0)]
            shown = {at for at, need in enumerate(needed) if need} | set(others)
            whole = [row for at, row in enumerate(whole) if at in shown]
        return self.model_copy(update={"measurements": whole})
