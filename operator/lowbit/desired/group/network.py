"""By what the pods of a group find each other, and that nobody else reaches them."""

from __future__ import annotations

from lowbit.desired.common import Manifest, OwnerReference, labels, metadata
from lowbit.naming.names import EVALUATION_LABEL


def evaluation_service(namespace: str, owner: OwnerReference, evaluation: str) -> Manifest:
    """Names for the pods of an evaluation's Jobs, from their start on."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(evaluation, namespace, [owner], labels(component="job") | {EVALUATION_LABEL: evaluation}),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {EVALUATION_LABEL: evaluation},
        },
    }


def evaluation_policy(namespace: str, owner: OwnerReference, evaluation: str) -> Manifest:
    """Only the pods of one evaluation reach each other."""
    mine = {"matchLabels": {EVALUATION_LABEL: evaluation}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(evaluation, namespace, [owner], labels(component="job") | {EVALUATION_LABEL: evaluation}),
        "spec": {"podSelector": mine, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": mine}]}]},
    }
