"""`make demo`: the whole real model, from the manifest to an answer, as a newcomer sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hack.demo.cluster import MODEL, NAMESPACE
from tests.cluster.cluster import Cluster
from tests.e2e.lab import Lab, condition


@pytest.fixture(scope="module")
def demo_namespace(lowbit: Cluster) -> Iterator[Lab]:
    """The demo's own namespace, removed after the tests."""
    lab = Lab(lowbit, NAMESPACE)
    yield lab
    lab.remove()


def demo() -> str:
    """Run the demo as make does; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "hack.demo", "up"], capture_output=True, text=True, env=environment, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_demo_serves_the_whole_real_model_and_it_answers(demo_namespace: Lab) -> None:
    said = demo()
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
