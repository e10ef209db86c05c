"""An engine that cannot start: its last words are told at once, and nobody waits for hours."""

from __future__ import annotations

from typing import Any

from tests.e2e.lab import Lab, condition, model_spec
from tests.e2e.witness import stage

WRONG = "--seed=none"
WORDS = "argument --seed: invalid int value: 'none'"
"""What vLLM says of it."""


def engine(*more: str) -> dict[str, Any]:
    """The engine of the tests, with further arguments."""
    found: dict[str, Any] = model_spec()["engine"]
    found["vllm"]["args"] += more
    return found


def test_an_engine_that_never_starts_is_told_of_ended_and_tried_again_when_it_is_mended(lab: Lab) -> None:
    lab.apply_model("chat", engine=engine(WRONG), serving=None)
    lab.wait("its first end is told", lambda: WORDS in lab.status("chat").get("lastFailure", {}).get("message", ""))
    told = lab.status("chat")["lastFailure"]
    assert (told["reason"], told["stage"]) == ("EngineRestarted", "Evaluate")
    status = lab.wait_stalled("chat")
    assert status["reason"] == "EngineCrashLoop"
    assert "has ended 3 time(s)" in status["lastFailure"]["message"]
    assert f"error: {WORDS}" in status["lastFailure"]["message"]
    (job,) = [each for each in lab.objects("jobs") if each["metadata"]["name"].startswith("baseline-")]
    name = job["metadata"]["name"]
    lab.wait("its pods are gone", lambda: not lab.objects("pods", f"batch.kubernetes.io/job-name={name}"))
    evaluation = lab.get("modelevaluation", name)
    assert evaluation is not None
    assert evaluation["status"]["phase"] == "Failed"
    assert WORDS in evaluation["status"]["engineLastTermination"]["log"]
    events = lab.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.reason} {.message}{'\\n'}{end}")
    assert {"EngineRestarted", "EngineCrashLoop"} <= {line.partition(" ")[0] for line in events.splitlines()}
    lab.apply_model("chat", engine=engine(), serving=None)
    lab.wait("the mended engine is waited for", lambda: stage(lab, "chat") == "EvaluatingBaseline")
    assert not condition(lab.get("qm", "chat"), "Stalled")
