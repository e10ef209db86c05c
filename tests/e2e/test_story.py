"""One namespace from the first manifest to the last deletion: each test goes on where the one before has ended."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import Lab, code, condition, suite
from tests.e2e.load import clients
from tests.e2e.prometheus import prometheus
from tests.e2e.witness import witness
from tests.engine.test_kernels import FAST, OURS, has_avx512

KEY = secrets.token_urlsafe(24)
BEARER = {"Authorization": f"Bearer {KEY}"}
COARSE, INT8, FINE = (4, -1), (8, 64), (4, 32)
"""Bits and group sizes: 4 bits with one scale for a whole row lose more than the gate allows; the others do not."""
GATE = {"suites": [suite("0.025")]}


def candidates(*recipes: tuple[int, int]) -> list[object]:
    return [{"gptq": {"bits": bits, "groupSize": group}} for bits, group in recipes]


def kernels(lab: Lab) -> dict[str, list[str]]:
    """Kernels that each evaluation has run in, by the recipe of its candidate; "original" for that of the baseline."""
    found = {}
    for each in lab.objects("modelevaluations"):
        name, summary = each["metadata"]["name"], each["status"]["summary"]
        users = [r for r in lab.objects("modelrevisions") if (r.get("status") or {}).get("evaluation") == name]
        gptq = users[0]["spec"]["recipe"].get("gptq") if users else {}
        recipe = f"int{gptq['bits']} by {gptq['groupSize']}" if gptq else "original"
        found[recipe] = summary.get("kernels", [])
    return found


def secret(lab: Lab) -> None:
    data = {"token": base64.b64encode(KEY.encode()).decode()}
    lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "chat-key"}, "data": data})


def serving() -> dict[str, object]:
    return {"replicas": 1, "drainSeconds": 20, "apiKeySecretRef": {"name": "chat-key", "key": "token"}}


def test_int4_that_fails_its_gate_never_serves_and_int8_behind_it_does(story: Lab) -> None:
    secret(story)
    with witness(story) as seen:
        story.apply_model("chat", candidates=candidates(COARSE, INT8), evaluation=GATE, serving=serving())
        status = story.wait_ready("chat")
    verdicts = {r["spec"]["candidate"]: r["status"]["verdict"]["verdict"] for r in story.objects("modelrevisions")}
    assert verdicts == {0: "Failed", 1: "Passed"}
    assert status["current"]["recipe"] == "gptq-int8-g64"
    assert seen.served == [("chat", status["current"]["name"])]
    assert not seen.served_unpassed
    assert not seen.twice()


def test_evaluation_and_report_name_the_kernel_that_ran(story: Lab) -> None:
    int4 = FAST if has_avx512() else OURS
    method = "AutoGPTQLinearMethod"
    wanted = {"original": [], "int4 by -1": [f"{int4} for {method}"], "int8 by 64": [f"{OURS} for {method}"]}
    assert kernels(story) == wanted
    report = (
        story.cluster.paths.volumes / f"{story.namespace}-models" / story.status("chat")["evaluation"]["reportPath"]
    )
    assert f"<code>{OURS} for {method}</code>" in report.read_text()
    (server,) = story.objects("pods", "app.kubernetes.io/component=serving")
    assert f"Using {OURS}" in story.kubectl("logs", server["metadata"]["name"], "-c", "engine")


def test_only_the_api_answers_and_only_with_the_key(story: Lab) -> None:
    url = story.service("chat")
    assert story.ask("chat", headers=BEARER)
    assert code(f"{url}/v1/models") == 401
    assert code(f"{url}/health") == 200
    for path in ("/metrics", "/invocations", "/docs", "/load", "/tokenize"):
        assert code(f"{url}{path}", headers=BEARER) == 404, path


def test_a_real_prometheus_scrapes_operator_engine_and_guard(story: Lab, tmp_path: Path) -> None:
    operator = pod_address(story.cluster.kubectl.get("-n", "lowbit-system", "pods")["items"])
    server = pod_address(story.objects("pods", "app.kubernetes.io/component=serving"))
    targets = {
        "operator": (f"{operator}:8080", "/metrics"),
        "engine": (f"{server}:9090", "/metrics"),
        "guard": (f"{server}:9090", "/stats/prometheus"),
    }
    with prometheus(tmp_path, free_port(), targets) as monitoring:
        for name in targets:
            assert monitoring.wait_for(f'up{{job="{name}"}}') == 1
        assert monitoring.wait_for('lowbit_revisions{verdict="Passed"}') >= 1
        assert monitoring.wait_for("vllm:generation_tokens_total") > 0
        assert monitoring.wait_for('envoy_http_downstream_rq_xx{envoy_response_code_class="2"}') > 0
        assert monitoring.wait_for('envoy_http_downstream_rq_xx{envoy_response_code_class="4"}') > 0


def test_a_second_model_shares_source_artifact_and_evaluations(story: Lab) -> None:
    before = {job["metadata"]["name"] for job in story.objects("jobs")}
    story.apply_model("twin", candidates=candidates(INT8), evaluation=GATE, serving=None)
    status = story.wait_ready("twin")
    after = {job["metadata"]["name"] for job in story.objects("jobs")}
    assert all(name.startswith("twin-prepare-") for name in after - before), after - before
    assert status["stage"] == "Passed"
    assert status["current"]["artifact"]["digest"] == story.status("chat")["current"]["artifact"]["digest"]
    for evaluation in story.objects("modelevaluations"):
        users = {owner["name"] for owner in evaluation["metadata"]["ownerReferences"]}
        if evaluation["metadata"]["name"].startswith("baseline-"):
            assert users == {"chat", "twin"}
    assert story.get("deployment", "twin") is None


def test_wiped_status_and_collected_jobs_bring_the_same_verdict_without_new_work(story: Lab) -> None:
    name = story.status("chat")["current"]["name"]
    verdict = story.status("chat")["current"]
    pods = {pod["metadata"]["uid"] for pod in story.objects("pods", "app.kubernetes.io/component=serving")}
    story.kubectl("delete", "jobs", "--all", "--wait=true")
    with witness(story) as seen:
        for revision in story.objects("modelrevisions"):
            wipe = ["--subresource=status", "--type=merge", "-p", json.dumps({"status": None})]
            story.kubectl("patch", "modelrevision", revision["metadata"]["name"], *wipe)

        def judged_again() -> bool:
            statuses = [revision.get("status") or {} for revision in story.objects("modelrevisions")]
            return all("verdict" in status for status in statuses) and condition(story.get("qm", "chat"), "Ready")

        story.wait("every revision has its verdict again", judged_again)
    assert story.status("chat")["current"]["name"] == name
    assert story.status("chat")["current"]["artifact"] == verdict["artifact"]
    assert {pod["metadata"]["uid"] for pod in story.objects("pods", "app.kubernetes.io/component=serving")} == pods
    assert all("-prepare-" in job for job in seen.jobs), "what the store holds is not made again"


def test_a_change_while_serving_under_load_loses_no_request(story: Lab) -> None:
    old = story.status("chat")["current"]["name"]
    with witness(story) as seen, clients(story.service("chat"), "chat", BEARER) as answers:
        story.wait("the clients are answered", lambda: answers.good > 10)
        story.apply_model("chat", candidates=candidates(FINE), evaluation=GATE, serving=serving())
        status = story.wait_ready("chat")
        enough = answers.good + 20
        story.wait("the new revision answers", lambda: answers.good > enough)
    assert not answers.failures, answers.failures[:5]
    assert status["current"]["recipe"] == "gptq-int4-g32"
    assert seen.served == [("chat", old), ("chat", status["current"]["name"])]
    assert not seen.served_unpassed
    assert not seen.unavailable
    print(f"{answers.good} requests answered, none failed")


def test_an_artifact_made_outside_is_gated(story: Lab) -> None:
    digest = story.status("chat")["current"]["artifact"]["digest"]
    made = folder(story, digest)
    outside = story.cluster.paths.volumes / f"{story.namespace}-sources" / "outside"
    shutil.copytree(made, outside, copy_function=shutil.copyfile)
    (outside / "README.md").write_text("Quantized elsewhere.\n")
    artifact = {"artifact": {"pvc": {"claimName": "sources", "path": "outside"}}}
    story.apply_model("vendor", candidates=[artifact], evaluation=GATE, serving=None, jobs={}, calibration=None)
    status = story.wait_ready("vendor")
    assert status["verdict"]["verdict"] == "Passed"
    assert status["current"]["artifact"]["digest"] != digest


@pytest.mark.long
def test_awq_is_made_judged_and_served_like_any_other_recipe(story: Lab) -> None:
    gate = {"suites": [suite("0.05")]}
    with witness(story) as seen:
        story.apply_model("awq", candidates=[{"awq": {"groupSize": 64}}], evaluation=gate)
        status = story.wait_ready("awq")
    assert status["current"]["recipe"] == "awq-int4-g64"
    assert status["verdict"]["verdict"] == "Passed"
    int4 = FAST if has_avx512() else OURS
    assert status["evaluation"]["kernels"] == [f"{int4} for AutoAWQMarlinLinearMethod"]
    assert story.ask("awq")
    assert not [job for job in seen.jobs if job.startswith("baseline-")], "the original is measured already"
    story.kubectl("delete", "quantizedmodel", "awq", "--wait=true")


def test_a_tampered_artifact_does_not_serve_and_says_so(story: Lab) -> None:
    file = folder(story, story.status("chat")["current"]["artifact"]["digest"]) / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    story.kubectl("delete", "pods", "-l", "app.kubernetes.io/component=serving", "--wait=true")

    def said() -> bool:
        failure = story.status("chat").get("lastFailure") or {}
        return failure.get("reason") == "DigestMismatch" and not condition(story.get("qm", "chat"), "Available")

    story.wait("the status says that the artifact was changed", said)
    assert code_or_refused(story.service("chat")) != 200
    file.write_bytes(whole)
    story.wait_available("chat")
    assert story.ask("chat", headers=BEARER)


def test_deleting_the_first_leaves_the_second_whole(story: Lab) -> None:
    story.kubectl("delete", "quantizedmodel", "chat", "vendor", "--wait=true")
    story.wait("nothing of chat's is left", lambda: not [each for each in story.left_over() if "/chat" in each])
    assert condition(story.get("quantizedmodel", "twin"), "Ready")
    evaluations = story.objects("modelevaluations")
    assert {owner["name"] for each in evaluations for owner in each["metadata"]["ownerReferences"]} == {"twin"}
    revision = story.status("twin")["current"]["name"]
    wipe = ["--subresource=status", "--type=merge", "-p", json.dumps({"status": None})]
    story.kubectl("patch", "modelrevision", revision, *wipe)
    judged = lambda: "verdict" in ((story.get("modelrevision", revision) or {}).get("status") or {})  # noqa: E731
    story.wait("twin's verdict comes again from what it shares", judged)
    assert story.wait_ready("twin")["verdict"]["verdict"] == "Passed"


def test_deleting_the_last_leaves_nothing_but_the_store(story: Lab) -> None:
    store = story.cluster.paths.volumes / f"{story.namespace}-models"
    story.kubectl("delete", "quantizedmodel", "twin", "--wait=true")
    story.wait_gone("twin")
    assert story.get("modelstore", "default") is not None
    assert len(list((store / "artifacts").iterdir())) >= 3
    unfinished = [file.name for file in (store / "partial").iterdir() if file.suffix != ".lock"]
    assert not unfinished


def pod_address(pods: list[dict[str, Any]]) -> str:
    """IP address of the only pod that runs."""
    (address,) = (pod["status"]["podIP"] for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    return str(address)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def folder(lab: Lab, digest: str) -> Path:
    """Where the store keeps an artifact on this machine."""
    return lab.cluster.paths.volumes / f"{lab.namespace}-models" / "artifacts" / digest.removeprefix("sha256:")


def code_or_refused(url: str) -> int:
    """Status code, or 0 where nobody answers."""
    try:
        return code(f"{url}/v1/models", headers=BEARER)
    except OSError:
        return 0
