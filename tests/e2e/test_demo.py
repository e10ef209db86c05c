"""`make demo`: the whole real model, from the manifest to an answer, as a newcomer sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

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
