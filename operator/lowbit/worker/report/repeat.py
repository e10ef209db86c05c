"""What is needed to repeat a measurement, and what limits its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowbit.api.documents import EvaluateDocument, QuantizeResult
from lowbit.api.engines import resolved_engine
from lowbit.api.evaluation import ResolvedSuite, suite_of
from lowbit.report.model import Fact, ModuleRow
from lowbit.worker.evaluate.stored import StoredResult

NAMED = 30
"""Rounded modules that are named."""


def repeat(
    document: EvaluateDocument, result: StoredResult, baseline: StoredResult | None, quantize: QuantizeResult | None
) -> list[Fact]:
    """Models, data, protocol, engine and versions."""
    facts = [Fact(name="Model", value=document.model.digest, detail=document.model.kind)]
    if baseline:
        facts.append(Fact(name="Original", value=document.source))
    if document.reported:
        _, settings = document.reported.recipe.member()
        facts.append(Fact(name="Recipe", value=document.reported.recipe.member()[0], detail=_settings(settings.wire())))
    facts += [suite_fact(suite) for suite in result.protocol.suites]
    facts.append(Fact(name="Protocol", value=result.protocol_key, detail="hash of suites, tokenizer and speed"))
    facts.append(Fact(name="Tokenizer", value=result.protocol.tokenizer, detail="with chat template, of the original"))
    facts += engine_facts(result)
    if quantize and quantize.versions:
        facts.append(Fact(name="Quantized by", value=_versions(quantize.versions), detail=quantize.device))
    facts.append(Fact(name="Versions", value=_versions(result.versions)))
    if document.artifact_hash and document.reported:
        facts.append(Fact(name="Artifact hash", value=document.artifact_hash, detail="of source, recipe, calibration"))
    return facts


def suite_fact(suite: ResolvedSuite) -> Fact:
    """Settings of a suite, in the words of the manifest."""
    kind, settings = suite_of(suite)
    detail = f"{kind.name}, version {suite.version}: {_settings(settings.wire())}"
    return Fact(name=f"Suite {suite.name}", value=kind.name, detail=detail)


def engine_facts(result: StoredResult) -> list[Fact]:
    """The engine that measured, in full."""
    kind, settings = resolved_engine(result.engine)
    limit = f", up to {result.max_model_len} tokens" if result.max_model_len else ""
    facts = [
        Fact(name="Engine", value=settings.image, detail=f"{kind.name}, {settings.device}{limit}"),
        Fact(name="Arguments", value=" ".join(kind.arguments("MODEL", settings))),
    ]
    if settings.env:
        variables = " ".join(f"{each.name}={each.value}" for each in settings.env)
        facts.append(Fact(name="Environment", value=variables))
    named = ", ".join(result.summary.kernels)
    words = "of quantized layers, as the engine's log names them"
    unnamed = "the engine's log names none for quantized layers"
    return [*facts, Fact(name="Kernels", value=named or unnamed, detail=words if named else "")]


def engine_gpus(result: StoredResult) -> int:
    """GPUs of the engine that measured."""
    _, settings = resolved_engine(result.engine)
    return int(getattr(settings, "tensor_parallel_size", 1)) if settings.device == "GPU" else 0


def notes(
    document: EvaluateDocument, result: StoredResult, baseline: StoredResult | None, modules: Sequence[ModuleRow]
) -> list[str]:
    """What a reader has to know beside the numbers."""
    found = []
    if baseline and baseline.versions.get("engine") != result.versions.get("engine"):
        found.append(f"The original was measured by version {baseline.versions.get('engine')} of the engine.")
    if baseline and baseline.engine != result.engine:
        found.append("The original was measured in an engine with other settings.")
    if document.left_behind:
        names = ", ".join(document.left_behind)
        found.append(f"Beside the original, and not used: {names} (other formats, code, or a second set of weights).")
    found += [
        f"Calibration {name} is without {count} lines that are, or nearly are, evaluated on."
        for name, count in sorted(document.removed.items())
    ]
    rounded = [row.name for row in modules if row.rounded]
    if rounded:
        more = " and more" if len(rounded) > NAMED else ""
        found.append(
            f"{len(rounded)} modules of experts were rounded to nearest, because hardly a token of the calibration "
            f"reached them: {', '.join(rounded[:NAMED])}{more}."
        )
    return found + decoding_notes(result)


def decoding_notes(result: StoredResult) -> list[str]:
    """What a few generated answers show: reading a prompt and generating run different kernels."""
    seen = result.decoding
    if seen is None:
        return []
    words = []
    if seen.prefill_difference is not None:
        words.append(f"their logprobs, read again by the same model, differ by {seen.prefill_difference:.3g} nats")
    if seen.same_tokens is not None:
        words.append(f"{seen.same_tokens:.3f} of their tokens are the original's")
    if seen.same_prefix is not None:
        words.append(f"answers part after {seen.same_prefix:.1f} tokens on average")
    said = f"{seen.prompts} greedy answers ({seen.tokens} tokens) were looked at as well: {', '.join(words)}."
    return [said] if words else []


def _settings(wire: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in wire.items())


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
