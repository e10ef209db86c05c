"""Where things lie: in the cache what is expensive to make and outlives the cluster, in the state folder the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """The folder of all that is kept between runs: LOWBIT_CACHE, else ~/.cache/lowbit."""
    return Path(os.environ.get("LOWBIT_CACHE") or Path.home() / ".cache" / "lowbit")


def tools() -> Path:
    """The folder of the built programs (kube-apiserver, etcd, kubectl, helm, ...)."""
    return cache() / "bin"


@dataclass(frozen=True)
class Paths:
    """The folders and files of one cluster."""

    state: Path

    @classmethod
    def default(cls) -> Paths:
        return cls(cache() / "cluster")

    @property
    def images(self) -> Path:
        """containerd's content store. It outlives `down`, so that images are imported once."""
        return self.state.with_name(self.state.name + "-images")

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def run(self) -> Path:
        """Process ids."""
        return self.state / "run"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def pod_logs(self) -> Path:
        return self.state / "pod-logs"

    @property
    def containerd(self) -> Path:
        """containerd's runtime state: task folders, sandboxes, network namespaces."""
        return self.state / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """The folders behind the static PersistentVolumes."""
        return self.state / "volumes"

    @property
    def host_before(self) -> Path:
        """What `up` found on the machine and `down` puts back."""
        return self.state / "host-before.json"
