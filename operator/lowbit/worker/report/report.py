"""The report of one evaluation, from what was measured and from the quantizer's record in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic

from lowbit.api.documents import EvaluateDocument, QuantizeResult
from lowbit.api.evaluation import suite_of
from lowbit.api.recipes import label, recipe_of
from lowbit.api.status import ArtifactRecord
from lowbit.gate.attempts import gate_at
from lowbit.gate.judge import judge
from lowbit.report.assess import assessed
from lowbit.report.model import (
    CalibrationFacts,
    CalibrationSource,
    Judgement,
    ModuleRow,
    RecipeFacts,
    Report,
    Section,
    Sizes,
    Spent,
    Subject,
)
from lowbit.report.quantlog import parse_modules
from lowbit.worker import suites
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.report.calibration import calibration_section
from lowbit.worker.report.modules import module_plots
from lowbit.worker.report.repeat import engine_gpus, notes, repeat
from lowbit.worker.report.rows import CONFIDENCE, class_rows, measured_rows, speed_rows
from lowbit.worker.report.samples import shown_samples
from lowbit.worker.report.speed import size_plot, speed_plots
from lowbit.worker.store import Store
from lowbit.worker.store.indexes import read_artifact_index
from lowbit.worker.suites import RUNNERS, Summary

Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True)
class Quantized:
    """The quantizer's record; missing parts are None or empty, because the report decides nothing."""

    artifact: ArtifactRecord | None
    result: QuantizeResult | None
    modules: list[ModuleRow]
    calibration: Sequence[suites.Section] = ()
    """What it has read."""


@dataclass(frozen=True)
class Measured:
    """What an evaluation has found."""

    result: StoredResult
    baseline: StoredResult | None
    summaries: Mapping[str, Summary]
    """By suite."""
    at: str
    """Now (RFC 3339)."""
    attempt: int = 1
    """Which attempt on the same samples it is."""
    more: Sequence[suites.Section] = ()
    """Parts that no suite has."""


def read_quantized(document: EvaluateDocument, store: Store) -> Quantized:
    """The quantizer's record of the document's artifact."""
    index: dict[str, Any] = {}
    if document.artifact_hash:
        index = read_artifact_index(store, document.artifact_hash)
    return Quantized(
        artifact=_parse(ArtifactRecord, index.get("artifact")),
        result=_parse(QuantizeResult, index.get("quantize")),
        modules=parse_modules(index.get("modules")),
        calibration=calibration_section(index.get("calibration")),
    )


def _parse(model: type[Model], value: Any) -> Model | None:
    try:
        return model.model_validate(value) if value is not None else None
    except pydantic.ValidationError:
        return None


def gather(document: EvaluateDocument, measured: Measured, quantized: Quantized) -> Report:
    """The whole report, with grades and remedy."""
    result, baseline = measured.result, measured.baseline
    before = baseline.summary if baseline else None
    samples, counts = shown_samples({name: one.samples for name, one in measured.summaries.items()})
    speed = speed_rows(result.summary.speed, before.speed if before else [])
    sizes = sizes_of(document, quantized)
    found = quantized.result
    return assessed(
        Report(
            subject=subject(document, measured),
            confidence=CONFIDENCE,
            judgement=judgement(document, measured),
            measurements=measured_rows(result.summary.measurements, before.measurements if before else []),
            classes=class_rows(result.summary.measurements),
            samples=samples,
            sample_counts=counts,
            sections=sections(measured, quantized),
            modules=quantized.modules,
            experts=found.experts if found else 0,
            rounded_experts=found.rounded_experts if found else 0,
            plots=[*module_plots(quantized.modules), size_plot(sizes), *speed_plots(speed)],
            sizes=sizes,
            speed=speed,
            decode_difference=result.decoding.prefill_difference if result.decoding else None,
            spent=spent(document, measured, found),
            calibration=calibration(document),
            repeat=repeat(document, result, baseline, found),
            methods=[RUNNERS[name].method for name in dict.fromkeys(kinds(result))],
            notes=notes(document, result, baseline, quantized.modules),
        )
    )


