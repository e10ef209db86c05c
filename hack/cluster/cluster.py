"""The whole cluster: up, down, status."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import addons, build, images, network, packages, teardown
from hack.cluster.control_plane import Address, ControlPlane
from hack.cluster.kubectl import Kubectl
from hack.cluster.node import Node, not_ready
from hack.cluster.paths import Paths
from hack.cluster.processes import Process
from hack.cluster.progress import StepError, step

# Not the usual ports: a developer's machine may have another cluster on those.
API_PORT, ETCD_PORT, ETCD_PEER_PORT = 16443, 12379, 12380
NEEDED = ("etcd", "kube-apiserver", "kubectl", "kube-scheduler", "kubelet", "kube-controller-manager", "kube-proxy")
NEEDED_TOOLS = (*NEEDED, "coredns", "pause")


class Cluster:
    """The one-node cluster of one state folder. There can be one on a machine at a time."""

    def __init__(self, paths: Paths | None = None) -> None:
        self.paths = paths or Paths.default()
        self.node = Node(self.paths)
        self.kubectl = Kubectl(self.paths.kubeconfig)

    @property
    def kubeconfig(self) -> Path:
        return self.paths.kubeconfig

    def control_plane(self) -> ControlPlane:
        """Makes the cluster's certificates where they are missing."""
        address = Address(
            network.NODE_ADDRESS, API_PORT, ETCD_PORT, ETCD_PEER_PORT, network.SERVICE_RANGE, network.API_SERVICE
        )
        return ControlPlane(self.paths.state, address, run=self.paths.run, logs=self.paths.logs)

    def is_up(self) -> bool:
        """Whether every program runs and the node and CoreDNS are ready."""
        return self.problem() is None

    def problem(self) -> str | None:
        """What is wrong with the cluster, the first thing; None when it is up."""
        if not self.paths.kubeconfig.exists():
            return "the cluster is down"
        if dead := [process.name for process in self.processes() if not process.alive()]:
            return f"not running: {', '.join(dead)}"
        return not_ready(self.kubectl) or addons.not_available(self.kubectl)

    def processes(self) -> list[Process]:
        names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        return [*(Process(name, self.paths.run, self.paths.logs) for name in names), *self.node.processes]

    def up(self) -> bool:
        """Bring up what is not; False where there was nothing to do. Raises StepError, which names the step."""
        with self._lock():
            if self.is_up():
                return False
            self._check_machine()
            self._start()
            return True

    def down(self) -> None:
        """End everything and put the machine back as it was; the images and the last logs stay."""
        _check_root("down")
        with self._lock():
            with step("end kube-proxy, kubelet, scheduler and controllers"):
                for name in ("kube-proxy", "kubelet", "kube-scheduler", "kube-controller-manager"):
                    self._process(name).stop()
            with step("end the containers"):
                teardown.end_containers(self.node)
            with step("end kube-apiserver and etcd"):
                self._process("kube-apiserver").kill()
                self._process("etcd").stop()
            with step("remove mounts, control groups, interfaces and rules"):
                teardown.unmount(self.paths)
                teardown.remove_groups()
                network.tear_down(self.paths)
                teardown.remove_state(self.paths)

    def load(self, archive: Path, name: str | None = None) -> bool:
        """Load an image archive into the node; False where it was there. Raises StepError."""
        if not self.node.containerd.alive():
            raise StepError(f"load {archive.name}", "containerd is not running: bring the cluster up first")
        return images.load(self.node, archive, name)

    def _start(self) -> None:
        if not self.paths.host_before.exists():
            shutil.rmtree(self.paths.logs, ignore_errors=True)  # the last cluster's
        control_plane = self.control_plane()
        with step("network: bridge, rules, kernel settings"):
            network.set_up(self.paths)
            addons.write_resolver(self.paths.config / "resolv.conf")
        with step("start etcd"):
            control_plane.start_etcd()
        with step("start kube-apiserver"):
            control_plane.start_apiserver()
            control_plane.client(self.paths.kubeconfig, "admin", ("system:masters",))
        with step("start kube-controller-manager and kube-scheduler"):
            control_plane.start_controllers(self.kubectl)
            control_plane.start_scheduler()
        with step("start containerd"):
            self.node.start_containerd()
        with step("load the cluster's own images"):
            images.load_small_images(self.node, self.paths.state / "archives")
        with step("start the kubelet; the node becomes ready"):
            self.node.start_kubelet(control_plane, self.kubectl)
        with step("start kube-proxy"):
            self.node.start_proxy(control_plane)
        with step("start CoreDNS"):
            addons.start_dns(self.kubectl)

    def _process(self, name: str) -> Process:
        return Process(name, self.paths.run, self.paths.logs)

    def _check_machine(self) -> None:
        _check_root("up")
        if absent := build.missing(NEEDED_TOOLS):
            raise StepError("up", f"not built: {', '.join(absent)}. Run: python3 -m hack.cluster.build")
        if absent := packages.missing(packages.CLUSTER):
            raise StepError("up", f"not installed: {', '.join(absent)}. Run: python3 -m hack.cluster.packages")
        if not self.node.kubelet.alive() and not self.paths.host_before.exists() and teardown.pods_processes():
            raise StepError("up", "pods of another Kubernetes run on this machine; this cluster would disturb them")
        if not self._process("etcd").alive() and (port := _taken(ETCD_PORT, ETCD_PEER_PORT)):
            raise StepError("up", f"another program listens on port {port} of 127.0.0.1 (see: ss -ltnp)")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Two commands at once wait for each other."""
        self.paths.state.parent.mkdir(parents=True, exist_ok=True)
        with self.paths.state.with_name(self.paths.state.name + ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _check_root(what: str) -> None:
    if os.geteuid() != 0:
        raise StepError(what, "a cluster on this machine needs root (network, mounts, control groups): run it as root")


def _taken(*ports: int) -> int | None:
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
    return None
