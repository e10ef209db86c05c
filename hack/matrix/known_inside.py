"""Runs in an image: the model types or classes that its library knows, read in the library itself.

    python -m hack.matrix.known_inside quantizer|engine

Prints one line of JSON: {"version": ..., "names": [...]}.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

from hack.matrix.each import MARK


def quantizer() -> dict[str, object]:
    """gptqmodel: model types."""
    from gptqmodel.models.auto import MODEL_MAP

    return {"version": metadata.version("gptqmodel"), "names": sorted(MODEL_MAP)}


def engine() -> dict[str, object]:
    """vLLM: classes of its own that generate text, and those of transformers that it runs as they are."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )
    from vllm import __version__
    from vllm.model_executor.models import registry

    names = {*registry._TEXT_GENERATION_MODELS, *registry._MULTIMODAL_MODELS}
    generating = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values(), *MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()}
    through = {each for each in generating if each not in names and runs_as_it_is(each, registry)}
    return {"version": __version__.partition("+")[0], "names": sorted(names), "through": sorted(through)}


def runs_as_it_is(name: str, registry: Any) -> bool:
    """As vLLM's registry decides it (_try_resolve_transformers)."""
    import transformers

    try:
        kind = getattr(transformers, name)
        fits = kind.is_backend_compatible() or kind._can_set_attn_implementation()
    except (AttributeError, ImportError):
        return False
    return bool(fits) and name not in registry._PREVIOUSLY_SUPPORTED_MODELS


if __name__ == "__main__":
    found = {"quantizer": quantizer, "engine": engine}[sys.argv[1]]()
    print(MARK + json.dumps(found))
