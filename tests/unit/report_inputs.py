"""Reports of a candidate that failed, with everything in them that a report can show."""

from __future__ import annotations

import random
from typing import Any

from lowbit.api.evaluation import MaximumThreshold, NonInferiorityThreshold, ResolvedGate
from lowbit.api.status import GateCheck, VerdictRecord
from lowbit.report.assess import assessed
from lowbit.report.model import (
    CalibrationFacts,
    CalibrationSource,
    ClassRow,
    Confusion,
    Fact,
    Judgement,
    MeasuredRow,
    ModuleRow,
    RecipeFacts,
    Report,
    SampleCount,
    SampleRow,
    Section,
    Sizes,
    SpeedRow,
    Spent,
    Subject,
)

WORST = (17, 6)
EVIL = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>"
KINDS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
         "mlp.up_proj", "mlp.down_proj")  # fmt: skip
GATES = [
    ResolvedGate(
        suite="fidelity", maximum=[MaximumThreshold(metric="KLDivergence", value="0.05")], minimum=[],
        confidence="0.95",
    ),
    ResolvedGate(
        suite="fraud", maximum=[], minimum=[],
        non_inferiority=[NonInferiorityThreshold(metric="Specificity", margin="0.02", per_class=True)],
        confidence="0.95",
    ),
]  # fmt: skip


def check(verdict: str = "Passed", **changes: Any) -> GateCheck:
    """A threshold on the divergence, unless something else is said."""
    told = {"suite": "fidelity", "metric": "KLDivergence", "bound": "Maximum", "threshold": "0.05", "value": "0.0312",
            "lower": "0.0287", "upper": "0.0341", "count": 256, "verdict": verdict}  # fmt: skip
    return GateCheck.model_validate(told | changes)


FAILED = check(
    "Failed", suite="fraud", metric="Specificity", slice="fraud", bound="NonInferiority", threshold="0.02",
    value="0.047", lower="0.031", upper="0.064", count=928,
    message="Specificity of class fraud is 0.047 lower (95 % lower bound 0.031), more than the margin of 0.02",
)  # fmt: skip


def record(verdict: str = "Failed", *checks: GateCheck, message: str = str(FAILED.message)) -> VerdictRecord:
    """A verdict of the gate."""
    return VerdictRecord.model_validate(
        {"verdict": verdict, "basis": "NonInferiority", "message": message, "confidence": "0.975", "attempts": 2,
         "checks": list(checks) or [check(), FAILED], "time": "2026-11-27T12:00:00Z"}
    )  # fmt: skip


def row(metric: str, value: float, **changes: Any) -> MeasuredRow:
    """One measured number, with bounds around it."""
    told = {"suite": "fidelity", "metric": metric, "title": metric, "meaning": f"what {metric} is", "value": value,
            "lower": value * 0.95, "upper": value * 1.05, "count": 256, "unit": "text", "gated": True,
            "better": "Lower"}  # fmt: skip
    return MeasuredRow.model_validate(told | changes)


def modules(layers: int = 24) -> list[ModuleRow]:
    """A quantizer's log."""
    chance = random.Random(3)
    return [
        ModuleRow(
            name=f"layers.{layer}.{kind}", layer=layer, kind=kind, samples=51200, damp=0.01,
            loss=1e-5 * (1 + layer) ** 1.5 * (1 + place) * chance.uniform(1, 2) * (9 if (layer, place) == WORST else 1),
            seconds=round(chance.uniform(0.4, 0.9) * (3 if place == 6 else 1), 3),
        )
        for layer in range(layers)
        for place, kind in enumerate(KINDS)
    ]  # fmt: skip


def samples() -> list[SampleRow]:
    """Some that flipped, one that is evil, and a few long ones."""
    evil = SampleRow(
        suite="fraud", id=EVIL, prompt=EVIL, original=EVIL, candidate=f"no {EVIL}", expected=EVIL, slice=EVIL,
        note=EVIL, score=1.0, flipped=True,
    )  # fmt: skip
    flips = [
        SampleRow(
            suite="fraud", id=f"line-{number}", slice="fraud", score=1.0, flipped=True, note="false positive",
            prompt=f"Order {number}: 3 gift cards, new account, paid from abroad. Is this fraud?",
            original='{"is_fraud": false}', candidate='{"is_fraud": true}', expected='{"is_fraud": false}',
        )
        for number in range(12)
    ]  # fmt: skip
    worse = [
        SampleRow(
            suite="answers", id=f"question-{number}", score=0.4 - number / 50, note="similarity 0.61",
            prompt="Explain why the sky is blue.",
            original="The sky is blue because air scatters short waves of sunlight more than long ones. " * 3,
            candidate="The sky is blue because air scatters light. It is blue. It is blue. It is blue. " * 3,
        )
        for number in range(6)
    ]  # fmt: skip
    return [*flips[:2], evil, *flips[2:], *worse]


