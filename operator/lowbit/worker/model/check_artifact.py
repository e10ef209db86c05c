"""Whether an artifact that was made elsewhere belongs to the source, and whether the engine loads it."""

from __future__ import annotations

from typing import Any

from lowbit.api.facts import ModelFacts
from lowbit.api.recipes import RECIPES
from lowbit.api.recipes.base import Fitting
from lowbit.worker.refuse import RefusalError

SAME = ("architecture", "model_type", "hidden_size", "intermediate_size", "layers", "attention_heads",
        "key_value_heads", "head_dim", "vocab_size")  # fmt: skip


def check_artifact(config: dict[str, Any], own: ModelFacts, fitting: Fitting, what: str) -> None:
    """Refuse an artifact of another shape than the source, or that the engine would not load. config: its own."""
    source = fitting.facts
    different = [name for name in SAME if getattr(own, name) != getattr(source, name)]
    if different:
        name = different[0]
        raise RefusalError(
            "OtherModel",
            f"{what} is not made from the source: {name} is {getattr(own, name)}, "
            f"and the source's is {getattr(source, name)}",
            "give the artifact of this source, or the source of this artifact",
        )
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    covered = own.coverage
    if isinstance(settings, dict) and covered is not None and covered.linear and not covered.quantized:
        raise RefusalError(
            "BadArtifact",
            f"{what} says that it is quantized ({method or 'by no known method'}), and 0 of its {covered.linear} "
            "linear layers are",
            "quantize it again, or take quantization_config out of its config.json to have it judged as it is",
        )
    for kind in RECIPES:
        if isinstance(settings, dict) and method in kind.quant_methods:
            problems = kind.not_loaded(settings, fitting)
            if problems:
                raise RefusalError(
                    "EngineCannotLoad",
                    f"{what} was quantized in a way that the engine does not load: {'; '.join(problems)}",
                    f"quantize with {kind.loadable}",
                )
