"""What needs the model's config."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lowbit.api.facts import ModelFacts
from lowbit.api.recipes import groups
from lowbit.api.recipes.base import Fitting
from lowbit.api.recipes.gptq import GPTQ, GPTQKind
from lowbit.cli.facts import facts_of
from lowbit.resolve import checks as modelchecks
from tests.unit.api_inputs import QWEN_7B, SMOLLM2, changed_spec

SIZES = st.sampled_from([1, 2, 3, 4, 6, 8, 16])


@st.composite
def models(draw: st.DrawFn) -> ModelFacts:
    """Any decoder with whole heads."""
    key_value = draw(st.integers(1, 16))
    config = SMOLLM2 | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "num_attention_heads": key_value * draw(st.integers(1, 8)),
        "num_key_value_heads": key_value,
        "head_dim": draw(st.sampled_from([32, 64, 80, 96, 128])),
        "hidden_size": draw(st.integers(1, 64)) * 32,
        "intermediate_size": draw(st.integers(1, 256)) * 16,
    }
    return facts_of(config)


def test_group_128_does_not_divide_smollm2_and_auto_takes_64() -> None:
    fitting = Fitting(facts_of(SMOLLM2), 1)
    assert groups.legal(fitting) == [64, 32]
    assert groups.resolve("Auto", fitting) == 64
    assert groups.resolve(128, fitting) is None


def test_the_message_names_what_to_write_instead() -> None:
    spec = changed_spec(candidates=[{"gptq": {"groupSize": 128}}], engine={"vllm": {}})
    (problem,) = modelchecks.check_model(spec, facts_of(SMOLLM2))
    assert problem.field == "spec.candidates[0].gptq.groupSize"
    assert problem.action == "use 64 or 32, or Auto"


@pytest.mark.parametrize(
    ("config", "size", "reason"),
    [(SMOLLM2, 2, "HeadsNotDivisible"), (SMOLLM2, 9, None), (QWEN_7B, 4, None), (QWEN_7B, 3, "HeadsNotDivisible"),
     (QWEN_7B, 7, "KeyValueHeadsNotDivisible")],
)  # fmt: skip
def test_a_tensor_parallel_size_that_the_heads_do_not_allow_is_refused(
    config: dict[str, Any], size: int, reason: str | None
) -> None:
    spec = changed_spec(engine={"vllm": {"tensorParallelSize": size}})
    found = modelchecks.check_engine(spec, facts_of(config))
    assert [problem.reason for problem in found] in ([], ["LayerNotDivisible"]) if reason is None else [reason]
    assert not reason or found[0].reason == reason


@given(models(), SIZES)
def test_auto_is_always_legal(facts: ModelFacts, size: int) -> None:
    assume(facts.attention_heads % size == 0 and facts.intermediate_size % size == 0)
    fitting = Fitting(facts, size)
    group = groups.resolve("Auto", fitting)
    if group is None:
        (problem,) = groups.problems("Auto", fitting)
        assert "use -1" in problem.action, "whole rows are another quality, which a person has to choose"
    else:
        assert group > 0
        assert all(width % group == 0 for width in groups.widths(fitting).values())


@given(models(), SIZES, st.sampled_from([-1, 32, 64, 128]))
def test_what_is_asked_for_is_taken_or_refused_and_never_changed(
    facts: ModelFacts, size: int, group: groups.ResolvedGroupSize
) -> None:
    assert groups.resolve(group, Fitting(facts, size)) in (group, None)


@given(models(), SIZES)
def test_more_ranks_never_allow_more_group_sizes(facts: ModelFacts, size: int) -> None:
    assume(facts.attention_heads % size == 0 and facts.intermediate_size % size == 0)
    assert set(groups.legal(Fitting(facts, size))) <= set(groups.legal(Fitting(facts, 1)))


@given(models())
def test_one_device_is_never_refused(facts: ModelFacts) -> None:
    assert modelchecks.check_engine(changed_spec(engine={"vllm": {}}), facts) == []


def test_texts_leave_room_for_an_answer() -> None:
    spec = changed_spec(engine={"vllm": {"maxModelLen": 256}})
    fields = {problem.field for problem in modelchecks.check_lengths(spec, facts_of(SMOLLM2))}
    assert "spec.evaluation.suites[fidelity].fidelity.maxTokens" in fields


@pytest.mark.parametrize(("bits", "measured"), [(4, 114.6e6), (8, 168.5e6)])
def test_the_estimated_size_is_near_the_measured_one(bits: int, measured: float) -> None:
    estimated = GPTQKind().artifact_bytes(GPTQ.model_validate({"bits": bits}), Fitting(facts_of(SMOLLM2), 1))
    assert estimated == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(("config", "parameters"), [(SMOLLM2, 134.5e6), (QWEN_7B, 7.61e9)])
def test_the_number_of_weights_follows_from_the_config(config: dict[str, Any], parameters: float) -> None:
    assert facts_of(config).parameters == pytest.approx(parameters, rel=0.01)
