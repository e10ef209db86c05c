"""Hashes of a versioned canonical form: the names of everything that Lowbit makes follow from them.

What is equal to its default is left out, so that a field which a newer Lowbit adds changes no hash.
Golden hashes are committed in tests/unit; a change of this file that changes one of them is a break.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lowbit.api.base import Wire

CANONICAL_VERSION = 1
NAME_HASH_LENGTH = 10


def canonical(value: Any) -> Any:
    """The canonical form: Wire types without defaults, keys sorted by json, everything else as it is."""
    if isinstance(value, Wire):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    return value


def digest(kind: str, value: Any) -> str:
    """SHA-256 (64 hexadecimal digits) of a value of one kind; equal values of two kinds have two hashes."""
    text = json.dumps(
        {"kind": kind, "value": canonical(value), "version": CANONICAL_VERSION},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False,
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()


def short(hash_: str) -> str:
    """The part of a hash that goes into object names."""
    return hash_.removeprefix("sha256:")[:NAME_HASH_LENGTH]
