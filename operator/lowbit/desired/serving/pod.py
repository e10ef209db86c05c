"""The serving Deployment: fetch verifies, the engine answers on loopback, the guard stands in front."""

from __future__ import annotations

from dataclasses import replace

from lowbit.api.documents import FetchDocument
from lowbit.api.engines import resolved_engine
from lowbit.api.engines.base import Only
from lowbit.api.platform import Platform
from lowbit.api.pods import PodOptions
from lowbit.api.serving import Serving
from lowbit.desired.common import Manifest, OwnerReference, labels, metadata, placement, pod_security
from lowbit.desired.context import Context, Served
from lowbit.desired.engine import engine_container
from lowbit.desired.guard.container import guard_container, guard_mounts
from lowbit.desired.jobs.document import document_annotations
from lowbit.desired.jobs.evaluate import engine_mounts, fetch_container, fetch_mounts
from lowbit.desired.jobs.queue import queue_labels
from lowbit.desired.probes import (
    drain_hook,
    grace_seconds,
    liveness_probe,
    readiness_probe,
    startup_probe,
    startup_seconds,
)
from lowbit.desired.volumes import model_mount, pod_volumes, store_access
from lowbit.naming.names import FETCH_ANNOTATION, MODEL_LABEL, REVISION_LABEL

PULL_SECONDS = 1800
"""How long image and model may take to come to a node before a rollout counts as stalled."""


def selector(name: str) -> dict[str, str]:
    """Labels of the serving pods of one QuantizedModel, whatever the revision."""
    return {MODEL_LABEL: name, "app.kubernetes.io/component": "serving"}


def serving_labels(name: str) -> dict[str, str]:
    """Labels of everything that serves one QuantizedModel."""
    return labels(component="serving", name=name) | {MODEL_LABEL: name}


def member_labels(name: str) -> dict[str, str]:
    """Labels of the pods of a group that do not answer themselves: no Service leads to them."""
    return labels(component="serving-member", name=name) | {MODEL_LABEL: name}


def pod_placement(name: str, serving: Serving, platform: Platform) -> Manifest:
    """Where a pod runs that holds an engine, or a part of one."""
    return placement(_with_account(name, serving), platform)


def deployment(context: Context, owner: OwnerReference, name: str, served: Served, config_map: str) -> Manifest:
    """The Deployment. config_map: name of what guard_config_map() makes."""
    labels_, serving = serving_labels(name), served.serving
    documents = {
        FETCH_ANNOTATION: FetchDocument(store=store_access(context.store, context.namespace), model=served.model)
    }
    template = {
        "metadata": {
            "labels": labels_ | {REVISION_LABEL: served.label},
            "annotations": dict(serving.pod.annotations) | document_annotations(f"Deployment {name}", documents),
        },
        "spec": _pod(context, name, served, config_map),
    }
    queue = queue_labels(serving.queue_name, serving.workload_priority_class_name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, context.namespace, [owner], labels_ | {REVISION_LABEL: served.label} | queue),
        "spec": {
            "replicas": serving.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": startup_seconds(served.size_bytes) + PULL_SECONDS,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector(name)},
            "template": template,
        },
    }


def _pod(context: Context, name: str, served: Served, config_map: str) -> Manifest:
    platform, serving, revision = context.platform, served.serving, served.revision
    mount = model_mount(context.store, served.model)
    fetch = fetch_mounts(mount, context.store, platform)
    guard = guard_mounts(config_map, serving.api_key_secret_ref)
    mounts = engine_mounts(mount, served.engine)
    only = serving_only(served)
    container = engine_container(name, revision.engine, served.engine.resources, platform, mounts, only=only) | {
        "startupProbe": startup_probe(revision.engine, name, served.size_bytes),
        "readinessProbe": readiness_probe(),
        "livenessProbe": liveness_probe(),
        "lifecycle": drain_hook(serving.drain_seconds),
    }
    return {
        "securityContext": pod_security(platform),
        "terminationGracePeriodSeconds": grace_seconds(serving.drain_seconds),
        "initContainers": [
            fetch_container(revision.images.operator, platform, fetch),
            guard_container(revision.images.guard, serving, platform, guard),
        ],
        "containers": [container],
        "volumes": pod_volumes([*fetch, *guard, *mounts]),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(name)},
            }
        ],
    } | pod_placement(name, serving, platform)


def serving_only(served: Served) -> Only:
    """What only serving adds to the engine, with the manifest's settings of now that change no answer."""
    kind, settings = resolved_engine(served.revision.engine)
    only = kind.serving(served.serving.drain_seconds)
    if not isinstance(served.engine, kind.spec):
        return only  # the manifest names another engine now; this revision serves until that one has passed
    return replace(only, arguments=(*only.arguments, *kind.beside_answers(served.engine, settings)))


def _with_account(name: str, serving: Serving) -> PodOptions:
    """The pod options. Unless the user names an account, pods have the model's own, which has no rights."""
    account = serving.pod.service_account_name or name
    return serving.pod.model_copy(update={"service_account_name": account})
