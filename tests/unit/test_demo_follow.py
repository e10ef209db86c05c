"""The demo follows a model to its end, on a terminal and in a log."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hack.cluster.progress import StepError
from hack.demo import commands, follow
from hack.demo.cluster import DemoCluster

FAILURE = {
    "reason": "EngineRestarted",
    "message": "It ended [exit 1].",
    "action": "Wait.",
    "time": "2026-11-27T10:00:00Z",
}


def model(stage: str, *conditions: str, **more: Any) -> dict[str, Any]:
    held = [{"type": each, "status": "True", "reason": "Because", "message": f"{each} it is."} for each in conditions]
    return {
        "metadata": {"generation": 1},
        "status": {"observedGeneration": 1, "stage": stage, "conditions": held} | more,
    }


@dataclass(frozen=True)
class Told(DemoCluster):
    """A cluster whose answers are given."""

    answers: Iterator[dict[str, Any] | StepError] = field(default_factory=lambda: iter(()))

    def get(self, *what: str) -> dict[str, Any]:
        answer = next(self.answers)
        if isinstance(answer, StepError):
            raise answer
        return answer


def told(*answers: dict[str, Any] | StepError) -> Told:
    return Told(Path("kubeconfig"), ours=True, answers=iter(answers))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.0)


REFUSED = StepError("kubectl", "E1127 memcache.go: one more try\nThe connection to the server was refused\n")
STORY = (
    model("Quantizing"), REFUSED, REFUSED, model("RollingOut"), model("RollingOut", lastFailure=FAILURE),
    model("Serving", "Ready", lastFailure=FAILURE),
)  # fmt: skip
SAID = (
    "Quantizing",
    "smollm2 cannot be read at the moment, the demo tries again: The connection to the server was refused",
    "smollm2 can be read again",
    "RollingOut",
    "EngineRestarted (at 2026-11-27T10:00:00Z): It ended [exit 1]. What to do: Wait.",
    "Serving",
)


def test_a_log_has_every_stage_and_failure_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow.follow(told(*STORY)) == STORY[-1]
    lines = capsys.readouterr().out.splitlines()
    assert tuple(lines[: len(SAID)]) == SAID
    assert lines[len(SAID)].split()[0] == "Preparing", "the table is drawn once, at the end"


def test_on_a_terminal_they_stay_above_the_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(follow, "Console", lambda: Console(file=screen, force_terminal=True, width=60))
    follow.follow(told(*STORY))
    for line in SAID:
        assert screen.getvalue().count(f"{line}\n") >= 1, line
    assert screen.getvalue().count("cannot be read") == 1
    assert screen.getvalue().count("EngineRestarted") == 1


def test_a_model_that_is_given_up_ends_the_demo_with_the_failure_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = "smollm2-1 has restarted 3 times: out of memory. " * 4 + "Raise the memory limit."
    gone = model("Failed", "Stalled", message=whole[:99] + "…")
    gone["status"]["conditions"][0] |= {"reason": "EngineCrashLoop", "message": whole}
    monkeypatch.setattr(
        commands, "DemoCluster", type("Chosen", (), {"choose": lambda: told(model("RollingOut"), gone)})
    )
    for step in ("look_at_cpu", "prepare_machine", "install", "apply_example"):
        monkeypatch.setattr(commands, step, lambda *_: None)
    assert commands.up() == 1
    assert f"smollm2 is not served. EngineCrashLoop: {whole}\n" in capsys.readouterr().err
