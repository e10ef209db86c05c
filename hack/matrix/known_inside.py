"""Runs in an image: the model types or classes that its library knows, read in the library itself.

    python -m hack.matrix.known_inside quantizer|engine

Prints one line of JSON: {"version": ..., "names": [...]}.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata

from hack.matrix.each import MARK


def quantizer() -> dict[str, object]:
    """gptqmodel: model types."""
    from gptqmodel.models.auto import MODEL_MAP

    return {"version": metadata.version("gptqmodel"), "names": sorted(MODEL_MAP)}


def engine() -> dict[str, object]:
    """vLLM: classes that generate text."""
    from vllm import __version__
    from vllm.model_executor.models import registry

    names = {*registry._TEXT_GENERATION_MODELS, *registry._MULTIMODAL_MODELS}
    return {"version": __version__.partition("+")[0], "names": sorted(names)}


if __name__ == "__main__":
    found = {"quantizer": quantizer, "engine": engine}[sys.argv[1]]()
    print(MARK + json.dumps(found))
