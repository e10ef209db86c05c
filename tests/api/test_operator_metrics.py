"""What a running operator tells: metrics that promtool accepts, progress read from logs, /healthz and /readyz."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from lowbit.api.documents import ProgressLine
from tests.api.actor import WORKER, Actor, Kubelet
from tests.api.conftest import StartOperator
from tests.api.installation import Installation
from tests.api.manifests import ROOT
from tests.api.operator_process import Cluster, OperatorProcess, model_store, namespace, quantized_model, wait_for


def check_with_promtool(metrics: str) -> None:
    """Names, types, units and help, by Prometheus' own conventions."""
    if shutil.which("promtool") is None:
        message = "promtool is not there: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def progress(percent: float) -> str:
    line = ProgressLine(stage="quantize", percent=percent, eta_seconds=90, message="layer 3 of 30", time=0)
    return f"loading\n{line.model_dump_json(by_alias=True)}\n"


def test_a_life_is_told_in_metrics_and_a_running_job_by_its_log(
    cluster: Cluster, space: str, start: StartOperator
) -> None:
    operator = start("operator", "--progress=0.2", f"--namespaces={space}")
    actor = Actor(cluster, space)
    actor.held = lambda job: job.startswith("quantize-")
    cluster.apply(quantized_model(space, "chat"))
    with Kubelet(cluster) as kubelet:
        job = actor.until("the quantize Job is made", lambda: quantize_job(cluster, space))
        kubelet.logs[space, f"{job['metadata']['name']}-0", WORKER] = progress(42)
        actor.run(job)
        shown = wait_for("the status shows the percent", lambda: shown_progress(cluster, space))
        assert shown == {"percent": 42, "etaSeconds": 90, "message": "layer 3 of 30"}
    actor.held = lambda job: False
    actor.until("it has passed", lambda: cluster.conditions(space, "chat").get("Ready") == "True")

    def told() -> bool:
        return operator.metric("lowbit_revisions", stage="Passed", verdict="Passed") == 1

    wait_for("the revision is counted", told)
    assert operator.metric("lowbit_quantizedmodels", stage="Passed") == 1
    for stage, count in (("prepare", 1), ("quantize", 1), ("evaluate", 2)):
        assert operator.metric("lowbit_stage_seconds_count", stage=stage, result="Succeeded") == count
    assert operator.metric("lowbit_evaluation_value", metric="KLDivergence", quantizedmodel="chat") == 0.05
    for result in ("changed", "unchanged"):
        assert operator.metric("lowbit_reconciles_total", kind="QuantizedModel", result=result) > 0
    assert operator.metric("lowbit_reconcile_seconds_count", kind="QuantizedModel") > 0
    assert operator.metric("lowbit_api_calls_total", verb="create", resource="jobs", code="201") == 4
    assert operator.metric("lowbit_api_calls_total", verb="watch", resource="jobs", code="200") >= 1
    assert operator.metric("lowbit_missed_events_total") == 0
    check_with_promtool(operator.get("/metrics")[1])


def quantize_job(cluster: Cluster, space: str) -> dict[str, Any] | None:
    jobs = cluster.list("Job", space)
    return next((job for job in jobs if job["metadata"]["name"].startswith("quantize-")), None)


def shown_progress(cluster: Cluster, space: str) -> dict[str, Any] | None:
    status = (cluster.get("QuantizedModel", space, "chat") or {}).get("status", {})
    found: dict[str, Any] | None = status.get("progress")
    return found if found and "percent" in found else None


@pytest.fixture
def bare(tmp_path: Path) -> Any:
    """An API server that has never heard of Lowbit."""
    with ApiServer() as running:
        yield running


def test_it_is_ready_when_it_has_read_the_cluster_and_ends_when_a_kind_is_taken_away(
    bare: ApiServer, tmp_path: Path
) -> None:
    installation = Installation(bare, tmp_path / "pod", "lowbit")
    installation.install()
    operator = OperatorProcess(bare, tmp_path / "log", "early", installation=installation)
    try:
        wait_for("it says what it waits for", lambda: "has not been read yet" in operator.get("/readyz")[1])
        assert operator.get("/readyz")[0] == 503
        assert operator.get("/healthz")[0] == 200
        wait_for("its log says what to do", lambda: "are Lowbit's CRDs installed?" in operator.log.read_text())
        bare.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        wait_for("it is ready", operator.ready)
        cluster = Cluster(bare)
        cluster.apply(namespace("late"), model_store("late"), quantized_model("late", "chat"))
        wait_for("it does its work", lambda: cluster.list("Job", "late"))
        assert operator.get("/healthz")[0] == 200

        bare.kubectl("delete", "crd", "modelevaluations.lowbit.dev", "--wait=true")
        assert wait_for("it ends, for the kubelet to start it again", operator.process.poll) == 1
        assert "the watches have ended" in operator.log.read_text()
    finally:
        operator.kill()
