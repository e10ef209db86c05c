"""The rules of Kubernetes' restricted Pod Security Standard, and Lowbit's own beyond it, for one pod spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """What restricted Pod Security, or Lowbit itself, would not allow."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not set on the pod"
    if not context.get("runAsUser"):
        yield "no numeric user other than root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccompProfile is not RuntimeDefault"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the API server is mounted"
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= ALLOWED_VOLUMES:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        for problem in container_violations(container):
            yield f"container {container['name']}: {problem}"


def container_violations(container: dict[str, Any]) -> Iterator[str]:
    """The same for one container."""
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privileges may be escalated"
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "not all capabilities are dropped"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "its root can be written"
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield "it runs as root"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "it takes a port of the node"
