"""What Kubernetes' events say about an object that is stuck. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lowbit.decide.causes import steady
from lowbit.state.snapshot import Warned

FRESH_SECONDS = 400.0
"""Older warnings are history. Kubernetes repeats an event that holds on at least every 5 minutes."""
KEPT = 5


def warnings_in(events: Iterable[Mapping[str, Any]], now: float) -> tuple[Warned, ...]:
    """The warnings that hold, the newest first, each once. now: seconds since the epoch."""
    seen = sorted(((_last_seen(each), each) for each in events), key=lambda pair: pair[0], reverse=True)
    told = (
        Warned(str(each.get("reason") or ""), steady(str(each.get("note") or "")))
        for at, each in seen
        if now - at < FRESH_SECONDS
    )
    return tuple(dict.fromkeys(told))[:KEPT]


def _last_seen(event: Mapping[str, Any]) -> float:
    """When an event was last repeated (seconds since the epoch); 0 if it does not say."""
    times = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    found = next(filter(None, times), None)
    try:
        when = datetime.fromisoformat(found or "")
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
