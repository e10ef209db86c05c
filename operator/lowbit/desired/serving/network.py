"""Objects around the serving pods: Service, NetworkPolicy, disruption budget, account and PodMonitor."""

from __future__ import annotations

from urllib.parse import urlsplit

from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.paths import GUARD_PORT, METRICS_PORT
from lowbit.desired.common import Manifest, OwnerReference, metadata
from lowbit.desired.serving.pod import member_labels, selector, serving_labels
from lowbit.naming.names import MODEL_LABEL

METADATA_ADDRESS = "169.254.169.254/32"
"""Address at which clouds give a pod its identity."""
HTTPS_PORT = 443
HTTP_PORT = 80
DNS_PORT = 53


def service_account(namespace: str, owner: OwnerReference, name: str) -> Manifest:
    """An account without rights, whose token no pod gets."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name, namespace, [owner], serving_labels(name)),
        "automountServiceAccountToken": False,
    }


def service(namespace: str, owner: OwnerReference, name: str) -> Manifest:
    """The Service: port 80 leads to the guard."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, namespace, [owner], serving_labels(name)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(name),
            "ports": [
                {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
            ],
        },
    }


def disruption_budget(namespace: str, owner: OwnerReference, name: str) -> Manifest:
    """At most one pod unavailable. With one replica a node can still be drained; a broken pod never blocks that."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, namespace, [owner], serving_labels(name)),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(name)},
        },
    }


def network_policy(namespace: str, owner: OwnerReference, name: str, store: ModelStoreSpec, *, group: bool) -> Manifest:
    """Ingress: the guard's two ports. Egress: none or, with an s3 store, DNS and the store.

    group: the pods belong to groups, whose members reach each other, and whom nobody else reaches.
    """
    ports = [{"port": port, "protocol": "TCP"} for port in (GUARD_PORT, METRICS_PORT)]
    spec: Manifest = {
        "podSelector": {"matchLabels": selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": ports}],
    }
    if store.s3 is not None:
        spec["egress"] = _egress(store.s3.endpoint, store.s3.credentials_secret_ref is not None)
    if group:
        components = [each["app.kubernetes.io/component"] for each in (serving_labels(name), member_labels(name))]
        every = {
            "matchLabels": {MODEL_LABEL: name},
            "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": components}],
        }
        spec["podSelector"] = every
        spec["ingress"].append({"from": [{"podSelector": every}]})
        spec["egress"] = [*spec.get("egress", ()), {"to": [{"podSelector": every}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, namespace, [owner], serving_labels(name)),
        "spec": spec,
    }


def pod_monitor_manifest(namespace: str, owner: OwnerReference, name: str) -> Manifest:
    """The engine's metrics and the guard's own, for the Prometheus operator."""
    paths = ("/metrics", "/stats/prometheus")
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(name, namespace, [owner], serving_labels(name)),
        "spec": {
            "selector": {"matchLabels": selector(name)},
            "podTargetLabels": ["lowbit.dev/quantizedmodel", "lowbit.dev/revision"],
            "podMetricsEndpoints": [{"port": "metrics", "path": path, "interval": "15s"} for path in paths],
        },
    }


def _egress(endpoint: str | None, has_credentials: bool) -> list[Manifest]:
    """DNS, the store's port and, without a Secret, the endpoints of the pod's cloud identity."""
    names = {"ports": [{"port": DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    store = {"ports": [{"port": _port(endpoint), "protocol": "TCP"}]}
    if has_credentials:
        return [names, store]
    identity = {"to": [{"ipBlock": {"cidr": METADATA_ADDRESS}}], "ports": [{"port": HTTP_PORT, "protocol": "TCP"}]}
    tokens = {"ports": [{"port": HTTPS_PORT, "protocol": "TCP"}]}
    return [names, store, identity, *([tokens] if _port(endpoint) != HTTPS_PORT else [])]


def _port(endpoint: str | None) -> int:
    if endpoint is None:
        return HTTPS_PORT
    parts = urlsplit(endpoint)
    return parts.port or (HTTPS_PORT if parts.scheme == "https" else HTTP_PORT)