def report(verdict: VerdictRecord | None = None, **changes: Any) -> Report:
    """A candidate with four bits that lost specificity."""
    whole = Report(
        subject=Subject(
            evaluation="eval-0a1b2c3d4e", baseline="baseline-99aabbccdd", quantized_model="fraud-screen", candidate=0,
            candidates=2, model="sha256:" + "a" * 64, original="sha256:" + "b" * 64, measured="2026-11-27T12:00:00Z",
            recipe=RecipeFacts(label="gptq-int4-g128", settings={"bits": "4"}, bits=4, group_size=128),
        ),
        judgement=Judgement(by="Worker", record=verdict or record(), gates=GATES),
        measurements=[
            row("KLDivergence", 0.0312, title="KL divergence"),
            row("Top1Agreement", 0.921, title="Top-1 agreement", better="Higher"),
            row("PerplexityRatio", 1.021, title="Perplexity ratio"),
            row("Perplexity", 14.61, lower=None, upper=None, standard_error=0.108, original=14.31, gated=False),
            row("CoveredMass", 0.93, lower=None, upper=None, standard_error=0.002, gated=False, better="Higher"),
            row("Accuracy", 0.944, suite="fraud", unit="question", count=1856, better="Higher", original=0.951),
            row("SpecificityLoss", 0.047, suite="fraud", slice="fraud", slice_kind="Class", unit="question", count=928,
                title="Loss of specificity"),
            row("RecallLoss", -0.0947, suite="fraud", slice="fraud", slice_kind="Class", unit="question", count=928,
                title="Loss of recall", lower=-0.11, upper=-0.08),
        ],
        classes=[
            ClassRow(
                suite="fraud", name="fraud",
                original=Confusion(true_positive=801, false_positive=24, false_negative=127, true_negative=904),
                candidate=Confusion(true_positive=889, false_positive=68, false_negative=39, true_negative=860),
            )
        ],
        samples=samples(),
        sample_counts=[
            SampleCount(suite="fraud", all=1856, flipped=13, shown=13),
            SampleCount(suite="answers", all=64, flipped=0, shown=6),
        ],
        sections=[
            Section(title="Texts that differ most · fidelity", text="Counted from 0.", header=["Text", "KL divergence"],
                    rows=[["17", "0.31"], ["3", "0.22"]])
        ],
        modules=modules(),
        sizes=Sizes(source_bytes=15_231_233_024, artifact_bytes=5_582_340_096, ratio=2.728),
        speed=[
            SpeedRow(concurrency=1, tokens_per_second=98.2, first_token_seconds=0.031,
                     original_tokens_per_second=41.7, original_first_token_seconds=0.044),
            SpeedRow(concurrency=32, tokens_per_second=1410.0, first_token_seconds=0.211,
                     original_tokens_per_second=1002.5, original_first_token_seconds=0.262),
        ],
        decode_difference=0.012,
        spent=[
            Spent(what="Quantize", seconds=1740, gpus=1, device="NVIDIA H100 80GB HBM3", peak_bytes=19_900_000_000),
            Spent(what="Evaluate the original", seconds=612, gpus=1),
            Spent(what="Evaluate the candidate", seconds=455, gpus=1),
        ],
        calibration=CalibrationFacts(
            samples=512, max_tokens=2048, seed=42,
            sources=[
                CalibrationSource(name="fraud-rl", digest="sha256:" + "c" * 64, share=0.6, removed=3),
                CalibrationSource(name="fraud-sft", digest="sha256:" + "d" * 64, share=0.4),
            ],
        ),
        repeat=[
            Fact(name="Model", value="sha256:" + "a" * 64, detail="Artifact"),
            Fact(name="Engine", value="vllm/vllm-openai@sha256:" + "e" * 64, detail="vllm, GPU, up to 8192 tokens"),
            Fact(name="Arguments", value="--model MODEL --quantization gptq_marlin --max-model-len 8192"),
        ],
        methods=["Both models read the same held-out texts."],
        notes=["Calibration fraud-rl is without 3 lines that are, or nearly are, evaluated on."],
    )  # fmt: skip
    return assessed(whole.model_copy(update=changes))
