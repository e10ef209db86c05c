"""What transformers knows, by name. Only this file imports it, which takes seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def version() -> str:
    """transformers' version."""
    _quiet()
    from transformers import __version__

    return str(__version__)


def configurations() -> Mapping[str, Any]:
    """Configuration classes by model type."""
    _quiet()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    found: Mapping[str, Any] = CONFIG_MAPPING
    return found


def generating_by_type() -> Mapping[str, str]:
    """Classes of models that generate text from text, some of them from images as well, by model type."""
    _quiet()
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    return {**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}


def generating() -> frozenset[str]:
    """Their names."""
    _quiet()
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return frozenset(generating_by_type().values()) | frozenset(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values())


def has_tokenizer(model_type: str, class_name: str) -> bool:
    """Whether there is a tokenizer for the model type, or one of that name (with or without Fast)."""
    _quiet()
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    name = class_name.removesuffix("Fast")
    by_name = bool(name) and any(tokenizer_class_from_name(each) is not None for each in (name, f"{name}Fast"))
    return by_name or model_type in TOKENIZER_MAPPING_NAMES


def with_processor() -> frozenset[str]:
    """Model types that have a processor of transformers' own."""
    _quiet()
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    return frozenset(PROCESSOR_MAPPING_NAMES) | frozenset(IMAGE_PROCESSOR_MAPPING_NAMES)


def _quiet() -> None:
    """Keep the library from advising people to install torch, which nothing here needs."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
