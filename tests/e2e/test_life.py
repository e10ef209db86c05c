"""The main job on a real cluster: real pods, a real quantizer, the real engine."""

from __future__ import annotations

from tests.e2e.lab import Lab, code, suite


def test_a_manifest_becomes_a_model_that_answers(lab: Lab) -> None:
    lab.apply_model("chat")
    status = lab.wait_ready("chat")
    assert status["verdict"]["verdict"] == "Passed"
    assert status["current"]["recipe"] == "gptq-int4-g64"
    assert lab.ask("chat")
    url = lab.service("chat")
    assert code(f"{url}/health") == 200
    assert code(f"{url}/metrics") == 404
    assert code(f"{url}/invocations", {"prompt": "x"}) == 404


def test_a_failed_gate_never_serves_and_the_next_candidate_does(lab: Lab) -> None:
    lab.apply_model("chat", evaluation={"suites": [suite("0.000001")]})
    status = lab.wait_stalled("chat")
    assert status["verdict"]["verdict"] == "Failed"
    assert lab.get("deployment", "chat") is None
