"""Everything that serves one revision, in the order in which it is to be made."""

from __future__ import annotations

from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Context, Served
from lowbit.desired.guard.container import guard_config_map
from lowbit.desired.serving.network import (
    disruption_budget,
    network_policy,
    pod_monitor_manifest,
    service,
    service_account,
)
from lowbit.desired.topology import topology_of


def serving(context: Context, owner: OwnerReference, name: str, served: Served, *, pod_monitor: bool) -> list[Manifest]:
    """Manifests of what serves a revision's artifact, or the original as fallback."""
    namespace, topology = context.namespace, topology_of(served.revision.engine)
    guard = guard_config_map(name, namespace, owner, served.serving)
    return [
        service_account(namespace, owner, name),
        guard,
        network_policy(namespace, owner, name, context.store, group=len(topology.pods(served.revision.engine)) > 1),
        service(namespace, owner, name),
        disruption_budget(namespace, owner, name),
        *topology.workloads(context, owner, name, served, guard["metadata"]["name"]),
        *([pod_monitor_manifest(namespace, owner, name)] if pod_monitor else []),
    ]
