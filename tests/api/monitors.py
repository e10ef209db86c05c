"""The Prometheus operator's kind, as small as it can be."""

from __future__ import annotations

from typing import Any

from tests.api.operator_process import Cluster, wait_for

NAME = "podmonitors.monitoring.coreos.com"
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {
            "kind": "PodMonitor",
            "listKind": "PodMonitorList",
            "plural": "podmonitors",
            "singular": "podmonitor",
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def install(cluster: Cluster) -> None:
    """The cluster knows PodMonitors from now on."""
    cluster.apply(CRD)
    wait_for("the kind is served", lambda: _established(cluster))


def _established(cluster: Cluster) -> bool:
    status = (cluster.get("CustomResourceDefinition", "", NAME) or {}).get("status", {})
    conditions = status.get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def remove(cluster: Cluster) -> None:
    """The cluster knows them no more, and none is left."""
    cluster.kubectl("delete", "crd", NAME, "--ignore-not-found", "--wait=true", "--timeout=60s")
