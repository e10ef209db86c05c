"""What the demo says while it follows the model: a sequence of statuses, and a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest

from hack.cluster.progress import StepError
from hack.demo.narrator import Narrator, not_served

RESTARTED = {
    "stage": "Serve",
    "reason": "EngineRestarted",
    "message": "The engine of smollm2-1 ended with exit code 1.",
    "action": "See the log of its last start.",
    "time": "2026-11-27T10:00:00Z",
}
CRASH_LOOP = RESTARTED | {"reason": "EngineCrashLoop", "message": "The engine has restarted 3 times."}


def status(stage: str, percent: int | None = None, **more: Any) -> dict[str, Any]:
    progress = None if percent is None else {"percent": percent, "etaSeconds": 100 - percent, "message": "layers"}
    return {"stage": stage, "message": f"{stage} it"} | ({"progress": progress} if progress else {}) | more


def walk(narrator: Narrator, *steps: tuple[float, dict[str, Any]]) -> list[str]:
    """All that is said at these times of these statuses."""
    return [line for now, each in steps for line in narrator.lines(each, now)]


@pytest.mark.parametrize("log", [False, True])
def test_each_stage_is_said_once(log: bool) -> None:
    steps = [
        (0, {}),
        (2, status("Preparing")),
        (4, status("Preparing")),
        (6, status("Quantizing")),
        (8, status("Quantizing")),
    ]
    assert walk(Narrator(log=log), *steps) == ["Pending", "Preparing · Preparing it", "Quantizing · Quantizing it"]


@pytest.mark.parametrize("log", [False, True])
def test_each_failure_is_said_once_with_what_to_do(log: bool) -> None:
    rolling, restarted = status("RollingOut"), status("RollingOut", lastFailure=RESTARTED)
    given_up = status("Failed", lastFailure=CRASH_LOOP)
    said = walk(Narrator(log=log), (0, rolling), (2, restarted), (4, restarted), (6, given_up), (8, given_up))
    assert said == [
        "RollingOut · RollingOut it",
        "EngineRestarted (at 2026-11-27T10:00:00Z): The engine of smollm2-1 ended with exit code 1. "
        "What to do: See the log of its last start.",
        "EngineCrashLoop (at 2026-11-27T10:00:00Z): The engine has restarted 3 times. "
        "What to do: See the log of its last start.",
        "Failed · Failed it",
    ]


def test_a_failure_from_before_the_demo_looked_is_told_as_history() -> None:
    said = walk(Narrator(log=True), (0, status("Serving", lastFailure=RESTARTED)))
    assert said[0].startswith("EngineRestarted (earlier, at 2026-11-27T10:00:00Z): ")


def test_a_failure_without_an_action_or_a_time_is_said_all_the_same() -> None:
    narrator = Narrator(log=False)
    failure = {"reason": "Odd", "message": "It is odd."}
    said = walk(narrator, (0, {}), (2, {"lastFailure": failure}))
    assert said == ["Pending", "Odd (at an unknown time): It is odd."]


def test_on_a_terminal_the_progress_within_a_stage_is_left_to_the_table() -> None:
    said = walk(Narrator(log=False), *((float(now), status("Quantizing", now)) for now in range(100)))
    assert said == ["Quantizing · 0 % · about 100 s left · layers"]


def test_without_a_terminal_every_new_line_is_said() -> None:
    said = walk(
        Narrator(log=True), (0, status("Quantizing", 0)), (2, status("Quantizing", 0)), (4, status("Quantizing", 7))
    )
    assert said == ["Quantizing · 0 % · about 100 s left · layers", "Quantizing · 7 % · about 93 s left · layers"]


def test_a_log_shows_life_every_30_seconds_of_quiet() -> None:
    same = [(float(now), status("Evaluating")) for now in range(0, 101, 2)]
    said = walk(Narrator(log=True), (-40.0, {}), *same)
    assert said == [
        "Pending",
        "Evaluating · Evaluating it",
        "30 s in Evaluating · Evaluating it",
        "60 s in Evaluating · Evaluating it",
        "90 s in Evaluating · Evaluating it",
    ]


def test_the_30_seconds_begin_anew_with_whatever_is_said() -> None:
    narrator = Narrator(log=True)
    assert len(walk(narrator, (0, status("Quantizing", 0)), (20, status("Quantizing", 5)))) == 2
    assert walk(narrator, (32, status("Quantizing", 5)), (48, status("Quantizing", 5))) == []
    assert walk(narrator, (50, status("Quantizing", 5))) == ["50 s in Quantizing · 5 % · about 95 s left · layers"]


def test_a_terminal_needs_no_sign_of_life() -> None:
    assert len(walk(Narrator(log=False), *((float(now), status("Evaluating")) for now in range(300)))) == 1


@pytest.mark.parametrize("log", [False, True])
def test_a_server_that_fails_for_a_moment_is_said_once_and_borne(log: bool) -> None:
    narrator = Narrator(log=log)
    walk(narrator, (0, status("Evaluating")))
    said = [line for now in (2, 4, 6) for line in narrator.unreadable("connection refused", now)]
    assert said == ["smollm2 cannot be read at the moment, the demo tries again: connection refused"]
    assert walk(narrator, (8, status("Evaluating")), (10, status("Evaluating"))) == ["smollm2 can be read again"]


def test_a_server_that_fails_for_60_seconds_in_a_row_ends_the_demo() -> None:
    narrator = Narrator(log=True)
    walk(narrator, (0, status("Evaluating")))
    said = [line for now in range(2, 62, 2) for line in narrator.unreadable("connection refused", now)]
    assert said[1:] == ["30 s without an answer"]
    with pytest.raises(StepError, match=r"could not be read for 60 s: connection refused"):
        narrator.unreadable("connection refused", 62)


def test_only_failures_in_a_row_count() -> None:
    narrator = Narrator(log=False)
    for now in range(0, 600, 4):
        narrator.unreadable("connection refused", now)
        narrator.lines(status("Evaluating"), now + 2)


def stalled(message: str, generation: int = 1) -> dict[str, Any]:
    condition = {"type": "Stalled", "status": "True", "reason": "EngineCrashLoop", "message": message}
    short = {"message": f"{message[:99]}…", "observedGeneration": generation, "conditions": [condition]}
    return {"metadata": {"generation": 1}, "status": short}


def test_a_stalled_model_says_the_whole_failure_and_what_to_do() -> None:
    message = "The engine of smollm2-1 has restarted 3 times. " * 5 + "Raise spec.engine.vllm.resources.limits.memory."
    assert not_served(stalled(message)) == f"smollm2 is not served. EngineCrashLoop: {message}"


def test_a_condition_of_an_older_generation_does_not_count() -> None:
    assert not_served(stalled("Old. " * 30, generation=0)).startswith("smollm2 is not served: Old.")
