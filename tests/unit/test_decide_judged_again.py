"""What serves otherwise than it was judged is evaluated again as it serves, beside it, and judged there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.naming.names import PRODUCT_LABELS
from tests.unit.life import NAME, condition, only_passed_is_served, served, status
from tests.unit.test_decide_compare import comparing, pod_without_node
from tests.unit.test_decide_runtime import A100, EXLLAMA, H100, MARLIN, ONE, TWO, add_serving_pod, look
from tests.unit.test_decide_runtime import serving as make_serving
from tests.unit.world import World, spec

serving = make_serving
TAG = "docker.io/vllm/vllm-openai:v0.10"
WITH_TAG = {"vllm": {"image": TAG}}


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = [c for c in job["spec"]["template"]["spec"]["initContainers"] if c["name"] == "engine"]
    return dict(found)


def again(world: World) -> list[dict[str, Any]]:
    """ModelEvaluations that were made for what serves."""
    found = [world.objects["ModelEvaluation", name] for name in sorted(world.names("ModelEvaluation"))]
    return [each for each in found if "place" in each["spec"]]


def jobs(world: World) -> list[str]:
    """Their Jobs."""
    names = {each["metadata"]["name"] for each in again(world)}
    return sorted(name for name in world.names("Job") if name.removesuffix("-2") in names)


def verdicts(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.objects["ModelRevision", served(world)]["status"].get("judgedAgain", [])
    return found


def is_again(world: World) -> Callable[[str], bool]:
    return lambda name: "place" in world.objects["ModelEvaluation", name.removesuffix("-2")]["spec"]


def bad_again(world: World, value: float = 0.9) -> None:
    """What is evaluated again is bad."""
    world.kl = lambda name: value if is_again(world)(name) else 0.05


def on_a100(world: World) -> None:
    """The model is served on two kinds of nodes, and was judged on one of them."""
    world.runs = lambda pod: ((MARLIN,), A100 if pod == "chat-2" else H100)
    add_serving_pod(world, "chat-1")
    add_serving_pod(world, "chat-2", "node-2")


@pytest.fixture
def moved(world: World) -> World:
    """The tag has moved since it was judged, and the new image serves."""
    as_run = {TAG: ONE}
    world.engine_image = lambda job: as_run.get(image := container(world.objects["Job", job])["image"], image)
    world.apply_model(NAME, spec(engine=WITH_TAG))
    world.settle(NAME)
    as_run[TAG] = TWO
    add_serving_pod(world, "chat-1", image=TWO)
    return world


def test_a_tag_that_moved_is_judged_in_the_image_that_serves(moved: World) -> None:
    moved.settle(NAME, after=only_passed_is_served(moved))
    assert condition(moved, "VerdictStale") is None
    (verdict,) = verdicts(moved)
    assert (verdict["verdict"], verdict["image"]) == ("Passed", TWO)
    both = again(moved)
    assert sorted(each["spec"]["model"]["kind"] for each in both) == ["Artifact", "Source"]
    assert {each["spec"]["engine"]["vllm"]["image"] for each in both} == {TWO}
    assert {verdict["evaluation"], verdict["baseline"]} == {each["metadata"]["name"] for each in both}
    images = {container(moved.objects["Job", name])["image"] for name in jobs(moved)}
    assert images == {TWO}, "by the digest, so that nothing moves again"


def test_once_judged_nothing_is_written_or_made(moved: World) -> None:
    moved.settle(NAME)
    made = len(moved.created)
    for _ in range(5):
        moved.now += timedelta(minutes=20)
        assert moved.step(NAME) is False
    assert len(moved.created) == made


def test_while_it_goes_on_the_condition_says_how_far_and_the_model_stays_ready(moved: World) -> None:
    look(moved)
    stale = condition(moved, "VerdictStale")
    assert stale["reason"] == "EngineImageDiffers"
    assert "is evaluated again: evaluating the original in the engine (baseline-" in stale["message"]
    assert condition(moved, "Ready")["status"] == "True"
    assert condition(moved, "Stalled") is None
    assert len(jobs(moved)) == 1, "the original first"


def test_the_jobs_run_on_nodes_with_the_devices_that_serve(serving: World) -> None:
    pod = {"nodeSelector": {"pool": "serving"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    evaluate = {"nodeSelector": {"gpu": "h100"}, "tolerations": [{"key": "batch", "operator": "Exists"}]}
    serving.apply_model(NAME, spec(serving={"pod": pod}, jobs={"evaluate": evaluate}))
    serving.settle(NAME)
    on_a100(serving)
    look(serving)
    (name,) = jobs(serving)
    inside = serving.objects["Job", name]["spec"]["template"]["spec"]
    assert inside["nodeSelector"] == {"pool": "serving"}
    assert [each["key"] for each in inside["tolerations"]] == ["batch", "gpu"]
    assert terms(inside) == [
        {"matchExpressions": [{"key": label, "operator": "In", "values": [A100]}]} for label in PRODUCT_LABELS
    ]
    assert {each["spec"]["place"]["device"] for each in again(serving)} == {A100}
    serving.settle(NAME)
    assert condition(serving, "VerdictStale") is None
    assert [(each["verdict"], each["device"]) for each in verdicts(serving)] == [("Passed", A100)]


def terms(pod: dict[str, Any]) -> list[dict[str, Any]]:
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return list(required["nodeSelectorTerms"])


def test_where_only_the_kernel_differs_the_job_runs_on_the_very_node(serving: World) -> None:
    serving.runs = lambda pod: ((EXLLAMA,), H100)
    add_serving_pod(serving, "chat-1", "node-7")
    look(serving)
    (name,) = jobs(serving)
    field = {"key": "metadata.name", "operator": "In", "values": ["node-7"]}
    assert terms(serving.objects["Job", name]["spec"]["template"]["spec"]) == [{"matchFields": [field]}]
    serving.settle(NAME)
    assert condition(serving, "VerdictStale") is None
    assert [(each["kernels"], each["node"]) for each in verdicts(serving)] == [([EXLLAMA], "node-7")]


@pytest.mark.parametrize(("value", "verdict"), [(0.9, "Failed"), (0.15, "Inconclusive")])
def test_what_does_not_pass_there_serves_on_and_is_told_once(serving: World, value: float, verdict: str) -> None:
    bad_again(serving, value)
    before = served(serving)
    on_a100(serving)
    serving.settle(NAME)
    stale = condition(serving, "VerdictStale")
    assert stale["reason"] == "NotPassedHere"
    for word in (verdict, "node-2", "KLDivergence", "spec.serving.pod.nodeSelector", "candidate"):
        assert word in stale["message"], stale["message"]
    assert condition(serving, "Ready")["status"] == "True"
    assert condition(serving, "Stalled") is None
    assert served(serving) == before
    told = [message for name, message in serving.events if name == "VerdictStale"]
    assert len([message for message in told if verdict in message]) == 1
    made, told_so_far = len(serving.created), len(serving.events)
    serving.now += timedelta(hours=1)
    assert serving.step(NAME) is False
    assert (len(serving.created), len(serving.events)) == (made, told_so_far)
    assert status(serving)["verdict"]["verdict"] == "Passed", "the first verdict stays what it was"


def test_a_moved_image_that_does_not_pass_names_the_one_that_has(moved: World) -> None:
    bad_again(moved)
    moved.settle(NAME)
    stale = condition(moved, "VerdictStale")
    assert stale["reason"] == "NotPassedHere"
    assert ONE in stale["message"] and "spec.engine.vllm.image" in stale["message"]


def test_an_engine_that_ran_otherwise_again_is_not_evaluated_for_ever(serving: World) -> None:
    """By its device first, then on its node; then a person is told."""
    serving.runs = lambda pod: ((MARLIN,), A100)
    serving.engine_image = lambda job: TWO if is_again(serving)(job) else ONE
    add_serving_pod(serving, "chat-1")
    serving.settle(NAME)
    assert [each.get("node") for each in verdicts(serving)] == [None, "node-1"]
    stale = condition(serving, "VerdictStale")
    assert stale["reason"] == "DeviceNotJudged"
    assert "ran otherwise again" in stale["message"]
    assert serving.step(NAME) is False


def test_several_kinds_of_engines_are_judged_one_after_the_other(serving: World) -> None:
    devices = {"chat-1": A100, "chat-2": "NVIDIA-L4", "chat-3": "NVIDIA-L40S"}
    serving.runs = lambda pod: ((MARLIN,), devices[pod])
    for number, pod in enumerate(devices):
        add_serving_pod(serving, pod, f"node-{number}")
    busy: list[int] = []

    def count() -> None:
        busy.append(sum(not serving.objects["Job", name]["status"] for name in jobs(serving)))

    serving.settle(NAME, after=count)
    assert max(busy) == 1
    assert sorted(each["device"] for each in verdicts(serving)) == sorted(devices.values())
    assert condition(serving, "VerdictStale") is None


def test_no_more_than_eight_further_verdicts_are_kept(serving: World) -> None:
    devices = {f"chat-{number}": f"device-{number}" for number in range(9)}
    serving.runs = lambda pod: ((MARLIN,), devices[pod])
    for number, pod in enumerate(devices):
        add_serving_pod(serving, pod, f"node-{number}")
    serving.settle(NAME)
    assert len(verdicts(serving)) == 8
    assert "no more" in condition(serving, "VerdictStale")["message"]
    assert serving.step(NAME) is False, "an engine that nobody judges makes none of the others be judged anew"
    del serving.objects["Pod", "chat-0"]
    serving.settle(NAME)
    assert condition(serving, "VerdictStale") is None
    assert {each["device"] for each in verdicts(serving)} == set(devices.values()) - {"device-0"}


def test_what_a_pod_was_evaluated_for_is_given_up_with_it(serving: World) -> None:
    on_a100(serving)
    look(serving)
    assert jobs(serving)
    del serving.objects["Pod", "chat-2"]
    look(serving)
    assert (again(serving), jobs(serving)) == ([], [])
    assert condition(serving, "VerdictStale") is None


def test_while_pods_come_and_go_nothing_is_given_up(serving: World) -> None:
    on_a100(serving)
    look(serving)
    before = jobs(serving)
    deployment = serving.objects["Deployment", NAME]
    serving.put(deployment | {"status": deployment["status"] | {"readyReplicas": 0, "availableReplicas": 0}})
    del serving.objects["Pod", "chat-2"]
    look(serving)
    assert jobs(serving) == before


def test_a_pod_that_finds_no_node_gets_the_gpu_of_the_evaluation(serving: World) -> None:
    serving.runs = lambda pod: ((MARLIN,), A100)
    add_serving_pod(serving, "chat-0", "node-2")
    look(serving)
    (job,) = jobs(serving)
    serving.apply_model(NAME, spec(serving={"replicas": 3}))
    serving.step(NAME)
    pod_without_node(serving)
    serving.step(NAME)
    assert job not in serving.names("Job")
    serving.delete("Pod", "chat-1")
    serving.settle(NAME)
    assert [each["verdict"] for each in verdicts(serving)] == ["Passed"], "it is made again once all pods answer"


def test_an_evaluation_that_fails_is_told_and_stalls_nothing(serving: World) -> None:
    on_a100(serving)
    look(serving)
    (job,) = jobs(serving)
    refusal = Refusal(reason="BadData", message="the texts are bad.", action="Mend them.")
    serving.finish_job(job, TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    serving.settle(NAME)
    stale = condition(serving, "VerdictStale")
    assert stale["reason"] == "DeviceNotJudged"
    assert "cannot be evaluated again: the texts are bad. Mend them." in stale["message"]
    assert condition(serving, "Ready")["status"] == "True"
    assert condition(serving, "Stalled") is None
    assert status(serving)["lastFailure"]["reason"] == "BadData"
    assert serving.step(NAME) is False


def test_a_comparison_and_a_further_verdict_follow_one_another(world: World) -> None:
    world.engine_image = lambda job: ONE
    world.apply_model(NAME, comparing())
    while served(world) is None:
        world.step(NAME)
        world.act()
    world.step(NAME)
    (name,) = (each for each in world.names("ModelEvaluation") if each.startswith("eval-"))
    evaluation = world.objects["ModelEvaluation", name]
    world.put(evaluation | {"status": evaluation["status"] | {"device": H100}})
    world.runs = lambda pod: ((), A100)
    add_serving_pod(world, "chat-1")
    busy: list[int] = []

    def count() -> None:
        running = [name for name in world.names("Job") if not world.objects["Job", name]["status"]]
        busy.append(sum(name.startswith(("eval-", "baseline-", "quantize-")) for name in running))

    world.settle(NAME, after=count)
    assert [each["device"] for each in verdicts(world)] == [A100]
    assert condition(world, "Compared")["status"] == "True"
    assert condition(world, "VerdictStale") is None
    assert max(busy[2:]) == 1


@pytest.mark.parametrize("kinds", [("ModelRevision",), ("QuantizedModel",), ("QuantizedModel", "ModelRevision")])
def test_a_wiped_status_starts_no_engine(serving: World, kinds: tuple[str, ...]) -> None:
    bad_again(serving)
    on_a100(serving)
    serving.settle(NAME)
    before, made = verdicts(serving), [each for each in serving.created if each[0] == "Job"]
    for kind, name in list(serving.objects):
        if kind in kinds:
            serving.objects[kind, name]["status"] = {}
            serving.put(serving.objects[kind, name])
    serving.settle(NAME)
    assert [each | {"time": ""} for each in verdicts(serving)] == [each | {"time": ""} for each in before]
    new = [name for kind, name in serving.created if kind == "Job"][len(made) :]
    assert [name for name in new if not name.startswith(f"{NAME}-prepare-")] == []


def test_a_name_that_is_taken_is_told_and_stalls_nothing(serving: World) -> None:
    on_a100(serving)
    while not again(serving):
        serving.step(NAME)
    name = again(serving)[0]["metadata"]["name"]
    serving.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {}, "status": {"x": 1}})
    look(serving)
    assert f"cannot be evaluated again: Job {name} is there already" in condition(serving, "VerdictStale")["message"]
    assert condition(serving, "Ready")["status"] == "True"
    assert condition(serving, "Stalled") is None


def test_another_generation_gives_it_up(serving: World) -> None:
    on_a100(serving)
    look(serving)
    assert jobs(serving)
    serving.apply_model(NAME, spec(candidates=[{"gptq": {"bits": 8}}]))
    serving.objects.pop(("Pod", "chat-1"))
    serving.objects.pop(("Pod", "chat-2"))
    serving.settle(NAME)
    assert (again(serving), jobs(serving)) == ([], [])


def test_a_pinned_revision_is_judged_again_too(serving: World) -> None:
    serving.apply_model(NAME, spec(serving={"revision": served(serving)}))
    serving.settle(NAME)
    on_a100(serving)
    serving.settle(NAME)
    assert [each["verdict"] for each in verdicts(serving)] == ["Passed"]


def test_deleting_the_model_leaves_nothing_behind(serving: World) -> None:
    on_a100(serving)
    look(serving)
    serving.delete("QuantizedModel", NAME)
    assert (again(serving), jobs(serving)) == ([], [])
