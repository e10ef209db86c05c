"""The kinds that the operator uses, and their API paths. All of them are namespaced."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from lowbit.api.base import API_VERSION


@dataclass(frozen=True)
class Resource:
    """One kind: apiVersion and kind as in a manifest, plural as in a URL."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """v1, v1alpha1, ..."""
        return self.api_version.rpartition("/")[2]

    @property
    def group_path(self) -> str:
        """Path of the group and version: /api/v1, /apis/batch/v1."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection, of one object, or of its subresource; namespace None is all of them."""
        parts = [self.group_path]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
        return "/".join(parts)


RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        Resource(API_VERSION, "QuantizedModel", "quantizedmodels"),
        Resource(API_VERSION, "ModelStore", "modelstores"),
        Resource(API_VERSION, "ModelRevision", "modelrevisions"),
        Resource(API_VERSION, "ModelEvaluation", "modelevaluations"),
        Resource("batch/v1", "Job", "jobs"),
        Resource("apps/v1", "Deployment", "deployments"),
        Resource("apps/v1", "ReplicaSet", "replicasets"),
        Resource("apps/v1", "StatefulSet", "statefulsets"),
        Resource("v1", "Pod", "pods"),
        Resource("v1", "ConfigMap", "configmaps"),
        Resource("v1", "Secret", "secrets"),
        Resource("v1", "Service", "services"),
        Resource("v1", "ServiceAccount", "serviceaccounts"),
        Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
        Resource("coordination.k8s.io/v1", "Lease", "leases"),
        Resource("events.k8s.io/v1", "Event", "events"),
        Resource("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
    )
}

OWN_KINDS = ("QuantizedModel", "ModelStore", "ModelRevision", "ModelEvaluation")
"""Lowbit's own kinds: all their objects are watched."""
SHARED_KINDS = (
    "Job",
    "Deployment",
    "StatefulSet",
    "Pod",
    "ConfigMap",
    "Service",
    "ServiceAccount",
    "PodDisruptionBudget",
    "NetworkPolicy",
)
"""Kinds that others use too: only objects with Lowbit's label are watched."""
OPTIONAL_KINDS = ("PodMonitor",)
"""Kinds that are watched only if the cluster has them."""
