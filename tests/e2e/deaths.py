"""Killing: the operator's pod, and programs inside of pods, as a broken node would (SIGKILL, nobody is asked)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError
from tests.e2e.lab import Lab

SYSTEM = "lowbit-system"
LOOK_SECONDS = 0.05


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


def kill_worker_as_it_starts(pod: str, seconds: float) -> None:
    """SIGKILL to the first worker process in a pod whose name starts so: for a stage that is over in seconds.

    Raises StepError when none was there for so long.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and _is_worker(process, pod):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGKILL)
                    return
        time.sleep(LOOK_SECONDS)
    raise StepError(f"kill the worker of {pod}", f"none ran within {seconds:.0f} s")


def _is_worker(process: Path, pod: str) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
        return b"lowbit.worker" in command and f"HOSTNAME={pod}".encode() in (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
