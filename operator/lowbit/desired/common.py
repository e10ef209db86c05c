"""What every manifest shares: metadata, owner references, security contexts, resources, and placement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowbit.api.base import API_VERSION
from lowbit.api.engine import EnvironmentVariable, Resources
from lowbit.api.paths import CA_BUNDLE_PATH, SCRATCH_PATH
from lowbit.api.platform import Platform
from lowbit.api.pods import PodOptions
from lowbit.api.quantity import quantity
from lowbit.naming.names import MANAGED_BY, MANAGED_BY_LABEL

Manifest = dict[str, Any]


@dataclass(frozen=True)
class OwnerReference:
    """A reference to one of Lowbit's own objects as owner. At most one owner of an object may be its controller."""

    kind: str
    name: str
    uid: str
    controller: bool = False

    def manifest(self) -> Manifest:
        """The entry in metadata.ownerReferences."""
        reference = {"apiVersion": API_VERSION, "kind": self.kind, "name": self.name, "uid": self.uid}
        return reference | ({"controller": True} if self.controller else {})


def labels(**more: str) -> dict[str, str]:
    """The labels of everything that Lowbit makes; keyword `component` becomes app.kubernetes.io/component."""
    return {MANAGED_BY_LABEL: MANAGED_BY} | {f"app.kubernetes.io/{key}": value for key, value in more.items()}


def metadata(
    name: str,
    namespace: str,
    owners: Sequence[OwnerReference],
    labels_: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """metadata, without empty members."""
    whole: Manifest = {
        "name": name,
        "namespace": namespace,
        "labels": dict(labels_),
        "annotations": dict(annotations or {}),
        "ownerReferences": [owner.manifest() for owner in owners],
    }
    return without_empty(whole)


def without_empty(whole: Mapping[str, Any]) -> Manifest:
    """The members that are not empty. The API server drops empty ones, so every comparison would find a difference."""
    return {key: value for key, value in whole.items() if value not in (None, {}, [], "")}


def pod_security(platform: Platform) -> Manifest:
    """The pod's security context under restricted Pod Security; volumes belong to the same numeric group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": platform.run_as_user,
        "runAsGroup": platform.run_as_user,
        "fsGroup": platform.run_as_user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """The container's security context under restricted Pod Security, with a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


@dataclass(frozen=True)
class Gpus:
    """GPUs that a container asks for."""

    count: int
    resource: str
    """The platform's resource name for them."""


def resources(
    asked: Resources, default: Resources, *, gpus: Gpus | None = None, memory_limit: str | None = None
) -> Manifest | None:
    """Requests and limits: the manifest's, the platform's defaults for what it leaves out, and GPUs.

    memory_limit replaces both the request and the limit of memory.
    """
    requests, limits = dict(asked.requests), dict(asked.limits)
    for name in dict.fromkeys((*default.requests, *default.limits)):
        if name in asked.limits:
            requests.setdefault(name, asked.limits[name])  # as Kubernetes does
            continue
        if name in default.limits:
            # A request above the default limit is what the manifest wants.
            limits[name] = max(default.limits[name], asked.requests.get(name, "0"), key=quantity)
        if name in default.requests:
            requests.setdefault(name, default.requests[name])
    if memory_limit is not None:
        requests["memory"] = limits["memory"] = memory_limit
    for name, amount in _gpus(asked, gpus).items():
        requests[name] = limits[name] = amount
    return without_empty({"requests": requests, "limits": limits}) or None


def _gpus(asked: Resources, gpus: Gpus | None) -> dict[str, str]:
    """What is asked for as GPUs: what the manifest names (a slice of one, another vendor's), else the platform's."""
    if gpus is None or not gpus.count:
        return {}
    named = asked.accelerators
    return named if named and gpus.resource not in named else {gpus.resource: str(gpus.count)}


def environment(plain: Mapping[str, str], own: Iterable[EnvironmentVariable] = ()) -> list[Manifest]:
    """Environment variables in a fixed order; the manifest's override Lowbit's."""
    merged = dict(plain) | {variable.name: variable.value for variable in own}
    return [{"name": name, "value": literal(value)} for name, value in merged.items()]


def literal(text: str) -> str:
    """Text that the kubelet leaves as it is: it would replace $(NAME), in arguments and variables, by a variable."""
    return text.replace("$", "$$")


def worker_environment(platform: Platform) -> dict[str, str]:
    """Environment of every container that runs Lowbit's worker: nothing is written outside of its scratch volume.

    Python imports from the image alone: not from the working directory, and not from HOME.
    """
    plain = {
        "HOME": SCRATCH_PATH,
        "TMPDIR": SCRATCH_PATH,
        "USER": MANAGED_BY,  # a numeric user has no name, and torch asks for one
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    if platform.ca_bundle_config_map:
        plain |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), CA_BUNDLE_PATH)
    return plain


def pull_secrets(options: PodOptions, platform: Platform) -> list[str]:
    """Names of Secrets for pulling images. A pod with an account of its own has none of the default account's."""
    return [secret.name for secret in options.image_pull_secrets] or platform.image_pull_secrets


def placement(options: PodOptions, platform: Platform, *, priority_class: str | None = None) -> Manifest:
    """The members of a pod spec that PodOptions set. No pod of Lowbit's gets a token of the API server."""
    return {"automountServiceAccountToken": False, "enableServiceLinks": False} | without_empty(
        {
            "nodeSelector": dict(options.node_selector),
            "tolerations": [toleration.wire() for toleration in options.tolerations],
            "affinity": options.affinity,
            "runtimeClassName": options.runtime_class_name,
            "priorityClassName": options.priority_class_name or priority_class,
            "serviceAccountName": options.service_account_name,
            "imagePullSecrets": [{"name": name} for name in pull_secrets(options, platform)],
        }
    )
