"""platform.maxGpuJobs on a real API server, with the chart's rights: one Job with GPUs runs, the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from tests.api.actor import Actor
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.operator_process import Cluster, quantized_model, wait_for


@pytest.fixture
def bounded(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The chart with a bound of one."""
    made = Installation(server, tmp_path_factory.mktemp("bounded"), "bounded", "platform.maxGpuJobs=1")
    made.install()
    yield made


def of_its_own(space: str, name: str, samples: int) -> dict[str, Any]:
    """A model whose artifact no other one shares."""
    made = quantized_model(space, name)
    made["spec"]["calibration"]["samples"] = samples
    return made


def with_gpus(cluster: Cluster, space: str, *, suspended: bool) -> list[dict[str, Any]]:
    """The Jobs with GPUs that have not ended."""
    jobs = [each for each in cluster.list("Job", space) if "-prepare-" not in each["metadata"]["name"]]
    left = [each for each in jobs if not each["status"].get("completionTime")]
    return [each for each in left if bool(each["spec"].get("suspend")) == suspended]


def said(cluster: Cluster, space: str, name: str) -> str:
    status = (cluster.get("QuantizedModel", space, name) or {}).get("status", {})
    return " ".join(f"{each['reason']} {each['message']}" for each in status.get("conditions", ()))


def test_jobs_above_the_bound_wait_and_start_when_one_ends_also_by_another_operator(
    cluster: Cluster, space: str, start: StartOperator, bounded: Installation
) -> None:
    operator = start("bounded", of=bounded)
    actor = Actor(cluster, space)
    actor.held = lambda job: "-prepare-" not in job
    for number, name in enumerate(("first", "second", "third")):
        cluster.apply(of_its_own(space, name, 64 + number))
    actor.until("two wait", lambda: len(with_gpus(cluster, space, suspended=True)) == 2)
    (running,) = wait_for("one runs", partial(with_gpus, cluster, space, suspended=False))
    waiting = {
        each["metadata"]["annotations"]["lowbit.dev/made-for"] for each in with_gpus(cluster, space, suspended=True)
    }
    for name in waiting:
        wait_for("who waits says why", lambda name=name: "Queued" in said(cluster, space, name))  # type: ignore[misc]
        assert "1 run, and 1 may (platform.maxGpuJobs in the chart's values)" in said(cluster, space, name)
    operator.kill()
    start("other", of=bounded)
    actor.finish(running)

    def next_one() -> list[str]:
        """The Job that runs now. Never more than one does."""
        now_running = with_gpus(cluster, space, suspended=False)
        assert len(now_running) <= 1
        return [
            each["metadata"]["name"] for each in now_running if each["metadata"]["uid"] != running["metadata"]["uid"]
        ]

    (started,) = wait_for("the next one starts", next_one)
    job = cluster.get("Job", space, started)
    assert job is not None
    assert "lowbit.dev/gpu-slot" not in job["metadata"]["annotations"]
