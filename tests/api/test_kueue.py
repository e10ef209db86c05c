"""Lowbit's Jobs and Deployments in the real Kueue: admitted, Queued, preempted, and never touched by both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from lowbit.naming.names import QUEUE_LABEL
from tests.api.actor import now
from tests.api.kueue import Kueue
from tests.api.manifests import ROOT
from tests.api.operator_process import Cluster, OperatorProcess, model_store, namespace, quantized_model, wait_for
from tests.unit.world import World

pytestmark = pytest.mark.long
SPACE = "queues"
CPU = {"resources": {"requests": {"cpu": "700m", "memory": "1Gi"}}}
ENDED = ("Succeeded", "Failed")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server with Kubernetes' own controllers: Jobs and Deployments make pods, and no pod runs by itself."""
    with ApiServer(with_controllers=True) as running:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        yield running


@pytest.fixture(scope="module")
def kueue(server: ApiServer) -> Iterator[Kueue]:
    with Kueue(server) as running:
        yield running


@pytest.fixture
def cluster(server: ApiServer, kueue: Kueue, tmp_path: Path) -> Iterator[Cluster]:
    """With an operator, and queues for one Job of 700m at a time and for no serving pod."""
    cluster = Cluster(server)
    cluster.apply(namespace(SPACE), model_store(SPACE))
    kueue.priority("low", 1)
    kueue.priority("high", 2)
    kueue.queue(SPACE, "gpus", **{"cpu": "1", "memory": "64Gi", "nvidia.com/gpu": "1"})
    kueue.queue(SPACE, "serving", **{"cpu": "0", "memory": "64Gi", "nvidia.com/gpu": "1"})
    operator = OperatorProcess(server, tmp_path / "operator.log", "operator")
    wait_for("the operator is ready", operator.ready)
    yield cluster
    operator.kill()
    cluster.empty(SPACE, "QuantizedModel")
    wait_for("all its Jobs are gone", lambda: not cluster.list("Job", SPACE))


def in_queue(name: str, priority: str = "low", **serving: Any) -> dict[str, Any]:
    """A QuantizedModel whose Jobs are in the queue, each of which fills it."""
    made = quantized_model(SPACE, name)
    jobs = {"queueName": "gpus", "workloadPriorityClassName": priority, "prepare": CPU, "quantize": CPU,
            "evaluate": CPU}  # fmt: skip
    made["spec"] |= {"jobs": jobs} | ({"serving": serving} if serving else {})
    return made


def said(cluster: Cluster, name: str) -> str:
    """Reason and message of the Ready condition."""
    status = (cluster.get("QuantizedModel", SPACE, name) or {}).get("status", {})
    ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
    return " ".join(f"{each['reason']} {each['message']}" for each in ready)


