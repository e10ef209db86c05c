"""Whether an artifact that was made elsewhere belongs to the source, and whether the engine loads it."""

from __future__ import annotations

from typing import Any

from lowbit.api.engine import VLLM
from lowbit.api.modelchecks import grouped_widths
from lowbit.api.modelrevision import ModelFacts
from lowbit.worker.refuse import RefusalError

SAME = ("architecture", "model_type", "hidden_size", "intermediate_size", "layers", "attention_heads",
        "key_value_heads", "head_dim", "vocab_size")  # fmt: skip
BITS = (4, 8)
GROUPS = (-1, 32, 64, 128)


def check_artifact(config: dict[str, Any], own: ModelFacts, source: ModelFacts, engine: VLLM, what: str) -> None:
    """Refuse what is not the source's shape, and GPTQ settings that vLLM cannot load. config is the artifact's."""
    different = [name for name in SAME if getattr(own, name) != getattr(source, name)]
    if different:
        name = different[0]
        raise RefusalError(
            "OtherModel",
            f"{what} is not made from the source: {name} is {getattr(own, name)}, and the source's is {getattr(source, name)}",
            "give the artifact of this source, or the source of this artifact",
        )
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict) and quantization.get("quant_method") == "gptq":
        _check_gptq(quantization, source, engine, what)


def _check_gptq(quantization: dict[str, Any], source: ModelFacts, engine: VLLM, what: str) -> None:
    bits, group = quantization.get("bits"), quantization.get("group_size")
    problems = []
    if bits not in BITS:
        problems.append(f"{bits} bits")
    if not quantization.get("sym", True):
        problems.append("sym false")
    if group not in GROUPS:
        problems.append(f"group_size {group}")
    elif quantization.get("desc_act") and group != -1:
        problems.append(f"desc_act with group_size {group}")
    elif group != -1:
        widths = grouped_widths(source, engine.tensor_parallel_size)
        problems += [f"group_size {group}, which does not divide the {name}, {width}" for name, width in widths.items()
                     if width % group]  # fmt: skip
    if problems:
        raise RefusalError(
            "EngineCannotLoad",
            f"{what} was quantized in a way that vLLM does not load: {'; '.join(problems)}",
            "quantize with 4 or 8 bits, sym, a group size of -1, 32, 64 or 128 that divides every layer, "
            "and desc_act only with group size -1",
        )
