"""Every pod that Lowbit makes, and the folders of its containers on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowbit.api.engines import engine_of
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.desired.context import Evaluation, Served
from lowbit.desired.group.followers import Leader
from lowbit.desired.topology import topology_of
from lowbit.naming.names import evaluation_name
from lowbit.resolve.freeze import candidate_spec
from tests.unit import desired_inputs as inputs

Manifest = dict[str, Any]
ENGINES: tuple[Manifest, ...] = (
    {"tensorParallelSize": 2}, {"pipelineParallelSize": 2}, {"pipelineParallelSize": 2, "executor": "Ray"},
)  # fmt: skip
"""Of every topology."""
STORES = tuple(inputs.STORES)


def pods(store: str) -> Iterator[tuple[str, Manifest]]:
    """The pod specs of every stage, of serving and of every topology, each with a name for messages."""
    spec = inputs.STORES[store]
    made = [*inputs.everything(spec), *inputs.serve(spec, artifact=None), *topologies(store)]
    for manifest in made:
        if "template" in manifest.get("spec", {}):
            yield f"{manifest['kind']} {manifest['metadata']['name']}", inputs.pod_template(manifest)["spec"]


def topologies(store: str) -> Iterator[Manifest]:
    """What the topologies make for evaluation and for serving."""
    for engine in ENGINES:
        model = inputs.spec(engine={"vllm": engine})
        frozen = inputs.revision_spec(model)
        context, settings = inputs.context(inputs.STORES[store]), engine_of(model.engine)[1]
        asked = candidate_spec(frozen, inputs.ARTIFACT)
        evaluation = Evaluation(evaluation_name(asked), asked, frozen, settings)
        assert model.serving is not None
        artifact = EvaluatedModel(kind="Artifact", digest=inputs.ARTIFACT)
        served = Served("support-chat-0123456789", frozen, artifact, 5_000_000_000, model.serving, settings)
        topology = topology_of(frozen.engine)
        run = inputs.run("eval-x", model.jobs.evaluate)
        yield topology.evaluation(context, [inputs.SHARER], evaluation, run)
        yield from topology.workloads(context, inputs.OWNER, inputs.NAME, served, "guard")
        followers = topology.followers(context, inputs.NAME, served, Leader("support-chat-1", "uid-1", "10.0.0.7"))
        yield from [followers] if followers is not None else []


def containers(pod: Manifest) -> list[Manifest]:
    """Init containers and containers."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def container(pod: Manifest, name: str) -> Manifest:
    (found,) = [each for each in containers(pod) if each["name"] == name]
    return found


def writable(container_: Manifest) -> dict[str, str]:
    """Mount path by volume, of what the container may write."""
    return {each["name"]: each["mountPath"] for each in container_["volumeMounts"] if not each.get("readOnly")}


def variables(container_: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container_.get("env", ())}


def workers(pod: Manifest) -> list[Manifest]:
    """The containers that run Lowbit's worker."""
    return [each for each in containers(pod) if "lowbit.worker" in each.get("command", ())]


class Node:
    """Folders on this machine in place of a pod's volumes."""

    def __init__(self, root: Path, pod: Manifest) -> None:
        self.root = root
        for volume in pod["volumes"]:
            (root / volume["name"]).mkdir()

    def path(self, container_: Manifest, inside: str) -> Path | None:
        """Where a container's path is here; None if it lies on no volume."""
        mounts = sorted(container_["volumeMounts"], key=lambda each: len(each["mountPath"]), reverse=True)
        for mount in mounts:
            if Path(inside).is_relative_to(mount["mountPath"]):
                return self.root / str(mount["name"]) / Path(inside).relative_to(mount["mountPath"])
        return None
