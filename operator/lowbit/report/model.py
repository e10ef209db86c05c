"""report.json: everything that a report shows. Pages and text are rendered from it alone.

A reader of another version finds what it knows: fields are only ever added within one VERSION.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import Tolerant
from lowbit.api.evaluation import ResolvedGate
from lowbit.api.modelevaluation import Place
from lowbit.api.status import SliceKind, VerdictRecord

VERSION = 1
Dimension = Literal["Fidelity", "Tasks", "Speed", "Size", "Health"]
GradeName = Literal["Excellent", "Good", "NeedsWork", "NotMeasured"]


class Judgement(Tolerant):
    """A verdict, and who has given it."""

    by: Literal["Worker", "Operator"]
    """Worker: after the measurement, for the thresholds of that time. Operator: the ModelRevision's own."""
    record: VerdictRecord
    gates: list[ResolvedGate] = Field(default_factory=list)
    """Thresholds that it was judged by."""


class Grade(Tolerant):
    """How good a candidate is in one dimension."""

    dimension: Dimension
    grade: GradeName
    reason: str
    """The number that decided, against its band."""


class Remedy(Tolerant):
    """What to try next."""

    name: str
    """As in docs/report.md."""
    why: str
    how: str
    """What to write in the manifest."""


class MeasuredRow(Tolerant):
    """One measured number. Numbers are on the metric's own scale; null if there is none."""

    suite: str
    metric: str
    title: str
    meaning: str
    slice: str | None = None
    slice_kind: SliceKind | None = None
    value: float | None = None
    lower: float | None = None
    """One-sided bound with the report's confidence."""
    upper: float | None = None
    standard_error: float | None = None
    original: float | None = None
    """The original's value of the same metric."""
    count: int
    unit: str
    """What is counted, in the singular."""
    not_finite: int = 0
    gated: bool
    """Whether a gate may ask for it."""
    better: Literal["Lower", "Higher"]
    missing: str = ""
    """Why there are no bounds."""


class Confusion(Tolerant):
    """Of one model and one class: questions by what is true and what the model said."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class ClassRow(Tolerant):
    """One class of one suite: what both models said."""

    suite: str
    name: str
    original: Confusion
    candidate: Confusion


class SampleRow(Tolerant):
    """One unit that both models have answered."""

    suite: str
    id: str
    prompt: str
    original: str
    candidate: str
    expected: str = ""
    slice: str = ""
    score: float = 0.0
    """How much worse the candidate is."""
    flipped: bool = False
    """Whether one of the two is right and the other is not."""
    note: str = ""


class SampleCount(Tolerant):
    """How many units of a suite there are, and how many of them the report holds."""

    suite: str
    all: int
    flipped: int
    shown: int


class ModuleRow(Tolerant):
    """One quantized module."""

    name: str
    layer: int | None = None
    """Depth, counted from 0."""
    kind: str
    """Its name within a layer: mlp.down_proj."""
    loss: float | None = None
    """Mean squared error of its outputs; null if the method measures none."""
    samples: int | None = None
    """Tokens that reached it."""
    damp: float | None = None
    seconds: float | None = None
    """Time to quantize it."""
    rounded: bool = False
    """Rounded to nearest, because hardly a token reached it."""


class Plot(Tolerant):
    """A picture as SVG, whose colours are CSS variables of the page."""

    title: str
    text: str = ""
    svg: str


class Section(Tolerant):
    """A part that only one suite has."""

    title: str
    text: str
    svg: str = ""
    header: list[str] = Field(default_factory=list)
    rows: list[list[str]] = Field(default_factory=list)


class SpeedRow(Tolerant):
    """Speed in the serving engine at one degree of concurrency."""

    concurrency: int
    tokens_per_second: float
    first_token_seconds: float
    """Median time to the first token."""
    original_tokens_per_second: float | None = None
    original_first_token_seconds: float | None = None


class Sizes(Tolerant):
    """Bytes of the weights."""

    source_bytes: int
    artifact_bytes: int | None = None
    ratio: float | None = None


class Spent(Tolerant):
    """One stage: how long it took, and on what."""

    what: str
    seconds: float
    gpus: int
    device: str = ""
    peak_bytes: int | None = None


class CalibrationSource(Tolerant):
    """A dataset that the quantizer drew texts from."""

    name: str
    digest: str
    share: float
    """Share of the samples, from 0 to 1."""
    removed: int = 0
    """Lines that were left out, because they are evaluated on."""
    broken: int = 0
    """Lines that were left out, because they are no records."""


class CalibrationFacts(Tolerant):
    """What the quantizer has read."""

    samples: int
    max_tokens: int
    seed: int
    sources: list[CalibrationSource]


class RecipeFacts(Tolerant):
    """How the artifact was made."""

    label: str
    settings: dict[str, str] = Field(default_factory=dict)
    made_here: bool = True
    calibrated: bool = True
    bits: int | None = None
    group_size: int | None = None


class Subject(Tolerant):
    """What the report is about."""

    evaluation: str
    baseline: str | None = None
    """Name of the evaluation that it is compared with; null on a baseline."""
    quantized_model: str | None = None
    candidate: int | None = None
    candidates: int | None = None
    recipe: RecipeFacts | None = None
    model: str
    """Digest of what was measured."""
    original: str | None = None
    """Digest of the original."""
    measured: str = ""
    """When (RFC 3339)."""
    place: Place | None = None
    """Where it was evaluated again, as an engine runs that serves; null in the evaluation that a rollout waits for."""


class Fact(Tolerant):
    """One line of what is needed to repeat the measurement."""

    name: str
    value: str
    detail: str = ""


class Report(Tolerant):
    """report.json: one evaluation of one model, everything that was measured, and what follows from it."""

    version: int = VERSION
    subject: Subject
    confidence: float = 0.95
    """One-sided confidence of the bounds in `measurements`."""
    judgement: Judgement | None = None
    grades: list[Grade] = Field(default_factory=list)
    remedy: Remedy | None = None
    measurements: list[MeasuredRow] = Field(default_factory=list)
    classes: list[ClassRow] = Field(default_factory=list)
    samples: list[SampleRow] = Field(default_factory=list)
    """The flipped ones and the worst; every one is in compared.jsonl beside this file."""
    sample_counts: list[SampleCount] = Field(default_factory=list)
    sections: list[Section] = Field(default_factory=list)
    modules: list[ModuleRow] = Field(default_factory=list)
    experts: int = 0
    rounded_experts: int = 0
    plots: list[Plot] = Field(default_factory=list)
    sizes: Sizes
    speed: list[SpeedRow] = Field(default_factory=list)
    decode_difference: float | None = None
    """Mean difference in nats of generated tokens' logprobs from those of the same tokens, read as a prompt."""
    spent: list[Spent] = Field(default_factory=list)
    calibration: CalibrationFacts | None = None
    repeat: list[Fact] = Field(default_factory=list)
    """Everything that is needed to repeat it."""
    methods: list[str] = Field(default_factory=list)
    """How each kind of suite measures, in words."""
    notes: list[str] = Field(default_factory=list)
    """What limits the result."""
