"""Reads JSON files of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lowbit.worker.refuse import RefusalError


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file of the model. Raises RefusalError if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise RefusalError("BadConfig", f"{what}: {path.name} is not JSON: {error}", f"repair {path.name}") from error
    if not isinstance(value, dict):
        raise RefusalError("BadConfig", f"{what}: {path.name} is not a JSON object", f"repair {path.name}")
    return value
