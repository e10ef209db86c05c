"""The guard: its ConfigMap, its container, and how a pod is drained through it. docs/design/guard.md says why."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import yaml

from lowbit.api.paths import GUARD_PORT, METRICS_PORT
from lowbit.api.platform import Platform
from lowbit.api.references import SecretKeyReference
from lowbit.api.serving import Serving
from lowbit.desired.common import (
    Manifest,
    OwnerReference,
    container_security,
    environment,
    labels,
    metadata,
    resources,
    without_empty,
)
from lowbit.desired.guard.config import KEY_PATH, bootstrap
from lowbit.desired.volumes import READ_BY_GROUP, Mount, volume_mounts
from lowbit.naming.canonical import digest, short
from lowbit.naming.names import MODEL_LABEL

CONFIG_PATH = "/etc/guard/config/envoy.yaml"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, so that a person can read the Lua."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


@cache  # only two texts, needed at every reconcile, and YAML is slow
def _configuration(with_key: bool) -> str:
    return yaml.dump(bootstrap(with_key), Dumper=_Dumper, sort_keys=False, width=120)


def guard_config_map(name: str, namespace: str, owner: OwnerReference, serving: Serving) -> Manifest:
    """The immutable ConfigMap of the serving pods: the guard's configuration, by whose hash it is named."""
    data = {"envoy.yaml": _configuration(serving.api_key_secret_ref is not None)}
    labels_ = labels(component="serving") | {MODEL_LABEL: name}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(f"{name}-guard-{short(digest('guard', data))}", namespace, [owner], labels_),
        "immutable": True,
        "data": data,
    }


def guard_mounts(config_map_name: str, key: SecretKeyReference | None) -> list[Mount]:
    """The configuration, and the Secret's key as a file that the kubelet keeps up to date."""
    folder = CONFIG_PATH.rpartition("/")[0]
    items = [{"key": "envoy.yaml", "path": "envoy.yaml"}]
    mounts = [Mount("guard-config", {"configMap": {"name": config_map_name, "items": items}}, folder, True)]
    if key is not None:
        items = [{"key": key.key, "path": KEY_PATH.rpartition("/")[2]}]
        source = {"secret": {"secretName": key.name, "items": items, "defaultMode": READ_BY_GROUP}}
        mounts.append(Mount("guard-key", source, KEY_PATH.rpartition("/")[0], True))
    return mounts


def guard_container(image: str, serving: Serving, platform: Platform, mounts: Sequence[Mount]) -> Manifest:
    """A native sidecar: it starts before the engine, and outlives it, so that the last answers get out."""
    return {
        "name": "guard",
        "image": image,
        "imagePullPolicy": platform.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["/usr/local/bin/envoy"],
        "args": ["-c", CONFIG_PATH, "--concurrency", "2", "--log-level", "warning", "--disable-hot-restart"],
        "ports": [
            {"name": "http", "containerPort": GUARD_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "startupProbe": {"tcpSocket": {"port": GUARD_PORT}, "periodSeconds": 1, "failureThreshold": 120},
        "livenessProbe": {"tcpSocket": {"port": GUARD_PORT}, "periodSeconds": 10, "failureThreshold": 6},
        "resources": resources(serving.pod.resources, platform.containers.guard),
        "volumeMounts": volume_mounts(mounts),
        "securityContext": container_security(),
    } | without_empty({"env": environment({}, serving.pod.env)})
