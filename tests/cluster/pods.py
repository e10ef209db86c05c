"""Small pods for tests: busybox under restricted Pod Security."""

from __future__ import annotations

import json
from typing import Any

from hack.cluster import images
from hack.cluster.kubectl import Kubectl
from hack.cluster.progress import StepError, wait_until

WAIT_SECONDS = 90


def spec(script: str, **fields: Any) -> dict[str, Any]:
    """A pod's spec that runs a shell script in busybox. `volumes` maps a mount path to a volume's source."""
    volumes = dict(fields.pop("volumes", {}))
    names = {path: f"volume-{number}" for number, path in enumerate(volumes)}
    container = {
        "name": "main",
        "image": images.BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", script],
        "resources": fields.pop("resources", {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": name, "mountPath": path} for path, name in names.items()],
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": names[path], **source} for path, source in volumes.items()],
        **fields,
    }


def create(kubectl: Kubectl, namespace: str, name: str, script: str, **fields: Any) -> None:
    """Create a pod labelled app=NAME."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(script, **fields)}))


def finish(kubectl: Kubectl, namespace: str, name: str, script: str, **fields: Any) -> str:
    """Run a pod to its end and return its logs. Raises StepError with what is missing when it does not succeed."""
    create(kubectl, namespace, name, script, **fields)
    wait_until(f"run pod {name}", lambda: _unfinished(kubectl, namespace, name), timeout=WAIT_SECONDS)
    logs = kubectl("-n", namespace, "logs", name)
    status = kubectl.get("-n", namespace, "pod", name)["status"]
    if status["phase"] != "Succeeded":
        raise StepError(f"run pod {name}", f"{status['phase']}: {status['containerStatuses'][0]['state']}\n{logs}")
    return logs


def _unfinished(kubectl: Kubectl, namespace: str, name: str) -> str | None:
    status = kubectl.get("-n", namespace, "pod", name)["status"]
    return None if status.get("phase") in ("Succeeded", "Failed") else json.dumps(status)
