"""A real API server in seconds: etcd and kube-apiserver alone, for tests of admission, apply, status and watches."""

from __future__ import annotations

import atexit
import json
import shutil
import signal
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hack.cluster import build
from hack.cluster.control_plane import Address, ControlPlane
from hack.cluster.kubectl import Kubectl
from hack.cluster.progress import StepError


class ApiServer:
    """etcd and kube-apiserver on free loopback ports, in a folder of their own that goes with them.

        with ApiServer() as server:
            client = some_client(kubeconfig=server.kubeconfig)

    There are no controllers, so much that one is used to does not happen: a deleted namespace stays in Terminating,
    dependants outlive their owners (no garbage collection; foreground deletion waits for ever), Jobs and Deployments
    make no pods, no pod runs, a new namespace has neither the `default` service account nor `kube-root-ca.crt`, TTLs
    and quotas are not looked at, and the aggregated roles (admin, edit, view) are empty. The ServiceAccount admission
    plugin is therefore off: a pod needs no account.

    `with_controllers=True` starts kube-controller-manager as well, and all of these but the running of pods are there.
    `arguments` are kube-apiserver's, beside ours.
    """

    def __init__(
        self, folder: Path | None = None, *, with_controllers: bool = False, arguments: Sequence[str] = ()
    ) -> None:
        self.with_controllers = with_controllers
        self._arguments = tuple(arguments)
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="lowbit-api-"))
        api_port, etcd_port, peer_port = _free_ports(3)
        self.address = Address("127.0.0.1", api_port, etcd_port, peer_port, "10.232.0.0/16", "10.232.0.1")
        self.control_plane = ControlPlane(self.folder, self.address, run=self.folder / "run", logs=self.folder / "logs")
        self.kubeconfig = self.control_plane.client(self.folder / "kubeconfig", "admin", ("system:masters",))
        self.kubectl = Kubectl(self.kubeconfig)

    @property
    def url(self) -> str:
        """https://127.0.0.1:PORT"""
        return self.address.url

    def start(self) -> Self:
        """Start what does not run. Raises StepError with the last lines of the log that matters."""
        needed = build.API_TOOLS if self.with_controllers else build.API_TOOLS[:3]
        if absent := build.missing(needed):
            raise StepError("start the API server", f"not built: python3 -m hack.cluster.build {' '.join(absent)}")
        atexit.register(self.stop)
        _end_as_by_an_error()
        self.control_plane.start_etcd()
        self.start_apiserver()
        if self.with_controllers:
            self.control_plane.start_controllers(self.kubectl)
        return self

    def start_apiserver(self) -> None:
        """Start kube-apiserver alone, on the same port and data: after `kill_apiserver`, say."""
        accounts = [] if self.with_controllers else ["--disable-admission-plugins=ServiceAccount"]
        self.control_plane.start_apiserver(
            "--endpoint-reconciler-type=none",  # it would refuse to advertise a loopback address
            "--advertise-address=192.0.2.1",
            "--shutdown-delay-duration=0s",
            *accounts,
            *self._arguments,
        )

    def kill_apiserver(self) -> None:
        """End kube-apiserver as a crash would; etcd keeps the data."""
        self.control_plane.apiserver.kill()

    def snapshot(self, folder: Path) -> None:
        """Copy etcd's data as they are at this moment: etcd stands still meanwhile, and loses nothing."""
        etcd = self.control_plane.etcd
        etcd.signal(signal.SIGSTOP)
        try:
            shutil.copytree(self.folder / "etcd", folder, ignore=shutil.ignore_patterns("*.tmp"))
        finally:
            etcd.signal(signal.SIGCONT)

    def restore(self, folder: Path) -> int:
        """Restore a snapshot, as from a backup: restart both programs on the old data. Returns etcd's revision."""
        self.kill_apiserver()
        self.control_plane.etcd.kill()
        shutil.rmtree(self.folder / "etcd")
        shutil.copytree(folder, self.folder / "etcd")
        self.control_plane.start_etcd()
        revision = self._revision()
        self.start_apiserver()
        return revision

    def _revision(self) -> int:
        """etcd's, which every write raises by one."""
        url = f"http://127.0.0.1:{self.address.etcd_port}/v3/kv/range"
        with urllib.request.urlopen(url, data=json.dumps({"key": "AA=="}).encode(), timeout=10) as answer:
            return int(json.loads(answer.read())["header"]["revision"])

    def pause(self) -> None:
        """Freeze kube-apiserver: connections stay open, nothing is answered."""
        self.control_plane.apiserver.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.control_plane.apiserver.signal(signal.SIGCONT)

    def user(self, name: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for a user that RBAC judges (the admin passes everything)."""
        return self.control_plane.client(self.folder / f"kubeconfig-{name.replace(':', '-')}", name, groups)

    def stop(self) -> None:
        """End all its programs; a temporary folder goes with them."""
        atexit.unregister(self.stop)
        for process in reversed(self.control_plane.processes):
            process.kill()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _end_as_by_an_error() -> None:
    """Turn SIGTERM, which would end this process without cleanup, into SystemExit, so that its programs end too."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
