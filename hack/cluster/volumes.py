"""Static PersistentVolumes on folders of the node: the cluster has no provisioner."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from hack.cluster.kubectl import Kubectl
from hack.cluster.paths import Paths

USER = 65532  # the pods' user; fsGroup does not change a hostPath folder


def create(
    kubectl: Kubectl,
    paths: Paths,
    *,
    namespace: str,
    name: str,
    size: str = "20Gi",
    access_modes: tuple[str, ...] = ("ReadWriteMany",),
) -> Path:
    """Create a PersistentVolume and the bound claim `name` in `namespace`; returns its folder on this machine.

    The folder belongs to USER. `size` is a quantity and not enforced.
    """
    folder = paths.volumes / f"{namespace}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    volume = f"{namespace}-{name}"
    if kubectl("get", "persistentvolume", volume, "--ignore-not-found", "-o", "jsonpath={.status.phase}") == "Released":
        # Its claim went with a namespace that somebody deleted: the volume would never be bound again.
        kubectl("delete", "persistentvolume", volume)
    objects = [
        _volume(volume, folder, size, access_modes, {"namespace": namespace, "name": name}),
        _claim(namespace, name, volume, size, access_modes),
    ]
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return folder


def delete(kubectl: Kubectl, paths: Paths, *, namespace: str, name: str) -> None:
    """Delete the claim, the volume and the folder with all that is in it."""
    kubectl("-n", namespace, "delete", "persistentvolumeclaim", name, "--ignore-not-found")
    kubectl("delete", "persistentvolume", f"{namespace}-{name}", "--ignore-not-found")
    shutil.rmtree(paths.volumes / f"{namespace}-{name}", ignore_errors=True)


def _volume(
    name: str, folder: Path, size: str, access_modes: tuple[str, ...], claim: dict[str, str]
) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "",
            "capacity": {"storage": size},
            "accessModes": list(access_modes),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": claim,
        },
    }


def _claim(namespace: str, name: str, volume: str, size: str, access_modes: tuple[str, ...]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "storageClassName": "",
            "volumeName": volume,
            "accessModes": list(access_modes),
            "resources": {"requests": {"storage": size}},
        },
    }
