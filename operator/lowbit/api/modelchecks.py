"""What needs the model's config: checked by prepare before a GPU is asked for, and by ``lowbit plan`` with a config."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.modelrevision import ModelFacts
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipe import GPTQ, LEGAL_GROUP_SIZES


@dataclass(frozen=True)
class Problem:
    """Something that cannot work, and what to write instead."""

    field: str
    """Path in the manifest: spec.engine.vllm.tensorParallelSize."""
    reason: str
    """One word in CamelCase."""
    message: str
    action: str


class Refused(Exception):  # noqa: N818 - it is a verdict on the input, not an error of the program
    """The model and the manifest do not fit; carries every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def grouped_widths(facts: ModelFacts, tensor_parallel_size: int) -> dict[str, int]:
    """Input channels per rank of each kind of layer: column-parallel layers keep all, row-parallel ones are split."""
    return {
        "hidden size": facts.hidden_size,
        "attention output rows per rank": facts.attention_heads * facts.head_dim // tensor_parallel_size,
        "MLP down-projection rows per rank": facts.intermediate_size // tensor_parallel_size,
    }


def legal_group_sizes(facts: ModelFacts, tensor_parallel_size: int) -> list[int]:
    """Group sizes of 128, 64, 32 that divide every layer's rows on each rank, the largest first."""
    widths = grouped_widths(facts, tensor_parallel_size).values()
    return [size for size in LEGAL_GROUP_SIZES if all(width % size == 0 for width in widths)]


def resolve_group_size(recipe: GPTQ, facts: ModelFacts, tensor_parallel_size: int) -> int | None:
    """The group size to quantize with, or None where none is legal. desc_act leaves only -1."""
    if recipe.desc_act:
        return -1
    legal = legal_group_sizes(facts, tensor_parallel_size)
    if recipe.group_size == "Auto":
        return legal[0] if legal else -1
    return recipe.group_size if recipe.group_size == -1 or recipe.group_size in legal else None


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


def check_group_sizes(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """Each rank's rows of every row-parallel layer must be divisible by the group size."""
    size = spec.engine.vllm.tensor_parallel_size
    problems = []
    for index, candidate in enumerate(spec.candidates):
        if candidate.gptq is None or resolve_group_size(candidate.gptq, facts, size) is not None:
            continue
        legal = legal_group_sizes(facts, size)
        widths = ", ".join(f"{name} {width}" for name, width in grouped_widths(facts, size).items())
        problems.append(
            Problem(
                f"spec.candidates[{index}].gptq.groupSize", "GroupNotDivisible",
                f"{candidate.gptq.group_size} does not divide every layer at tensor parallel size {size} ({widths})",
                f"use {' or '.join(map(str, legal)) or '-1'}, or Auto",
            )
        )  # fmt: skip
    return problems


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
    return tensor_parallel + ([] if tensor_parallel else check_group_sizes(spec, facts)) + check_lengths(spec, facts)
