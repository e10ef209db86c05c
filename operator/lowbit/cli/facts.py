"""Model facts from config.json alone: those that prepare reads, with the number of weights computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Refused
from lowbit.architecture.facts import config_facts


class UnreadableConfigError(Exception):
    """The config is missing, or is not that of a decoder-only language model."""


def read_facts(path: Path) -> ModelFacts:
    """Facts from a config.json or the folder that holds one. Raises UnreadableConfigError."""
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text())
    except OSError as error:
        raise UnreadableConfigError(
            f"{file} cannot be read ({error.strerror}): give the model's config.json"
        ) from error
    except ValueError as error:
        raise UnreadableConfigError(f"{file} is no JSON: give the model's config.json") from error
    if not isinstance(config, dict):
        raise UnreadableConfigError(f"{file} is no JSON object: give the model's config.json")
    return facts_of(config, str(file))


def facts_of(content: Mapping[str, Any], what: str = "config.json") -> ModelFacts:
    """The facts in a parsed config; the tokenizer is not read. Raises UnreadableConfigError."""
    try:
        return config_facts(content, what)
    except Refused as refused:
        raise UnreadableConfigError(f"{refused.problems[0].message}: {refused.problems[0].action}") from refused
