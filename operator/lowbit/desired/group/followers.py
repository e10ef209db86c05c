"""The other pods of a group that serves: a StatefulSet for each leader's pod, which goes with it."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.documents import FetchDocument
from lowbit.desired.common import Manifest, pod_security
from lowbit.desired.context import Context, Served
from lowbit.desired.engine import engine_container
from lowbit.desired.group.member import ORDINAL_LABEL, Role, as_member, formed_probe, from_label, size_of
from lowbit.desired.jobs.document import document_annotations
from lowbit.desired.jobs.evaluate import engine_mounts, fetch_container, fetch_mounts
from lowbit.desired.jobs.queue import queue_labels
from lowbit.desired.probes import grace_seconds
from lowbit.desired.serving.pod import member_labels, pod_placement, serving_only
from lowbit.desired.volumes import model_mount, pod_volumes, store_access
from lowbit.naming.names import FETCH_ANNOTATION, GROUP_LABEL, LEADER_ANNOTATION, REVISION_LABEL, followers_name


@dataclass(frozen=True)
class Leader:
    """The pod whose engine answers."""

    name: str
    uid: str
    address: str


def followers(context: Context, name: str, served: Served, leader: Leader) -> Manifest:
    """The StatefulSet. Its pods have the numbers from 1, and are made and lost in any order.

    Kubernetes removes it after its owner, the leader's pod: until then the leader's engine finishes its requests.
    """
    own, serving = followers_name(name, leader.uid), served.serving
    labels = member_labels(name) | {REVISION_LABEL: served.label, GROUP_LABEL: own}
    document = FetchDocument(store=store_access(context.store, context.namespace), model=served.model)
    annotations = document_annotations(f"StatefulSet {own}", {FETCH_ANNOTATION: document})
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": own,
            "namespace": context.namespace,
            "labels": labels | queue_labels(serving.queue_name, serving.workload_priority_class_name),
            "annotations": {LEADER_ANNOTATION: leader.address},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": leader.name, "uid": leader.uid, "controller": True}
            ],
        },
        "spec": {
            "replicas": size_of(served.revision.engine) - 1,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "ordinals": {"start": 1},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {GROUP_LABEL: own}},
            "template": {
                "metadata": {"labels": labels, "annotations": dict(serving.pod.annotations) | annotations},
                "spec": _pod(context, name, served, leader),
            },
        },
    }


def _pod(context: Context, name: str, served: Served, leader: Leader) -> Manifest:
    platform, serving, revision = context.platform, served.serving, served.revision
    mount = model_mount(context.store, served.model)
    fetch, mounts = fetch_mounts(mount, context.store, platform), engine_mounts(mount, served.engine)
    only = serving_only(served)
    container = engine_container(name, revision.engine, served.engine.resources, platform, mounts, only=only)
    role = Role(name, revision.engine, only, from_label(ORDINAL_LABEL), leader.address)
    member = as_member(container, role, platform)
    return {
        "securityContext": pod_security(platform),
        "terminationGracePeriodSeconds": grace_seconds(serving.drain_seconds),
        "initContainers": [fetch_container(revision.images.operator, platform, fetch)],
        "containers": [member | {"readinessProbe": formed_probe()}],
        "volumes": pod_volumes([*fetch, *mounts]),
    } | pod_placement(name, serving, platform)
