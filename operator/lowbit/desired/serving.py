"""Everything that serves one revision, in the order in which it is to be made."""

from __future__ import annotations

from lowbit.api.base import Digest
from lowbit.api.engines.base import EngineSettings
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.serving import Serving
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.guard import guard_config_map
from lowbit.desired.serving_network import (
    disruption_budget,
    network_policy,
    pod_monitor_manifest,
    service,
    service_account,
)
from lowbit.desired.serving_pod import deployment


def serving(
    namespace: str,
    owner: OwnerReference,
    name: str,
    revision_name: str,
    revision: ModelRevisionSpec,
    artifact: Digest | None,
    serving: Serving,
    engine: EngineSettings,
    store: ModelStoreSpec,
    platform: Platform,
    size_bytes: int,
    pod_monitor: bool,
) -> list[Manifest]:
    """Manifests of what serves `artifact`, or (None) the original as fallback.

    revision_name goes into the pods' label; size_bytes, the size of what is served, decides how long a start may take.
    """
    model = (
        EvaluatedModel(kind="Source", digest=revision.source.digest)
        if artifact is None
        else EvaluatedModel(kind="Artifact", digest=artifact)
    )
    guard = guard_config_map(name, namespace, owner, serving)
    return [
        service_account(namespace, owner, name),
        guard,
        network_policy(namespace, owner, name, store),
        service(namespace, owner, name),
        disruption_budget(namespace, owner, name),
        deployment(
            namespace, owner, name, revision_name, revision, model, serving, engine, store, platform, size_bytes,
            guard["metadata"]["name"],
        ),
        *([pod_monitor_manifest(namespace, owner, name)] if pod_monitor else []),
    ]  # fmt: skip
