"""Whether an apply would change anything: what is desired, held against what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import InvalidOperation
from typing import Any

from lowbit.decide.jobs import quantity

LIST_KEYS = ("mountPath", "name", "type", "containerPort", "port", "ip", "uid")
"""What Kubernetes merges lists of objects by."""


def drifted(desired: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether a declared field is missing or different. What others have added is theirs."""
    return not _covers(observed, desired)


def _covers(observed: Any, desired: Any) -> bool:
    if isinstance(desired, Mapping):
        if not desired:
            return observed is None or isinstance(observed, Mapping)
        return isinstance(observed, Mapping) and all(_covers(observed.get(key), item) for key, item in desired.items())
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        return _covers_list(observed, desired)
    if desired is None or desired == observed:
        return True
    if desired in (False, 0, "") and observed is None:
        return True
    return _same_quantity(observed, desired)


def _covers_list(observed: Any, desired: Sequence[Any]) -> bool:
    if not desired:
        return True
    if not isinstance(observed, Sequence) or isinstance(observed, str):
        return False
    key = next((each for each in LIST_KEYS if _tells_apart(desired, each)), None)
    if key is None:
        return len(observed) == len(desired) and all(map(_covers, observed, desired))
    by_key = {item.get(key): item for item in observed if isinstance(item, Mapping)}
    return all(_covers(by_key.get(item[key]), item) for item in desired)


def _tells_apart(items: Sequence[Any], key: str) -> bool:
    """Whether every item has the key, and no two the same."""
    if not all(isinstance(item, Mapping) and key in item for item in items):
        return False
    return len({item[key] for item in items}) == len(items)


def _same_quantity(observed: Any, desired: Any) -> bool:
    if not isinstance(observed, (str, int)) or not isinstance(desired, (str, int)):
        return False
    try:
        return quantity(str(observed)) == quantity(str(desired))
    except InvalidOperation:
        return False
