"""report.html: one self-contained file with what was measured, how, and the plots that people look at first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import jinja2
import pydantic

from lowbit.api.documents import EvaluateDocument, QuantizeResult
from lowbit.api.engines import resolved_engine
from lowbit.api.evaluation import ResolvedSuite, suite_of
from lowbit.api.status import ArtifactRecord, Measurement, SpeedSummary
from lowbit.api.suites import metrics
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.report import plots
from lowbit.worker.store import Store
from lowbit.worker.store.indexes import read_artifact_index
from lowbit.worker.suites import RUNNERS, ComparedSample, Section, Summary

TEMPLATE = Path(__file__).with_name("template.html")
CONFIDENCE = 0.95
"""Confidence of the bounds in the report. The gate computes its own bounds, and may ask for more."""
WORST_MODULES = 5
SHOWN_SAMPLES = 20
"""Of each suite; the store has all of them."""
Model = TypeVar("Model", bound=pydantic.BaseModel)
BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.(.+)$")


@dataclass(frozen=True)
class Module:
    """One quantized module and its loss."""

    name: str
    loss: float


@dataclass(frozen=True)
class ReportInput:
    """Everything that the report shows."""

    result: StoredResult
    baseline: StoredResult | None
    sections: Sequence[Section]
    """Parts that only one suite has."""
    samples: Mapping[str, Sequence[ComparedSample]]
    """By suite: what both models answered, the worst first; at most SHOWN_SAMPLES of each."""
    source_bytes: int
    left_behind: Sequence[str]
    removed: Mapping[str, int]
    artifact: ArtifactRecord | None
    quantize: QuantizeResult | None
    rounded: Sequence[str]
    """Modules of experts that were rounded to nearest."""
    modules: Sequence[Module]


def gather(
    document: EvaluateDocument,
    store: Store,
    result: StoredResult,
    baseline: StoredResult | None,
    summaries: Mapping[str, Summary],
) -> ReportInput:
    """Add the quantizer's report from the store. Missing parts are left out: the report decides nothing."""
    index: dict[str, Any] = {}
    if document.artifact_hash:
        index = read_artifact_index(store, document.artifact_hash)
    return ReportInput(
        result=result,
        baseline=baseline,
        sections=[section for summary in summaries.values() for section in summary.sections],
        samples={name: worst(one.samples) for name, one in summaries.items() if one.samples},
        source_bytes=document.source_bytes,
        left_behind=document.left_behind,
        removed=document.removed,
        artifact=_parse(ArtifactRecord, index.get("artifact")),
        quantize=_parse(QuantizeResult, index.get("quantize")),
        modules=parse_modules(index.get("modules")),
        rounded=parse_rounded(index.get("modules")),
    )


def worst(samples: Sequence[ComparedSample]) -> list[ComparedSample]:
    """SHOWN_SAMPLES of them: those on which the candidate is worst, first."""
    return sorted(samples, key=lambda one: (-one.score, one.id))[:SHOWN_SAMPLES]


def parse_modules(rows: Any) -> list[Module]:
    """The quantizer's rows: a name (name or module, below a layer where that is given) and a loss."""
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping):
            continue
        name = str(row.get("name") or row.get("module") or "")
        if row.get("layer") is not None and not BLOCK.search(name):
            name = f"layers.{row['layer']}.{name}"
        try:
            found.append(Module(name, float(row.get("loss", "nan"))))
        except (TypeError, ValueError):
            continue
    return found


def parse_rounded(rows: Any) -> list[str]:
    """Names of the modules that were rounded to nearest."""
    known = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [str(row.get("name")) for row in known if row.get("rounded") is True]


def _parse(model: type[Model], value: Any) -> Model | None:
    try:
        return model.model_validate(value) if value is not None else None
    except pydantic.ValidationError:
        return None


def render(shown: ReportInput) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    result = shown.result
    kinds = {suite_of(suite)[0].name: None for suite in result.protocol.suites}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        result=result,
        baseline=shown.baseline,
        gated=gated_rows(result.summary.measurements),
        reported=reported_rows(
            result.summary.measurements, shown.baseline.summary.measurements if shown.baseline else []
        ),
        protocol=[protocol_row(suite) for suite in result.protocol.suites],
        methods=[RUNNERS[name].method for name in kinds],
        sections=shown.sections,
        modules=modules_plot(shown.modules),
        worst_modules=sorted((m for m in shown.modules if isfinite(m.loss)), key=lambda m: -m.loss)[:WORST_MODULES],
        module_count=len(shown.modules),
        sizes=sizes_plot(shown),
        artifact=shown.artifact,
        left_behind=shown.left_behind,
        removed=shown.removed,
        quantize=shown.quantize,
        rounded=shown.rounded,
        speed=speed_rows(result.summary.speed, shown.baseline.summary.speed if shown.baseline else []),
        speed_plot=speed_plot(result.summary.speed, shown.baseline.summary.speed if shown.baseline else []),
        confidence=f"{100 * CONFIDENCE:g} %",
        engine=engine_shown(result),
    )


