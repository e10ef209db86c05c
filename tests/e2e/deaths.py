"""Killing: the operator's pod, and programs inside of pods, as a broken node would (SIGKILL, nobody is asked)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.e2e.lab import Lab

SYSTEM = "lowbit-system"


def operator_pods(cluster: Cluster) -> set[str]:
    """UIDs of the operator's pods that are not going away."""
    pods = cluster.kubectl.get("-n", SYSTEM, "pods")["items"]
    return {pod["metadata"]["uid"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}


def kill_operator(cluster: Cluster) -> None:
    """End every pod of the operator at once; its Deployment makes another."""
    cluster.kubectl("-n", SYSTEM, "delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")


def running_container(lab: Lab, container: str, selector: str) -> str | None:
    """ID of a running container of that name in a pod that the labels select, or None."""
    for pod in lab.objects("pods", selector):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        status: dict[str, Any] = pod.get("status") or {}
        for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            if each["name"] == container and "running" in (each.get("state") or {}):
                return str(each["containerID"]).rpartition("/")[2]
    return None


def kill_container(container_id: str) -> bool:
    """SIGKILL to every process of a container on this node; False where there was none any more."""
    killed = False
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            mine = container_id in (process / "cgroup").read_text()
            if mine:
                os.kill(int(process.name), signal.SIGKILL)
                killed = True
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return killed
