"""What is left when the node's programs are told to end: pods, mounts, control groups. All of it goes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from hack.cluster.network import SYSTEM_PATH
from hack.cluster.node import Node
from hack.cluster.paths import Paths
from hack.cluster.progress import POLL_SECONDS, StepError

GROUPS = Path("/sys/fs/cgroup")
PODS = "kubepods"
GONE_SECONDS = 20


def end_containers(node: Node) -> None:
    """End every container and forget it. The images stay."""
    if node.containerd.alive():
        tasks = node.ctr("tasks", "list", "--quiet").stdout.split()
        for task in tasks:
            node.ctr("tasks", "kill", "--all", "--signal=SIGKILL", task)
        for task in tasks:
            node.ctr("tasks", "delete", "--force", task)
        if containers := node.ctr("containers", "list", "--quiet").stdout.split():
            node.ctr("containers", "delete", *containers)
    node.containerd.stop()
    _end(_shims(node.paths) + pods_processes())


def unmount(paths: Paths) -> None:
    """Undo every mount below the state folder and the image store, the innermost first. Raises StepError."""
    for _ in range(3):  # a mount may lie over another at the same place
        mounts = mounts_below(paths.state, paths.images)
        for mount in sorted(mounts, key=len, reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True, env={"PATH": SYSTEM_PATH})
    if left := mounts_below(paths.state, paths.images):
        raise StepError("unmount", f"{len(left)} mounts could not be undone, the first is {left[0]}")


def mounts_below(*folders: Path) -> list[str]:
    """The mount points below the folders."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    return [point for point in points if any(Path(point).is_relative_to(folder) for folder in folders)]


def remove_groups() -> None:
    """Remove the pods' control groups; the kernel refuses where a process is left in one."""
    for root in _pod_groups():
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def pods_processes() -> list[int]:
    """The processes in the pods' control groups, whoever started them."""
    found: set[int] = set()
    for root in _pod_groups():
        for listing in root.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(word) for word in listing.read_text().split())
    return sorted(found - {0})


def remove_state(paths: Paths) -> None:
    """Remove the state folder but for the logs, which a person may still want to read."""
    if not paths.state.exists():
        return
    for entry in paths.state.iterdir():
        if entry == paths.logs:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _pod_groups() -> list[Path]:
    """Of control groups version 1 (one tree for each controller) or version 2 (one tree)."""
    return [path for path in (GROUPS / PODS, *GROUPS.glob(f"*/{PODS}")) if path.is_dir()]


def _shims(paths: Paths) -> list[int]:
    """containerd's shims that serve our containerd; they outlive it."""
    address = str(paths.containerd_socket).encode()
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = line.read_bytes().split(b"\0")
            if words[0].endswith(b"containerd-shim-runc-v2") and address in words:
                found.append(int(line.parent.name))
    return found


def _end(processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while left := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            raise StepError("end the containers", f"process {left[0]} outlived SIGKILL")
        time.sleep(POLL_SECONDS)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