def pods_of_jobs(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The pods that have not ended, by their Job."""
    return {
        each["metadata"]["labels"]["batch.kubernetes.io/job-name"]: each
        for each in cluster.list("Pod", SPACE)
        if "batch.kubernetes.io/job-name" in each["metadata"]["labels"] and each["status"].get("phase") not in ENDED
    }


def the_one_that_runs(cluster: Cluster, prefix: str) -> bool:
    """Whether one Job has a pod, and it is that of a model."""
    return [each.startswith(prefix) for each in pods_of_jobs(cluster)] == [True]


def finish(cluster: Cluster, world: World, pods: Mapping[str, dict[str, Any]]) -> None:
    """The kubelet's part: these pods of Jobs end, with the results that their workers would leave behind."""
    for name, pod in pods.items():
        job = cluster.get("Job", SPACE, name)
        assert job is not None
        message = world.result(job["metadata"]["labels"]["lowbit.dev/stage"], name, job)
        text = message.model_dump_json(by_alias=True, exclude_none=True)
        ended = {"exitCode": 0, "message": text, "startedAt": now(), "finishedAt": now()}
        containers = [
            {"name": each, "image": "image", "imageID": "image@sha256:1", "ready": False, "restartCount": 0,
             "state": {"terminated": ended}} for each in ("worker",)
        ]  # fmt: skip
        status = {"phase": "Succeeded", "containerStatuses": containers}
        cluster.patch("Pod", SPACE, pod["metadata"]["name"], {"status": status}, "/status")


def test_kueue_admits_one_job_and_the_other_is_queued_until_it_ends(cluster: Cluster) -> None:
    cluster.apply(in_queue("one"))
    wait_for("the first is admitted", lambda: the_one_that_runs(cluster, "one-"))
    cluster.apply(in_queue("two"))
    wait_for("the second is Queued", lambda: said(cluster, "two").startswith("Queued Job two-prepare-"))
    assert "the queue gpus" in said(cluster, "two")
    (job,) = [each for each in cluster.list("Job", SPACE) if each["metadata"]["name"].startswith("two-")]
    assert job["spec"]["suspend"]
    command = f"-n {SPACE} describe workloads -l kueue.x-k8s.io/job-uid={job['metadata']['uid']}"
    assert command in said(cluster, "two")
    assert "insufficient unused quota for cpu" in cluster.kubectl(*command.split())
    assert not said(cluster, "one").startswith("Queued")
    world = World()

    def admitted() -> bool:
        """Whether the second runs. Kueue may admit the first one's next Job before."""
        running = pods_of_jobs(cluster)
        assert len(running) <= 1
        if job["metadata"]["name"] in running:
            return True
        finish(cluster, world, running)
        return False

    wait_for("the second is admitted, after the first", admitted)
    wait_for("it is told of", lambda: not said(cluster, "two").startswith("Queued"))


def test_a_job_that_kueue_preempts_is_queued_again_and_has_not_failed(cluster: Cluster) -> None:
    cluster.apply(in_queue("one"))
    wait_for("the first is admitted", lambda: the_one_that_runs(cluster, "one-"))
    wait_for("it is told of", lambda: "Preparing" in said(cluster, "one") or "WaitingForPod" in said(cluster, "one"))
    cluster.apply(in_queue("urgent", "high"))
    wait_for("the urgent one has its place", lambda: the_one_that_runs(cluster, "urgent-"))
    wait_for("the first is Queued again", lambda: said(cluster, "one").startswith("Queued"))
    status = (cluster.get("QuantizedModel", SPACE, "one") or {})["status"]
    assert "lastFailure" not in status
    cluster.delete("QuantizedModel", SPACE, "urgent")
    wait_for("it is admitted again", lambda: the_one_that_runs(cluster, "one-"))
    wait_for("it goes on", lambda: not said(cluster, "one").startswith("Queued"))


def test_serving_waits_in_its_queue_and_keeps_it(cluster: Cluster, kueue: Kueue) -> None:
    world = World()
    cluster.apply(in_queue("chat", replicas=1, queueName="serving"))

    def deployed() -> bool:
        finish(cluster, world, pods_of_jobs(cluster))
        return cluster.get("Deployment", SPACE, "chat") is not None

    wait_for("it is to be served", deployed)
    wait_for("its pod is Queued", lambda: said(cluster, "chat").startswith("Queued"))
    assert "waits in the queue serving" in said(cluster, "chat")
    kueue.queue(SPACE, "serving", **{"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "4"})
    wait_for("Kueue lets it go", lambda: not serving_pod(cluster)["spec"].get("schedulingGates"))
    pod = serving_pod(cluster)
    ready = [{"type": each, "status": "True", "lastTransitionTime": now()} for each in ("PodScheduled", "Ready")]
    cluster.patch(
        "Pod", SPACE, pod["metadata"]["name"], {"status": {"phase": "Running", "conditions": ready}}, "/status"
    )
    wait_for("it serves", lambda: said(cluster, "chat").startswith("Serving"))
    cluster.apply(in_queue("chat", replicas=2, queueName="others"))
    wait_for("what else is changed is applied", lambda: deployment(cluster)["spec"]["replicas"] == 2)
    assert deployment(cluster)["metadata"]["labels"][QUEUE_LABEL] == "serving"
    assert "ReconcileFailed" not in json.dumps(events(cluster)), "Kueue refuses another queue while a pod is ready"


def serving_pod(cluster: Cluster) -> dict[str, Any]:
    """The first pod of the Deployment, with the label that Kueue has put on it."""
    return next(each for each in cluster.list("Pod", SPACE) if each["metadata"]["labels"].get(QUEUE_LABEL) == "serving")


def deployment(cluster: Cluster) -> dict[str, Any]:
    found = cluster.get("Deployment", SPACE, "chat")
    assert found is not None
    return found


def events(cluster: Cluster) -> Any:
    return cluster.client("GET", f"/api/v1/namespaces/{SPACE}/events")["items"]
