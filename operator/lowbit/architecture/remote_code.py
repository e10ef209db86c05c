"""Whether a model's files would have a library load code from the model's repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lowbit.architecture import library

CONFIG_FILES: Final = ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Files beside config.json that may name code of the repository's own (auto_map)."""


def needs_code(name: str, content: Mapping[str, Any], model_type: str) -> bool:
    """Whether one of CONFIG_FILES has an auto_map without which transformers has no class for the model.

    model_type: of the whole model. transformers takes its own class where it has one and remote code is not trusted.
    """
    if "auto_map" not in content:
        return False

    if name == "tokenizer_config.json":
        return not library.has_tokenizer(model_type, str(content.get("tokenizer_class") or ""))
    return model_type not in library.with_processor()
