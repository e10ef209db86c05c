"""The stages that run in pods: each is one row here, and a runner of its name in the worker."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.base import Wire
from lowbit.api.documents import (
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
    """In documents, labels and results, and in spec.jobs."""
    document: type[StageDocument]
    """What its worker reads."""
    result: type[Wire]
    """What its worker leaves behind."""
    title: str
    """In a failure: Prepare."""
    status: Stage
    """Where the QuantizedModel is meanwhile."""

    @property
    def field(self) -> str:
        """Where the manifest says how its Job runs."""
        return f"spec.jobs.{self.name}"


PREPARE = StageKind("prepare", PrepareDocument, PrepareResult, "Prepare", "Preparing")
QUANTIZE = StageKind("quantize", QuantizeDocument, QuantizeResult, "Quantize", "Quantizing")
EVALUATE = StageKind("evaluate", EvaluateDocument, EvaluateResult, "Evaluate", "Evaluating")
FETCH = StageKind("fetch", FetchDocument, FetchResult, "Serve", "RollingOut")

STAGES: Registry[StageKind] = Registry("stage", PREPARE, QUANTIZE, EVALUATE, FETCH)
