"""Pods that no set of nodes could hold: said while they wait, and never a reason to refuse."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.engine import Resources
from lowbit.api.platform import Platform
from lowbit.api.pods import PodOptions, Toleration
from lowbit.decide.nodes import Group, engine_group, group, largest_gpu, missing, tolerates
from lowbit.decide.reconcile import decide
from lowbit.observe.nodes import node_view
from lowbit.resolve.freeze import resolve_engine
from lowbit.state.snapshot import NodeView, Taint
from tests.unit.api_inputs import changed_spec
from tests.unit.life import NAME, condition
from tests.unit.test_decide_failures import reach
from tests.unit.test_decide_serving_lets_go import pod as serving_pod
from tests.unit.test_decide_stuck import waiting_pod, without_pod
from tests.unit.world import World, spec_of_one

GPU = "nvidia.com/gpu"
H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def node(name: str, gpus: int, labels: dict[str, str] | None = None, *taints: Taint) -> NodeView:
    return NodeView(name, labels or {}, taints, {GPU: gpus} if gpus else {})


def pods(*sizes: int, **options: Any) -> Group:
    return group(sizes, Resources(), PodOptions.model_validate(options), Platform())


def test_nodes_that_could_hold_the_pods_are_no_news_whatever_runs_on_them() -> None:
    assert missing(pods(8, 8), [node("a", 8), node("b", 8), node("c", 0)]) is None
    assert missing(pods(4, 4), [node("a", 8)]) is None, "pods of a group may share a node"


def test_a_group_that_needs_one_node_more_says_which() -> None:
    said = missing(pods(8, 8), [node("a", 8), node("b", 4)])
    assert said is not None
    assert "1 pod of the group's 2 finds no node with 8 nvidia.com/gpu" in said
    assert "the largest have 8 (a), 4 (b)" in said


def test_a_pod_that_is_larger_than_every_node_says_what_there_is() -> None:
    said = missing(pods(4), [node("small-2", 2), node("small-1", 2), node("cpu", 0)])
    assert said == (
        "No set of the nodes could hold it: the pod finds no node with 4 nvidia.com/gpu. Of those that it may use, "
        "the largest have 2 (small-1), 2 (small-2)."
    )


def test_a_cluster_without_gpus_says_so() -> None:
    assert str(missing(pods(1), [node("cpu", 0)])).endswith("No node has any.")
    assert str(missing(pods(1), [])).endswith("No node has any.")


def test_what_keeps_the_pods_away_from_a_node_with_gpus_is_named() -> None:
    tainted = node("a", 8, H100, Taint("team", "vision", "NoSchedule"))
    assert "a has 8, and its taint team=vision:NoSchedule is not tolerated" in str(missing(pods(8), [tainted]))
    tolerant = pods(8, tolerations=[{"key": "team", "value": "vision"}])
    assert missing(tolerant, [tainted]) is None
    other = pods(8, nodeSelector={"pool": "big"}, tolerations=[{"operator": "Exists"}])
    assert "nodeSelector wants pool=big" in str(missing(other, [tainted]))


def test_the_taint_of_gpu_nodes_is_tolerated_as_clusters_do_by_themselves() -> None:
    assert missing(pods(8), [node("a", 8, None, Taint(GPU, "present", "NoSchedule"))]) is None


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    assert missing(pods(8), [node("a", 8, None, Taint("busy", "", "PreferNoSchedule"))]) is None


def test_a_slice_that_the_manifest_names_is_looked_for_in_place_of_gpus() -> None:
    slices = Resources(limits={"nvidia.com/mig-1g.10gb": "1"})
    wanted = group((1,), slices, PodOptions(), Platform())
    assert missing(wanted, [node("a", 8)]) is not None
    assert missing(wanted, [NodeView("b", {}, (), {"nvidia.com/mig-1g.10gb": 7})]) is None


def test_an_engines_pods_are_those_of_its_topology() -> None:
    body = changed_spec(engine={"vllm": {"tensorParallelSize": 4}})
    wanted = engine_group(resolve_engine(body.engine, Platform()), Resources(), PodOptions(), Platform())
    assert (wanted.resource, wanted.sizes) == (GPU, (4,))
    cpu = changed_spec(engine={"vllm": {"device": "CPU"}})
    on_cpus = engine_group(resolve_engine(cpu.engine, Platform()), Resources(), PodOptions(), Platform())
    assert missing(on_cpus, []) is None, "pods without GPUs are never looked at"


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True), ({"key": "k", "operator": "Exists"}, True), ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False), ({"key": "j", "operator": "Exists"}, False), ({"key": "k"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, True),
    ],
)  # fmt: skip
def test_tolerations_are_compared_as_kubernetes_does(toleration: dict[str, str], tolerated: bool) -> None:
    assert tolerates(Toleration.model_validate(toleration), Taint("k", "v", "NoSchedule")) is tolerated


def placeable(sizes: list[int], amounts: list[int]) -> bool:
    """By trying every way."""
    for chosen in product(range(len(amounts)), repeat=len(sizes)):
        left = list(amounts)
        for size, at in zip(sizes, chosen, strict=True):
            left[at] -= size
        if min(left, default=0) >= 0 and (amounts or not sizes):
            return True
    return False


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), amounts=st.lists(st.integers(0, 8), max_size=3))
def test_it_never_says_so_of_pods_that_could_run(sizes: list[int], amounts: list[int]) -> None:
    said = missing(pods(*sizes), [node(str(at), amount) for at, amount in enumerate(amounts)])
    if said is not None:
        assert not placeable(sizes, amounts)


@given(
    size=st.integers(1, 4), count=st.integers(1, 4), amounts=st.lists(st.integers(0, 8), max_size=3)
)  # fmt: skip
def test_of_pods_of_one_size_it_always_says_so(size: int, count: int, amounts: list[int]) -> None:
    said = missing(pods(*[size] * count), [node(str(at), amount) for at, amount in enumerate(amounts)])
    assert (said is None) == placeable([size] * count, amounts)


def test_a_node_is_read_with_what_a_group_asks_of_it_and_nothing_else() -> None:
    manifest = {
        "metadata": {"name": "a", "labels": H100},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "16", "memory": "64Gi", GPU: "8", "nvidia.com/mig-1g.10gb": "0"},
                   "images": [{"names": ["large"]}]},
    }  # fmt: skip
    assert node_view(manifest) == NodeView("a", H100, (Taint("k", "", "NoSchedule"),), {GPU: 8})


UNSCHEDULABLE = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}


def no_node_for(world: World, job: str) -> None:
    """The scheduler finds no node for the Job's pod."""
    waiting_pod(world, without_pod(world, job), scheduled=False)
    pod = world.objects["Pod", f"{job}-p"]
    (bound,) = pod["status"]["conditions"]
    world.put(pod | {"status": pod["status"] | {"conditions": [bound | UNSCHEDULABLE]}})


