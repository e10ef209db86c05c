"""A verdict holds for engines that run as the judged one did. Where one that serves does not, people are told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.life import NAME, condition
from tests.unit.world import World, replica_set, spec

IMAGE = "docker.io/vllm/vllm-openai@sha256:"
ONE, TWO = IMAGE + "1" * 64, IMAGE + "2" * 64
MARLIN, EXLLAMA = "MarlinLinearKernel for GPTQLinearMethod", "ExllamaLinearKernel for GPTQLinearMethod"
H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"


def add_serving_pod(world: World, name: str, node: str = "node-1", image: str = ONE) -> None:
    """A pod of the Deployment that answers."""
    template = world.objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    status = {"name": "engine", "imageID": image, "ready": True, "state": {"running": {}}}
    world.put(
        {
            "apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node},
            "metadata": {"name": name, "labels": dict(template), "ownerReferences": [replica_set(NAME)]},
            "status": {
                "phase": "Running", "containerStatuses": [status], "conditions": [{"type": "Ready", "status": "True"}]
            },
        }
    )  # fmt: skip


@pytest.fixture
def serving(world: World) -> World:
    world.engine_image = lambda job: ONE
    world.apply_model(NAME, spec())
    world.settle(NAME)
    (name,) = (each for each in world.names("ModelEvaluation") if each.startswith("eval-"))
    evaluation = world.objects["ModelEvaluation", name]
    summary = evaluation["status"]["summary"] | {"kernels": [MARLIN]}
    world.put(evaluation | {"status": evaluation["status"] | {"summary": summary, "device": H100}})
    return world


def look(world: World, steps: int = 30) -> None:
    """Reconcile until nothing changes; no Job ends meanwhile."""
    for _ in range(steps):
        if not world.step(NAME):
            return
    raise AssertionError(f"no rest within {steps} steps")


def shown(world: World) -> list[dict[str, Any]]:
    engines: list[dict[str, Any]] = world.model(NAME)["status"]["running"]["engines"]
    return engines


def test_an_engine_that_runs_as_the_judged_one_leaves_the_verdict_as_it_is(serving: World) -> None:
    serving.runs = lambda pod: ((MARLIN,), H100)
    add_serving_pod(serving, "chat-1")
    serving.settle(NAME)
    assert condition(serving, "VerdictStale") is None
    assert shown(serving) == [{"image": ONE, "device": H100, "kernels": [MARLIN], "nodes": ["node-1"]}]


@pytest.mark.parametrize(
    ("image", "kernel", "device", "reason", "words"),
    [
        (TWO, MARLIN, H100, "EngineImageDiffers", (ONE, TWO, "Write spec.engine.vllm.image with a digest")),
        (ONE, EXLLAMA, H100, "KernelDiffers", (MARLIN, EXLLAMA, "node-2", "nodeSelector")),
        (ONE, MARLIN, A100, "DeviceNotJudged", (H100, A100, "node-2", "nodeSelector")),
    ],
)
def test_a_verdict_of_another_runtime_is_stale_and_says_what_to_do(
    serving: World, image: str, kernel: str, device: str, reason: str, words: tuple[str, ...]
) -> None:
    serving.runs = lambda pod: ((kernel,), device) if pod == "chat-2" else ((MARLIN,), H100)
    add_serving_pod(serving, "chat-1")
    add_serving_pod(serving, "chat-2", "node-2", image)
    look(serving)
    stale = condition(serving, "VerdictStale")
    assert (stale["status"], stale["reason"]) == ("True", reason)
    assert all(word in stale["message"] for word in words), stale["message"]
    assert [name for name, _ in serving.events].count("VerdictStale") == 1
    assert condition(serving, "Ready")["status"] == "True"
    assert condition(serving, "Stalled") is None
    del serving.objects["Pod", "chat-2"]
    look(serving)
    assert condition(serving, "VerdictStale") is None


def test_what_is_not_known_is_no_difference(serving: World) -> None:
    serving.runs = lambda pod: ((), None)
    add_serving_pod(serving, "chat-1", image="sha256:" + "3" * 64)
    serving.settle(NAME)
    assert condition(serving, "VerdictStale") is None


def test_another_operator_reads_nothing_that_the_status_tells(serving: World) -> None:
    serving.runs = lambda pod: ((EXLLAMA,), H100)
    add_serving_pod(serving, "chat-1")
    look(serving)
    before = condition(serving, "VerdictStale")
    serving.starts.clear()
    serving.runs = lambda pod: pytest.fail(f"the log of {pod} is read again")
    assert serving.step(NAME) is False
    assert condition(serving, "VerdictStale") == before


def test_a_pod_on_another_node_is_looked_at(serving: World) -> None:
    asked: list[str] = []

    def runs(pod: str) -> tuple[tuple[str, ...], str]:
        asked.append(pod)
        return (MARLIN,), H100

    serving.runs = runs
    for number in range(3):
        add_serving_pod(serving, f"chat-{number}", "node-1")
    serving.settle(NAME)
    assert len(asked) == 1, "engines of one image on one node run alike"
    add_serving_pod(serving, "chat-3", "node-2")
    serving.settle(NAME)
    assert asked[1:] == ["chat-3"]
    assert shown(serving)[0]["nodes"] == ["node-1", "node-2"]
