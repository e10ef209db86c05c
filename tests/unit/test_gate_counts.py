"""A gate that nothing can pass, for want of texts, is told before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.cli.plan import plan
from tests.unit.world import spec


def model(samples: int, candidates: int, confidence: str = "0.95") -> QuantizedModelSpec:
    changed: dict[str, Any] = spec()
    (suite,) = changed["evaluation"]["suites"]
    suite["fidelity"]["samples"], suite["gate"]["confidence"] = samples, confidence
    changed["candidates"] = [
        {"gptq": {"bits": bits, "groupSize": group}} for bits in (4, 8) for group in (32, 64, 128, -1)
    ][:candidates]
    return QuantizedModelSpec.model_validate(changed)


@pytest.mark.parametrize(
    ("candidates", "confidence", "needed"), [(1, "0.95", 149), (2, "0.95", 183), (3, "0.95", 203), (1, "0.8", 80)]
)
def test_plan_refuses_fewer_samples_than_the_gate_needs_and_says_the_number(
    candidates: int, confidence: str, needed: int
) -> None:
    assert not plan("chat", model(needed, candidates, confidence), Platform(), None).problems
    if needed > 80:
        (problem,) = plan("chat", model(needed - 1, candidates, confidence), Platform(), None).problems
        assert problem.reason == "TooFewSamples"
        assert problem.field == "spec.evaluation.suites[fidelity].fidelity.samples"
        assert problem.action == f"write at least {needed}"


def test_the_default_is_enough_for_eight_candidates() -> None:
    body = model(256, 8)
    (suite,) = body.evaluation.suites
    assert type(suite.member()[1]).model_fields["samples"].default == 256
    assert not plan("chat", body, Platform(), None).problems
