"""The stages that run in pods: each is one row here, and a runner of its name in the worker."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.base import Wire
from lowbit.api.documents import (
    AskDocument,
    AskResult,
    EvaluateDocument,
    EvaluateResult,
    FetchDocument,
    FetchResult,
    PrepareDocument,
    PrepareResult,
    QuantizeDocument,
    QuantizeResult,
    StageDocument,
)
from lowbit.api.status import Stage
from lowbit.api.tagged import Registry


@dataclass(frozen=True)
class StageKind:
    """One stage."""

    name: str
    """Its name in documents, labels and results; and in spec.jobs, unless it has no options of its own."""
    document: type[StageDocument]
    """Input of its worker."""
    result: type[Wire]
    """Result of its worker."""
    title: str
    """Its name in a failure: Prepare."""
    status: Stage
    """Stage of the QuantizedModel meanwhile."""
    options: str = ""
    """The stage in spec.jobs with whose options it runs; by default itself."""

    @property
    def field(self) -> str:
        """Path of its Job's options in the manifest."""
        return f"spec.jobs.{self.options or self.name}"


PREPARE = StageKind("prepare", PrepareDocument, PrepareResult, "Prepare", "Preparing")
QUANTIZE = StageKind("quantize", QuantizeDocument, QuantizeResult, "Quantize", "Quantizing")
EVALUATE = StageKind("evaluate", EvaluateDocument, EvaluateResult, "Evaluate", "Evaluating")
ASK = StageKind("ask", AskDocument, AskResult, "Serve", "Serving", options="prepare")
FETCH = StageKind("fetch", FetchDocument, FetchResult, "Serve", "RollingOut")

STAGES: Registry[StageKind] = Registry("stage", PREPARE, QUANTIZE, EVALUATE, ASK, FETCH)
