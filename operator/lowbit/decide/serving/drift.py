"""Whether an apply would change anything: what is desired, held against what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import InvalidOperation
from typing import Any

from lowbit.api.quantity import quantity

LIST_KEYS = ("mountPath", "name", "type", "containerPort", "port", "ip", "uid")
"""What Kubernetes merges lists of objects by."""


def drifted(desired: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether a declared field is missing or different. What others have added is theirs."""
    return not _covers(observed, desired)


def _covers(observed: Any, desired: Any) -> bool:
    # Both sides are JSON: dict and list, which are told apart much faster than a Mapping and a Sequence.
    if isinstance(desired, dict):
        if not desired:
            return observed is None or isinstance(observed, dict)
        return isinstance(observed, dict) and all(_covers(observed.get(key), item) for key, item in desired.items())
    if isinstance(desired, (list, tuple)):
        return _covers_list(observed, desired)
    if desired is None or desired == observed:
        return True
    if desired in (False, 0, "") and observed is None:
        return True
    return _same_quantity(observed, desired)


def _covers_list(observed: Any, desired: Sequence[Any]) -> bool:
    if not desired:
        return True
    if not isinstance(observed, (list, tuple)):
        return False
    if observed == desired:
        return True
    key = next((each for each in LIST_KEYS if _tells_apart(desired, each)), None)
    if key is None:
        return len(observed) == len(desired) and all(map(_covers, observed, desired))
    # Others may have added an item under the same key (an owner of the same name): any that fits is ours.
    named = [item for item in observed if isinstance(item, dict)]
    return all(any(mine.get(key) == item[key] and _covers(mine, item) for mine in named) for item in desired)


def _tells_apart(items: Sequence[Any], key: str) -> bool:
    """Whether every item has the key, and no two the same."""
    if not all(isinstance(item, dict) and key in item for item in items):
        return False
    return len({item[key] for item in items}) == len(items)


def _same_quantity(observed: Any, desired: Any) -> bool:
    if not isinstance(observed, (str, int)) or not isinstance(desired, (str, int)):
        return False
    try:
        return quantity(str(observed)) == quantity(str(desired))
    except InvalidOperation:
        return False
