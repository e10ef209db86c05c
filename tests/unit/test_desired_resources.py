"""Requests and limits of every container: the manifest's, else the platform's; and GPUs under one name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lowbit.api.engine import Resources
from lowbit.api.platform import Containers, Platform
from lowbit.desired.common import Gpus, Manifest, resources
from lowbit.resolve.freeze import frozen_platform, serving_platform
from tests.unit import desired_inputs as inputs

MIG = "nvidia.com/mig-1g.10gb"
ONE = Gpus(1, "nvidia.com/gpu")
SMALL = Resources(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "4", "memory": "4Gi"})


def needs(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> Manifest:
    """With defaults of 1 to 4 CPUs and GiB."""
    return resources(Resources(requests=requests or {}, limits=limits or {}), SMALL, **more) or {}


def containers(store: Any) -> Iterator[tuple[str, Manifest]]:
    """Every container of every pod that is made."""
    for manifest in inputs.everything(store):
        if manifest["kind"] in ("Job", "Deployment"):
            pod = manifest["spec"]["template"]["spec"]
            for each in [*pod.get("initContainers", ()), *pod["containers"]]:
                yield f"{manifest['kind']} {manifest['metadata']['name']}: {each['name']}", each


@pytest.mark.parametrize("store", [inputs.PVC, inputs.S3], ids=["pvc", "s3"])
def test_every_container_has_requests_and_limits_for_cpu_and_memory(store: Any) -> None:
    seen = set()
    for name, container in containers(store):
        seen.add(name.rpartition(" ")[2])
        for part in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][part]), (name, part)
    assert seen == {"worker", "fetch", "engine", "guard"}


def test_what_the_manifest_says_counts_and_the_rest_is_the_platforms() -> None:
    assert needs() == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "4", "memory": "4Gi"}}
    assert needs(requests={"cpu": "2"})["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert needs(limits={"memory": "2Gi"})["limits"] == {"memory": "2Gi", "cpu": "4"}


def test_a_request_is_never_above_its_limit() -> None:
    assert needs(requests={"memory": "16Gi"})["limits"]["memory"] == "16Gi", "the manifest's raises the default"
    assert needs(limits={"memory": "512Mi"})["requests"]["memory"] == "512Mi", "as Kubernetes does"
    again = needs(limits={"memory": "512Mi"}, memory_limit="32Gi")
    assert again["requests"]["memory"] == again["limits"]["memory"] == "32Gi"


@pytest.mark.parametrize(
    "name", [MIG, "amd.com/gpu", "amd.com/cpx_nps4", "gpu.intel.com/i915", "nvidia.com/gpu.shared", "habana.ai/gaudi",
             "google.com/tpu", "aws.amazon.com/neuron", "huawei.com/Ascend910"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["requests", "limits"])
def test_an_accelerator_in_the_manifest_replaces_the_gpu(name: str, part: str) -> None:
    found = needs(**{part: {name: "2"}}, gpus=ONE)
    for each in ("requests", "limits"):
        assert found[each][name] == "2", "Kubernetes wants both to be the same"
        assert "nvidia.com/gpu" not in found[each]


@pytest.mark.parametrize("name", ["rdma/hca", "vpc.amazonaws.com/efa", "nvidia.com/gpumem", "ephemeral-storage"])
def test_what_is_no_accelerator_is_asked_for_beside_the_gpu(name: str) -> None:
    found = needs(limits={name: "2"}, gpus=ONE)
    assert (found["limits"][name], found["limits"]["nvidia.com/gpu"]) == ("2", "1")


def test_the_platforms_own_name_is_counted_by_lowbit() -> None:
    found = needs(limits={"amd.com/gpu": "1"}, gpus=Gpus(4, "amd.com/gpu"))
    assert found["limits"]["amd.com/gpu"] == "4"


def test_without_a_gpu_none_is_asked_for() -> None:
    assert "nvidia.com/gpu" not in needs(gpus=Gpus(0, "nvidia.com/gpu"))["limits"]


def test_a_slice_is_asked_for_in_evaluation_serving_and_quantization() -> None:
    engine = {"vllm": {"image": "engine:1", "resources": {"limits": {MIG: 1}}}}
    model = inputs.spec(engine=engine, jobs={"quantize": {"resources": {"limits": {MIG: 1}}}})
    (deployment,) = [each for each in inputs.serve(model=model) if each["kind"] == "Deployment"]
    for manifest, name in ((inputs.evaluate(model=model), "engine"), (deployment, "engine"),
                           (inputs.quantize(model=model), "worker")):  # fmt: skip
        limits = inputs.container(manifest, name)["resources"]["limits"]
        assert limits[MIG] == "1"
        assert "nvidia.com/gpu" not in limits


def test_a_revision_keeps_what_its_serving_pods_were_made_with() -> None:
    revision = inputs.revision_spec()
    other = Platform(containers=Containers(engine=SMALL, quantize=SMALL))
    assert serving_platform(revision, other, Resources()).containers.engine == inputs.PLATFORM.containers.engine
    assert frozen_platform(revision, other).containers == other.containers, "a Job takes what is set now"


def test_a_revision_of_before_is_served_as_it_was() -> None:
    before = inputs.revision_spec().model_copy(
        update={"platform": inputs.revision_spec().platform.model_copy(update={"containers": None})}
    )
    served = serving_platform(before, Platform(), Resources()).containers
    assert served.engine == Resources()
    assert served.guard.limits == {"memory": "512Mi"}
    asked = Resources(limits={"memory": "1Gi"})
    guard = serving_platform(before, Platform(), asked).containers.guard
    assert resources(asked, guard) == {"limits": {"memory": "1Gi"}}
