"""A group of pods: each holds a part of the layers, and the leader answers for all."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.engines import ResolvedEngine, resolved_engine
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Context, Evaluation, JobRun, Served
from lowbit.desired.group import followers
from lowbit.desired.group.followers import Leader
from lowbit.desired.group.member import WAIT_SECONDS, Role, as_member, from_label, probe_of_any, size_of, waiting_longer
from lowbit.desired.group.network import evaluation_policy, evaluation_service
from lowbit.desired.jobs.evaluate import ENGINE, evaluate_job
from lowbit.desired.serving.pod import deployment, serving_only
from lowbit.desired.topology.base import EnginePod
from lowbit.desired.topology.one_pod import OnePod
from lowbit.naming.names import INDEX_LABEL


class Group(OnePod):
    """Leaders in a Deployment, as if there were nothing else; each with followers of its own beside it."""

    name = "group"

    def holds(self, engine: ResolvedEngine) -> bool:
        """Whether the engine's kind asks for a group."""
        kind, settings = resolved_engine(engine)
        return kind.group_size(settings) is not None

    def pods(self, engine: ResolvedEngine) -> tuple[EnginePod, ...]:
        """The leader, and the followers."""
        kind, settings = resolved_engine(engine)
        gpus = kind.devices(settings)
        return (EnginePod("leader", gpus), *(EnginePod("follower", gpus) for _ in range(1, size_of(engine))))

    def workloads(
        self, context: Context, owner: OwnerReference, name: str, served: Served, guard: str
    ) -> list[Manifest]:
        """The Deployment of the leaders."""
        made, engine = deployment(context, owner, name, served, guard), served.revision.engine
        only = serving_only(served)
        pod = made["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        leader = as_member(container, Role(name, engine, only, {"value": "0"}), context.platform)
        pod["containers"] = [leader | {"startupProbe": waiting_longer(container["startupProbe"])}]
        made["spec"]["progressDeadlineSeconds"] += WAIT_SECONDS
        return [made]

    def followers(self, context: Context, name: str, served: Served, leader: Leader) -> Manifest | None:
        """A StatefulSet that goes with the leader's pod; none for a group of one."""
        alone = size_of(served.revision.engine) == 1
        return None if alone else followers.followers(context, name, served, leader)

    def evaluation(
        self, context: Context, owners: Sequence[OwnerReference], evaluation: Evaluation, run: JobRun
    ) -> Manifest:
        """An Indexed Job of as many pods: it has ended when the first one has, beside whose engine the evaluator is."""
        made, spec = evaluate_job(context, owners, evaluation, run), evaluation.spec
        kind, settings = resolved_engine(spec.engine)
        size, pod = size_of(spec.engine), made["spec"]["template"]["spec"]
        made["spec"] |= {
            "completionMode": "Indexed", "completions": size, "parallelism": size,
            "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
        }  # fmt: skip
        pod["subdomain"] = evaluation.name
        leader, only = f"{run.name}-0.{evaluation.name}", kind.measuring(settings)
        role = Role(evaluation.revision.quantized_model, spec.engine, only, from_label(INDEX_LABEL), leader)
        pod["initContainers"] = [
            as_member(each, role, context.platform)
            | {"startupProbe": waiting_longer(probe_of_any(each["startupProbe"]))}
            if each["name"] == ENGINE
            else each
            for each in pod["initContainers"]
        ]
        return made

    def beside_evaluation(self, namespace: str, owner: OwnerReference, evaluation: str) -> list[Manifest]:
        """The names of the Job's pods, and who may reach them."""
        return [evaluation_service(namespace, owner, evaluation), evaluation_policy(namespace, owner, evaluation)]
