"""What needs the model's config: checked by prepare before a GPU is asked for, and by ``lowbit plan`` with a config."""

from __future__ import annotations

from dataclasses import replace

from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Problem
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import recipe_of
from lowbit.api.recipes.base import Fitting


def check_tensor_parallel(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """vLLM splits attention heads over the ranks; key-value heads are split or replicated evenly."""
    size = spec.engine.vllm.tensor_parallel_size
    field = "spec.engine.vllm.tensorParallelSize"
    divisors = [n for n in range(1, facts.attention_heads + 1) if facts.attention_heads % n == 0]
    if facts.attention_heads % size:
        return [
            Problem(field, "HeadsNotDivisible",
                    f"{size} does not divide the model's {facts.attention_heads} attention heads",
                    f"use one of {', '.join(map(str, divisors))}"),
        ]  # fmt: skip
    if facts.key_value_heads % size and size % facts.key_value_heads:
        return [
            Problem(field, "KeyValueHeadsNotDivisible",
                    f"{size} neither divides nor is a multiple of the model's {facts.key_value_heads} key-value heads",
                    f"use a divisor or a multiple of {facts.key_value_heads}"),
        ]  # fmt: skip
    if facts.intermediate_size % size:
        return [
            Problem(field, "LayerNotDivisible", f"{size} does not divide the MLP's {facts.intermediate_size} channels",
                    "use a size that divides it"),
        ]  # fmt: skip
    return []


def check_candidates(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """What each candidate's recipe has to say of model and engine."""
    fitting = fitting_of(spec, facts)
    found: list[Problem] = []
    for index, candidate in enumerate(spec.candidates):
        kind, member = recipe_of(candidate)
        place = f"spec.candidates[{index}].{kind.name}"
        found += [replace(problem, field=f"{place}.{problem.field}") for problem in kind.problems(member, fitting)]
    return found


def fitting_of(spec: QuantizedModelSpec, facts: ModelFacts) -> Fitting:
    """What recipes are resolved and checked against."""
    return Fitting(facts, spec.engine.vllm.tensor_parallel_size)


def check_lengths(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """No sample may be longer than the model or the engine can read."""
    engine_limit = spec.engine.vllm.max_model_len
    problems = []
    if engine_limit and engine_limit > facts.max_position_embeddings:
        problems.append(
            Problem(
                "spec.engine.vllm.maxModelLen", "TooLong",
                f"{engine_limit} is more than the model's {facts.max_position_embeddings} positions",
                f"use at most {facts.max_position_embeddings}",
            )
        )  # fmt: skip
    limit = min(engine_limit or facts.max_position_embeddings, facts.max_position_embeddings)
    for suite in spec.evaluation.suites:
        if suite.fidelity.max_tokens >= limit:
            problems.append(
                Problem(
                    f"spec.evaluation.suites[{suite.name}].fidelity.maxTokens", "TooLong",
                    f"{suite.fidelity.max_tokens} leaves no room for an answer in the engine's {limit} tokens",
                    f"use at most {limit - 1}, or raise spec.engine.vllm.maxModelLen",
                )
            )  # fmt: skip
    return problems


def check_model(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Every problem between the manifest and the model."""
    tensor_parallel = check_tensor_parallel(spec, facts)
    return tensor_parallel + ([] if tensor_parallel else check_candidates(spec, facts)) + check_lengths(spec, facts)
