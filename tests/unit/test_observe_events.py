"""Events as Kubernetes sends them: of the warnings that hold on, each once, in words that do not change."""

from __future__ import annotations

from typing import Any

from lowbit.observe.events import FRESH_SECONDS, KEPT, warnings_in
from lowbit.state.snapshot import Warned

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def event(note: str, reason: str = "FailedCreate", **times: Any) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": "2025-12-31T20:00:00Z"}, "reason": reason, "note": note, **times}


def test_the_newest_comes_first_by_whichever_time_an_event_has() -> None:
    events = [
        event("legacy", deprecatedLastTimestamp="2025-12-31T23:59:00Z", eventTime=None),
        event("series", series={"count": 4, "lastObservedTime": "2025-12-31T23:59:40.000000Z"}),
        event("once", eventTime="2025-12-31T23:58:00.000000Z"),
    ]
    assert [each.message for each in warnings_in(events, NOW)] == ["series", "legacy", "once"]


def test_what_was_long_ago_is_history() -> None:
    assert warnings_in([event("old")], NOW) == ()
    assert warnings_in([event("old")], NOW - 4 * 3600 + FRESH_SECONDS / 2) == (Warned("FailedCreate", "old"),)


def test_attempts_that_differ_by_a_random_name_are_one() -> None:
    when = "2025-12-31T23:59:00Z"
    notes = [f'Error creating: pods "quantize-1-{name}" is forbidden: no' for name in ("x7k2p", "9zzz9")]
    sandbox = f"failed to set up sandbox {'0af1' * 16}"
    events = [event(note, deprecatedLastTimestamp=when) for note in (*notes, sandbox)]
    assert [each.message for each in warnings_in(events, NOW)] == [
        'pod of "quantize-1" is forbidden: no', "failed to set up sandbox ...",
    ]  # fmt: skip


def test_few_and_short_ones_are_kept() -> None:
    events = [event(f"{n} " + "x" * 5000, deprecatedLastTimestamp="2025-12-31T23:59:00Z") for n in range(20)]
    told = warnings_in(events, NOW)
    assert len(told) == KEPT
    assert all(len(each.message) < 1000 for each in told)


def test_an_event_that_makes_no_sense_is_left_out() -> None:
    assert warnings_in([{"metadata": {}}, event("odd", deprecatedLastTimestamp="yesterday")], NOW) == ()
