"""One pod: the processes of an engine share its GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.engines import ResolvedEngine, resolved_engine
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Context, Evaluation, JobRun, Served
from lowbit.desired.jobs.evaluate import evaluate_job
from lowbit.desired.serving.pod import deployment
from lowbit.desired.topology.base import EnginePod, Topology


class OnePod(Topology):
    """One pod per engine, served by a Deployment."""

    name = "onePod"
    workload_kinds = ("Deployment",)

    def holds(self, engine: ResolvedEngine) -> bool:
        """Always true: it fits every engine."""
        return True

    def pods(self, engine: ResolvedEngine) -> tuple[EnginePod, ...]:
        """One pod with all GPUs."""
        kind, settings = resolved_engine(engine)
        return (EnginePod("engine", kind.devices(settings)),)

    def workloads(
        self, context: Context, owner: OwnerReference, name: str, served: Served, guard: str
    ) -> list[Manifest]:
        """The Deployment."""
        return [deployment(context, owner, name, served, guard)]

    def without_pods(self, workload: Manifest) -> Manifest:
        """The Deployment with no replicas."""
        return {**workload, "spec": {**workload["spec"], "replicas": 0}}

    def paused(self, workload: Manifest) -> Manifest:
        """The Deployment, paused: its controller keeps the one ReplicaSet that has replicas as it is."""
        return {**workload, "spec": {**workload["spec"], "paused": True}}

    def evaluation(
        self, context: Context, owners: Sequence[OwnerReference], evaluation: Evaluation, run: JobRun
    ) -> Manifest:
        """The engine is a sidecar of the evaluator."""
        return evaluate_job(context, owners, evaluation, run)
