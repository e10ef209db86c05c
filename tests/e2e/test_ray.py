"""A real Ray cluster of two pods, as the group of a served model starts it, from the engine's image.

vLLM's Ray executor has no CPU. So the leader's last program is one that only lives, and vLLM is started by hand beside
it, to see its own refusal.
"""

from __future__ import annotations

import json

import pytest

from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError
from images.build import build
from images.load import load
from images.targets import ALL
from lowbit.api.documents import EXIT_LOST
from lowbit.api.engine import Resources
from lowbit.api.engines import ResolvedEngine
from lowbit.api.engines.base import EngineSettings, Only
from lowbit.api.paths import BUSYBOX_PATH, MODEL_PATH
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest, OwnerReference, container_security, pod_security
from lowbit.desired.engine import engine_container
from lowbit.desired.group.member import Role, as_member, formed_probe
from lowbit.desired.group.token import token_secret
from lowbit.desired.jobs.evaluate import engine_mounts
from lowbit.desired.volumes import claim, pod_volumes, tools, volume_mounts
from tests.e2e.groups import container, kill, last_exit, one, ready
from tests.e2e.lab import CPU, Lab

MODEL, TOKEN = "shared", "a-token-that-only-the-group-has"
PART = "lowbit.dev/part"
LAY_OUT = """
from pathlib import Path
from lowbit.worker import fetch, member
fetch.lay_out(Path("/lowbit/tools/busybox"), Path(member.__file__))
"""
SPREAD = """
import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as At
ray.init(address="auto", logging_level="ERROR")
group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
ray.get(group.ready(), timeout=240)
where = ray.remote(num_cpus=1)(ray.util.get_node_ip_address)
found = [where.options(scheduling_strategy=At(group, placement_group_bundle_index=at)).remote() for at in (0, 1)]
print("ADDRESSES", *sorted(ray.get(found, timeout=240)))
"""
JOIN = "import ray; ray.init(address='auto', logging_level='ERROR'); print('JOINED', len(ray.nodes()))"
STRANGERS = {
    "without a token": "env -u RAY_AUTH_TOKEN -u RAY_AUTH_MODE",
    "with another token": "env RAY_AUTH_TOKEN=another",
}


@pytest.fixture(scope="module")
def references(lowbit: Cluster) -> dict[str, str]:
    return dict(load(build(ALL, None)))


def test_ray_holds_a_group_together_that_knows_its_members(lab: Lab, references: dict[str, str]) -> None:
    owner = OwnerReference("QuantizedModel", MODEL, "none")
    secret = token_secret(lab.namespace, owner) | {"stringData": {"token": TOKEN}}
    del secret["metadata"]["ownerReferences"]
    lab.apply(secret)
    lab.apply(member(references, "leader", ""))
    lab.wait("the leader has an address", lambda: address(lab, "leader") != "")
    lab.apply(member(references, "follower", address(lab, "leader")))
    both = f"ADDRESSES {' '.join(sorted(spread_over(lab)))}"
    lab.wait("a placement group is spread over both", lambda: both in python(lab, SPREAD))
    for who, environment in STRANGERS.items():
        assert "JOINED" not in python(lab, JOIN, environment), who
    assert "JOINED 2" in python(lab, JOIN)
    kill(lab, f"{PART}=follower")
    lab.wait("the leader has ended with it", lambda: container(one(lab, f"{PART}=leader")).get("restartCount", 0) > 0)
    assert last_exit(one(lab, f"{PART}=leader")) == EXIT_LOST
    lab.wait("the group is back", lambda: both in python(lab, SPREAD))
    assert all(ready(one(lab, f"{PART}={part}")) for part in ("leader", "follower"))
    vllm = f"vllm serve {MODEL_PATH} --pipeline-parallel-size 2 --distributed-executor-backend ray --enforce-eager"
    assert "does not support ray" in inside(lab, f"timeout 400 {vllm} 2>&1").lower()


def spread_over(lab: Lab) -> set[str]:
    lab.wait("both have an address", lambda: "" not in (address(lab, "leader"), address(lab, "follower")))
    return {address(lab, "leader"), address(lab, "follower")}


def address(lab: Lab, name: str) -> str:
    return str(((lab.get("pod", name) or {}).get("status") or {}).get("podIP") or "")


def python(lab: Lab, program: str, environment: str = "env") -> str:
    """What a program in the leader's container says."""
    return inside(lab, f"timeout 400 {environment} python3 -c '{program.replace(chr(39), chr(34))}' 2>&1")


def inside(lab: Lab, line: str) -> str:
    """What a shell in the leader's container says; nothing where it cannot be asked now."""
    try:
        return lab.kubectl("exec", "leader", "-c", "engine", "--", BUSYBOX_PATH, "sh", "-c", f"{line}; true")
    except StepError:
        return ""


def member(references: dict[str, str], name: str, leader: str) -> Manifest:
    """A pod of the group, as a Deployment or a StatefulSet would have it, but for the leader's last program."""
    settings = {
        "image": references["engine"], "device": "CPU", "tensorParallelSize": 1, "pipelineParallelSize": 2,
        "executor": "Ray", "dtype": "Auto", "gpuMemoryUtilization": "0.9", "args": [], "env": [],
    }  # fmt: skip
    engine, platform, only = ResolvedEngine.model_validate({"vllm": settings}), Platform(), Only(())
    mounts = engine_mounts(claim("sources", MODEL_PATH, read_only=True, sub_path="model"), EngineSettings())
    plain = engine_container(MODEL, engine, Resources.model_validate(CPU), platform, mounts, only=only)
    made = as_member(plain, Role(MODEL, engine, only, {"value": "1" if leader else "0"}, leader), platform)
    told = json.loads(made["args"][0].replace("$$", "$"))
    told["lead"][-1] = ["sleep", "1000000"]
    fetch = {
        "name": "fetch", "image": references["operator"], "command": ["python3", "-c", LAY_OUT],
        "volumeMounts": volume_mounts([tools()]), "securityContext": container_security(),
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {PART: name}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": pod_security(platform),
            "terminationGracePeriodSeconds": 5,
            "initContainers": [fetch],
            "containers": [made | {"args": [json.dumps(told)], "readinessProbe": formed_probe()}],
            "volumes": pod_volumes([tools(), *mounts]),
        },
    }
