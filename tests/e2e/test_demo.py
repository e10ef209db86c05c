"""`make demo`: the whole real model, from the manifest to an answer, as a newcomer sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster.cluster import Cluster
from hack.demo.cluster import MODEL, NAMESPACE
from hack.demo.follow import STAGES
from tests.e2e.lab import Lab, condition


@pytest.fixture(scope="module")
def demo_namespace(lowbit: Cluster) -> Iterator[Lab]:
    """The demo's own namespace, removed after the tests."""
    lab = Lab(lowbit, NAMESPACE)
    yield lab
    lab.remove()


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES_OF_TASKS = ("fraud", "harness")
KINDS = ("kinds.yaml", "kinds.jsonl")
UP = [sys.executable, "-m", "hack.demo", "up"]


def environment() -> dict[str, str]:
    """Without a KUBECONFIG: the demo uses the cluster that is made here."""
    return {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}


def demo() -> str:
    """Run the demo as make does; what it printed."""
    done = subprocess.run(UP, capture_output=True, text=True, env=environment(), check=False)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def running_demo() -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own, as a terminal starts it."""
    process = subprocess.Popen(
        UP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_says_what_goes_on_running_and_it_goes_on(
    demo_namespace: Lab, running_demo: subprocess.Popen[str]
) -> None:
    def applied() -> bool:
        assert running_demo.poll() is None, running_demo.communicate()
        return demo_namespace.get("quantizedmodel", MODEL) is not None

    def quantizes() -> bool:
        stage = demo_namespace.status(MODEL).get("stage")
        assert stage != "Failed", demo_namespace.picture()
        return stage in STAGES[STAGES.index("Quantizing") :]

    demo_namespace.wait(f"{MODEL} is applied", applied)
    model = demo_namespace.get("quantizedmodel", MODEL)
    os.killpg(running_demo.pid, signal.SIGINT)
    said, errors = running_demo.communicate()
    assert running_demo.returncode == 130, f"{said}\n{errors}"
    assert "Traceback" not in said + errors
    assert "The cluster on this machine and the operator go on running. The operator goes on with smollm2" in errors
    assert re.search(r"^Go on: +make demo ", errors, re.MULTILINE)
    assert re.search(rf"^Look at it: +KUBECONFIG=/.*kubectl -n {NAMESPACE} describe qm {MODEL}$", errors, re.MULTILINE)
    assert re.search(r"^Take it down: make demo-down$", errors, re.MULTILINE)
    demo_namespace.wait(f"{MODEL} goes on", quantizes)
    kept = demo_namespace.get("quantizedmodel", MODEL)
    assert model is not None
    assert kept is not None
    assert kept["metadata"]["uid"] == model["metadata"]["uid"]


def test_the_demo_serves_the_whole_real_model_and_it_answers(demo_namespace: Lab) -> None:
    said = demo()
    assert re.search(r"^CPU: .+, \d+ cores?, with AVX", said, re.MULTILINE)
    assert re.search(r"^Verdict: Passed ", said, re.MULTILINE)
    answer = re.search(r"^Answer: +(.+)$", said, re.MULTILINE)
    assert answer is not None
    assert "Paris" in answer.group(1)
    assert re.search(r"tokens/s", said)
    assert re.search(r"^Report: +/.*report\.html$", said, re.MULTILINE)
    assert condition(demo_namespace.get("quantizedmodel", MODEL), "Ready")


def test_a_second_run_of_the_demo_uses_what_is_there(demo_namespace: Lab) -> None:
    jobs = {job["metadata"]["uid"] for job in demo_namespace.objects("jobs")}
    assert re.search(r"^Verdict: Passed ", demo(), re.MULTILINE)
    assert {job["metadata"]["uid"] for job in demo_namespace.objects("jobs")} == jobs


def fraud(artifact: str) -> dict[str, Any]:
    """The example of a classification, on what the demo has made, with a task of the harness; fewer questions."""
    (manifest,), (harness,) = (
        yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()) for name in EXAMPLES_OF_TASKS
    )
    spec: dict[str, Any] = manifest["spec"]
    spec["candidates"] = [{"artifact": {"digest": artifact}}]
    del spec["calibration"], spec["evaluation"]["compare"], spec["jobs"]
    spec["evaluation"]["suites"][0]["classification"]["samples"] = 80
    words = harness["spec"]["evaluation"]["suites"][0]
    words["harness"] = {"tasks": words["harness"]["tasks"][:1], "samples": 64}
    spec["evaluation"]["suites"].append(words)
    return dict(manifest)


def test_a_task_is_judged_class_by_class_and_kubectl_lowbit_report_shows_why(demo_namespace: Lab) -> None:
    """What the demo has quantized, on messages to the customers of a bank: its verdict is what it is."""
    data = f"--from-file=data.jsonl={EXAMPLES / 'data' / 'fraud.jsonl'}"
    demo_namespace.kubectl("create", "configmap", "fraud", data)
    demo_namespace.kubectl(
        "create", "configmap", "tasks", *(f"--from-file={EXAMPLES / 'data' / file}" for file in KINDS)
    )
    demo_namespace.apply(fraud(demo_namespace.status(MODEL)["current"]["artifact"]["digest"]))
    demo_namespace.wait("fraud has its verdict", lambda: bool(demo_namespace.status("fraud").get("verdict")), 30)
    status = demo_namespace.status("fraud")
    checks = status["verdict"]["checks"]
    assert {(each["metric"], each["slice"], each["bound"]) for each in checks} == {
        ("Recall", "fraud", "NonInferiority"), ("Recall", "fine", "NonInferiority"),
        ("Accuracy", "kinds", "NonInferiority"),
    }  # fmt: skip
    assert status["verdict"]["basis"] == "NonInferiority"
    kubeconfig = str(demo_namespace.cluster.paths.kubeconfig)
    command = [sys.executable, "-m", "lowbit.cli.main", "report", "fraud", "-n", NAMESPACE, "--kubeconfig", kubeconfig]
    command += ["--format", "text", "-o", "-"]
    found = os.environ | {"PYTHONPATH": str(EXAMPLES.parent / "operator")}
    shown = subprocess.run(command, capture_output=True, text=True, env=found, check=False)
    assert shown.returncode == 0, shown.stderr
    assert status["verdict"]["verdict"] in shown.stdout
    assert "Recall of class" in " ".join(shown.stdout.split())
    print(shown.stdout)