def engine_shown(result: StoredResult) -> dict[str, Any]:
    """The engine that measured, in full."""
    kind, settings = resolved_engine(result.engine)
    arguments = kind.arguments("MODEL", settings)
    return {"name": kind.name, "arguments": arguments} | dict(settings)


def gated_rows(measurements: Sequence[Measurement]) -> list[dict[str, str]]:
    """Rows of metrics that a gate can use, with one-sided bounds or why there are none; empty on a baseline."""
    rows = []
    known = metrics()
    for row in measurements:
        metric = known.get(row.metric)
        if metric is None or metric.bound is None:
            continue
        shown = {"suite": shown_suite(row), "title": metric.title, "meaning": metric.meaning}
        try:
            found = bounds(metric, row, CONFIDENCE)
        except (NotMeasuredError, NotANumberError) as error:
            rows.append(shown | {"value": plain(row), "lower": "–", "upper": "–", "count": str(error)})
            continue
        rows.append(
            shown | {"value": f"{found.value:.4g}", "lower": f"{found.lower:.4g}", "upper": f"{found.upper:.4g}",
                     "count": f"{found.count} {metric.unit}s"}
        )  # fmt: skip
    return rows


def reported_rows(measurements: Sequence[Measurement], original: Sequence[Measurement]) -> list[dict[str, str]]:
    """Rows of metrics that are only reported, beside the original's values."""
    before = {(row.suite, row.metric, row.slice): row for row in original}
    known = metrics()
    return [
        {"suite": shown_suite(row), "title": known[row.metric].title, "meaning": known[row.metric].meaning,
         "value": plain(row), "original": plain(before.get((row.suite, row.metric, row.slice)))}
        for row in measurements
        if row.metric in known and known[row.metric].bound is None
    ]  # fmt: skip


def plain(row: Measurement | None) -> str:
    """A value and its standard error, to first order on the metric's own scale."""
    if row is None or row.estimate is None:
        return "–"
    metric = metrics()[row.metric]
    value = metric.of(row.estimate)
    if row.mean is None:
        return f"{value:.4g}"
    error = float(row.mean.standard_error) * (value if metric.scale == "Logarithmic" else 1.0)
    return f"{value:.4g} ± {error:.4g}"


def shown_suite(row: Measurement) -> str:
    """Name of the suite, with the slice."""
    return f"{row.suite} · {row.slice}" if row.slice else row.suite


def protocol_row(suite: ResolvedSuite) -> dict[str, str]:
    """Settings of a suite, in the words of the manifest."""
    kind, settings = suite_of(suite)
    asked = ", ".join(f"{name} {value}" for name, value in settings.wire().items())
    return {"name": suite.name, "kind": kind.name, "asked": asked}


def modules_plot(modules: Sequence[Module]) -> str:
    """Loss by layer, one line for each module of a layer."""
    series: dict[str, list[plots.Point]] = {}
    for module in modules:
        if match := BLOCK.search(module.name):
            series.setdefault(match[2], []).append((float(match[1]), module.loss))
    return plots.lines({name: sorted(points) for name, points in series.items()}, "layer", "Loss")


def sizes_plot(shown: ReportInput) -> str:
    """Bytes of the original and of the artifact."""
    rows = [("Original", float(shown.source_bytes), megabytes(shown.source_bytes))]
    if shown.artifact:
        size = shown.artifact.bytes
        rows.append(("Artifact", float(size), f"{megabytes(size)} ({shown.source_bytes / max(size, 1):.2f}x)"))
    return plots.bars(rows)


def megabytes(size: int) -> str:
    """114.6 MB, 15.2 GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def speed_rows(candidate: Sequence[SpeedSummary], original: Sequence[SpeedSummary]) -> list[dict[str, Any]]:
    """Both models beside each other, by concurrency."""
    before = {one.concurrency: one for one in original}
    return [
        {"concurrency": one.concurrency, "model": one, "original": before.get(one.concurrency),
         "ratio": _ratio(one, before.get(one.concurrency))}
        for one in candidate
    ]  # fmt: skip


def _ratio(one: SpeedSummary, other: SpeedSummary | None) -> str | None:
    if other is None or float(other.tokens_per_second) <= 0:
        return None
    return f"{float(one.tokens_per_second) / float(other.tokens_per_second):.2f}x"


def speed_plot(candidate: Sequence[SpeedSummary], original: Sequence[SpeedSummary]) -> str:
    """Generated tokens per second, original and candidate in turn."""
    before = {one.concurrency: one for one in original}
    rows = []
    for one in candidate:
        at = f", {one.concurrency} at once" if one.concurrency > 1 else ", one by one"
        if other := before.get(one.concurrency):
            rows.append(("Original", float(other.tokens_per_second), f"{other.tokens_per_second} tok/s{at}"))
        name = "Candidate" if original else "Original"
        rows.append((name, float(one.tokens_per_second), f"{one.tokens_per_second} tok/s{at}"))
    return plots.bars(rows)
