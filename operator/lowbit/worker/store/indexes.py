"""Indexes: what is known of an artifact or a model, to save work. Each names what it is of; one that does not is lost.

No index is the truth: what it names lies under its digest. Lost, it costs a quantization, or a look into the files.
"""

from __future__ import annotations

import json
from typing import Any

from lowbit.naming.store_keys import artifact_index_key, facts_index_key
from lowbit.worker.store.base import Store

OF = "of"
"""Member of every index: what it is of."""


def read_index(store: Store, key: str, of: str) -> dict[str, Any]:
    """An index, or {} if there is none, if it cannot be read, or if it is of something else."""
    try:
        found = json.loads(store.read(key) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get(OF) == of else {}


def write_index(store: Store, key: str, of: str, content: dict[str, Any]) -> None:
    """Write an index."""
    store.write(key, json.dumps({OF: of} | content, indent=1).encode())


def read_artifact_index(store: Store, artifact_hash: str) -> dict[str, Any]:
    """artifact, quantize and modules of one artifact hash, or {}."""
    return read_index(store, artifact_index_key(artifact_hash), artifact_hash)


def read_facts_index(store: Store, digest: str) -> dict[str, Any]:
    """facts of one model, or {}."""
    return read_index(store, facts_index_key(digest), digest)
