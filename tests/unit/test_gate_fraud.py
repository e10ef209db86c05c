"""The table of a public tutorial on fraud: what would the gate have said, class by class, and with which margin?

The table has counts for each model, and no pairs. So every number of changed answers that fits the counts is tried:
where all of them give the same verdict, the table alone decides.
"""

from __future__ import annotations

import pytest

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement, PairedCounts
from lowbit.gate import judge

CLASSES = {
    # Answers that are right, of all of the class: with the original, int8 and int4.
    "fraud": (1020 + 162, {"bf16": 1020, "int8": 1024, "int4": 1132}),
    "fine": (1136 + 31, {"bf16": 1136, "int8": 1134, "int4": 1081}),
}


def verdicts(name: str, model: str, margin: str) -> set[str]:
    """Of every number of lost and gained answers that fits the table."""
    count, right = CLASSES[name]
    net = right["bf16"] - right[model]
    found: set[str] = set()
    for gained in range(max(0, -net), count - right["bf16"] + 1):
        lost = gained + net
        if lost > right["bf16"]:
            continue
        pairs = PairedCounts(
            both=right["bf16"] - lost, original_only=lost, candidate_only=gained,
            neither=count - right["bf16"] - gained,
        )  # fmt: skip
        row = Measurement(suite="fraud", metric="RecallLoss", slice=name, slice_kind="Class", count=count, pairs=pairs)
        gate = {"suite": "fraud", "maximum": [], "minimum": [], "confidence": "0.95",
                "nonInferiority": [{"metric": "Recall", "margin": margin, "perClass": True}]}  # fmt: skip
        summary = EvaluationSummary(measurements=[row], speed=[])
        found.add(judge([ResolvedGate.model_validate(gate)], summary, 1, 1, "2026-01-01T00:00:00Z").verdict)
    return found


@pytest.mark.parametrize(
    ("name", "model", "margin", "expected"),
    [
        ("fraud", "int8", "0.02", {"Passed", "Inconclusive"}),
        ("fraud", "int8", "0.03", {"Passed"}),
        ("fine", "int8", "0.02", {"Passed"}),
        ("fraud", "int4", "0.01", {"Passed"}),
        ("fine", "int4", "0.02", {"Failed"}),
        ("fine", "int4", "0.03", {"Failed"}),
        ("fine", "int4", "0.05", {"Inconclusive"}),
    ],
)
def test_what_the_gate_would_have_said(name: str, model: str, margin: str, expected: set[str]) -> None:
    assert verdicts(name, model, margin) == expected


def test_accuracy_alone_would_have_passed_what_loses_five_fine_customers_of_a_hundred() -> None:
    """2,156 of 2,349 right against 2,213: the average gains 2.4 points."""
    pairs = PairedCounts(both=2156 - 55, original_only=55, candidate_only=112, neither=2349 - 2156 - 112)
    row = Measurement(suite="fraud", metric="AccuracyLoss", count=2349, pairs=pairs)
    gate = ResolvedGate.model_validate(
        {"suite": "fraud", "maximum": [], "minimum": [], "confidence": "0.95",
         "nonInferiority": [{"metric": "Accuracy", "margin": "0.01"}]}
    )  # fmt: skip
    found = judge([gate], EvaluationSummary(measurements=[row], speed=[]), 1, 1, "2026-01-01T00:00:00Z")
    assert found.verdict == "Passed"