def kinds(result: StoredResult) -> list[str]:
    """The kind of each suite."""
    return [suite_of(suite)[0].name for suite in result.protocol.suites]


def sections(measured: Measured, quantized: Quantized) -> list[Section]:
    """Parts that only one suite has, those that no suite has, and what the quantizer has read."""
    of_suites = [one for summary in measured.summaries.values() for one in summary.sections]
    return [
        Section(
            title=each.title, text=each.text, svg=each.plot, header=list(each.header), rows=[list(r) for r in each.rows]
        )
        for each in (*of_suites, *measured.more, *quantized.calibration)
    ]


def judgement(document: EvaluateDocument, measured: Measured) -> Judgement | None:
    """What the gate says by the thresholds of this time; None where the document has none."""
    reported = document.reported
    if reported is None or measured.baseline is None:
        return None
    summary = measured.result.summary
    gates = [gate_at(gate, reported.attempts, measured.attempt) for gate in reported.gates]
    record = judge(gates, summary, reported.candidates, measured.attempt, measured.at)
    return Judgement(by="Worker", record=record, gates=reported.gates)


def subject(document: EvaluateDocument, measured: Measured) -> Subject:
    """What the report is about."""
    reported = document.reported
    return Subject(
        evaluation=document.evaluation,
        baseline=measured.baseline.evaluation if measured.baseline else None,
        quantized_model=document.served_name,
        candidate=reported.candidate if reported else None,
        candidates=reported.candidates if reported else None,
        recipe=recipe_facts(document),
        model=document.model.digest,
        original=document.source if measured.baseline else None,
        measured=measured.at,
        place=document.place,
    )


def recipe_facts(document: EvaluateDocument) -> RecipeFacts | None:
    """How the artifact was made, in words that no recipe owns."""
    if document.reported is None:
        return None
    kind, settings = recipe_of(document.reported.recipe)
    return RecipeFacts(
        label=document.reported.label or label(document.reported.recipe),
        settings={name: str(value) for name, value in settings.wire().items()},
        made_here=kind.made_here,
        calibrated=kind.calibrated,
        bits=getattr(settings, "bits", None),
        group_size=getattr(settings, "group_size", None),
    )


def calibration(document: EvaluateDocument) -> CalibrationFacts | None:
    """What the quantizer has read."""
    found = document.reported.calibration if document.reported else None
    if found is None:
        return None
    whole = sum(each.weight for each in found.datasets) or 1
    sources = [
        CalibrationSource(
            name=each.name,
            digest=each.digest,
            share=each.weight / whole,
            removed=each.removed,
            broken=each.broken,
        )
        for each in found.datasets
    ]
    return CalibrationFacts(samples=found.samples, max_tokens=found.max_tokens, seed=found.seed, sources=sources)


def sizes_of(document: EvaluateDocument, quantized: Quantized) -> Sizes:
    """Bytes of the original and of the artifact."""
    artifact = quantized.artifact
    if artifact is None:
        return Sizes(source_bytes=document.source_bytes)
    ratio = document.source_bytes / max(artifact.bytes, 1)
    return Sizes(source_bytes=document.source_bytes, artifact_bytes=artifact.bytes, ratio=ratio)


def spent(document: EvaluateDocument, measured: Measured, quantize: QuantizeResult | None) -> list[Spent]:
    """How long each stage took, and on how many GPUs."""
    found = []
    if quantize is not None:
        gpus = 0 if quantize.device in ("", "CPU") else 1
        found.append(
            Spent(what="Quantize", seconds=quantize.seconds, gpus=gpus, device=quantize.device,
                  peak_bytes=quantize.peak_bytes)
        )  # fmt: skip
    if measured.baseline is not None:
        seconds = measured.baseline.seconds
        found.append(Spent(what="Evaluate the original", seconds=seconds, gpus=engine_gpus(measured.baseline)))
    name = "Evaluate the candidate" if measured.baseline else "Evaluate the original"
    found.append(Spent(what=name, seconds=measured.result.seconds, gpus=engine_gpus(measured.result)))
    return found