@pytest.fixture(params=["quantize", "baseline", "eval"])
def waiting(request: pytest.FixtureRequest, world: World) -> World:
    """A model whose Job finds no node."""
    world.apply_model(NAME, spec_of_one())
    no_node_for(world, reach(world, request.param))
    return world


def asks_for_nodes(world: World) -> bool:
    snapshot = world.snapshot(NAME)
    assert snapshot is not None
    return decide(snapshot, world.now).read_nodes


def test_a_job_that_waits_says_which_node_would_have_to_be_there_and_is_not_refused(waiting: World) -> None:
    waiting.nodes = (node("small", 0),)
    waiting.settle(NAME)
    message = condition(waiting, "Ready")["message"]
    assert "3 Insufficient nvidia.com/gpu. No set of the nodes could hold it" in message
    assert condition(waiting, "Stalled") is None
    assert asks_for_nodes(waiting), "an autoscaler adds nodes: they are read again while it waits"


def test_where_nodes_may_not_be_read_the_scheduler_alone_is_quoted(waiting: World) -> None:
    waiting.settle(NAME)
    message = condition(waiting, "Ready")["message"]
    assert "3 Insufficient nvidia.com/gpu" in message
    assert "No set of the nodes" not in message


def test_a_job_that_waits_for_others_to_be_done_is_told_no_node_is_missing(waiting: World) -> None:
    waiting.nodes = (node("big", 8),)
    waiting.settle(NAME)
    assert "No set of the nodes" not in condition(waiting, "Ready")["message"]


def test_a_serving_pod_that_waits_says_so_too(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    world.nodes = (node("small", 0),)
    for name in [name for name in world.names("Pod") if name.startswith(f"{NAME}-")]:
        world.objects.pop(("Pod", name))
    serving_pod(world, f"{NAME}-pod-0", [], node=False)
    world.settle(NAME)
    said = " ".join(each["message"] for each in world.model(NAME)["status"]["conditions"])
    assert "No set of the nodes could hold it" in said


def test_at_rest_nobody_reads_nodes(world: World) -> None:
    world.apply_model(NAME, spec_of_one())
    world.settle(NAME)
    assert not asks_for_nodes(world)


@pytest.mark.parametrize(
    ("labels", "gpu"),
    [(H100, "NVIDIA-H100-80GB-HBM3"), ({"nvidia.com/gpu.memory": "46068"}, "46068Mi"),
     ({"nvidia.com/gpu.product": "NVIDIA-X1", "nvidia.com/gpu.memory": "46068"}, "46068Mi"), ({}, None)],
)  # fmt: skip
def test_the_nodes_say_the_gpu_where_the_manifest_names_none(labels: dict[str, str], gpu: str | None) -> None:
    assert largest_gpu(pods(1), [node("a", 8, labels), node("cpu", 0, H100)]) == gpu


def test_of_several_gpus_the_largest_that_the_pods_may_use_counts() -> None:
    l4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    nodes = [node("a", 1, l4), node("b", 8, H100, Taint("team", "vision", "NoSchedule"))]
    assert largest_gpu(pods(1), nodes) == "NVIDIA-L4"
    assert largest_gpu(pods(1, tolerations=[{"operator": "Exists"}]), nodes) == "NVIDIA-H100-80GB-HBM3"
