"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler: their arguments, and when each is ready."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import kubeconfig, paths, pki
from hack.cluster.kubectl import Kubectl
from hack.cluster.processes import Process
from hack.cluster.progress import wait_until

CLUSTER_DOMAIN = "cluster.local"
READY_SECONDS = 60
EVENT_TTL = "6h"  # a failed end-to-end run is looked at later than the default hour


@dataclass(frozen=True)
class Address:
    """Where the control plane of one cluster listens, and the range that Services get their addresses from."""

    host: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    service_range: str
    service_host: str

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.api_port}"


class ControlPlane:
    """The control plane of one cluster in one folder. Each `start_...` does nothing where the program already runs."""

    def __init__(self, folder: Path, address: Address, *, run: Path, logs: Path) -> None:
        self.folder, self.address = folder, address
        self.etcd = Process("etcd", run, logs)
        self.apiserver = Process("kube-apiserver", run, logs)
        self.controllers = Process("kube-controller-manager", run, logs)
        self.scheduler = Process("kube-scheduler", run, logs)
        self.authority = pki.Authority(folder / "pki")
        self.tokens = pki.signing_key(folder / "pki", "service-accounts")

    @property
    def processes(self) -> tuple[Process, ...]:
        """In the order in which they are started."""
        return (self.etcd, self.apiserver, self.controllers, self.scheduler)

    def client(self, path: Path, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Write a kubeconfig for a user of the cluster."""
        pair = self.authority.sign(user.replace(":", "-"), user=user, groups=groups)
        return kubeconfig.write(path, self.address.url, self.authority.pair.certificate, pair)

    def start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.address.etcd_port, self.address.etcd_peer_port))
        self.etcd.start(
            [
                paths.tools() / "etcd",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",  # a test cluster: a lost machine loses it anyway
                "--log-level=warn",
            ]
        )
        self._wait(self.etcd, lambda: _http(f"{client}/readyz"))

    def start_apiserver(self, *extra: str) -> None:
        arguments = {**self._serving(), **self._identity(), **self._front_proxy()}
        line = [f"--{name}={value}" for name, value in arguments.items()]
        self.apiserver.start([paths.tools() / "kube-apiserver", *line, *extra])
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until kube-apiserver says that it is ready."""
        trust = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        self._wait(self.apiserver, lambda: _http(f"{self.address.url}/readyz", trust))

    def start_controllers(self, kubectl: Kubectl, *extra: str) -> None:
        """kube-controller-manager; ready when a namespace has got its service account and the root certificate."""
        client = self.client(self.folder / "config" / "kube-controller-manager", "system:kube-controller-manager")
        self.controllers.start(
            [
                paths.tools() / "kube-controller-manager",
                f"--kubeconfig={client}",
                f"--root-ca-file={self.authority.pair.certificate}",
                f"--service-account-private-key-file={self.tokens.key}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--secure-port=0",  # nobody asks it anything: no port to be in the way of another's
                *extra,
            ]
        )
        self._wait(self.controllers, lambda: _missing(kubectl, "serviceaccount/default", "configmap/kube-root-ca.crt"))

    def start_scheduler(self) -> None:
        client = self.client(self.folder / "config" / "kube-scheduler", "system:kube-scheduler")
        self.scheduler.start(
            [paths.tools() / "kube-scheduler", f"--kubeconfig={client}", "--leader-elect=false", "--secure-port=0"]
        )

    def stop(self) -> None:
        """End all of them, the last started first."""
        for process in reversed(self.processes):
            process.stop()

    def _serving(self) -> dict[str, object]:
        here = self.address
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        hosts = [here.host, "127.0.0.1", "localhost", here.service_host, *names, f"{names[-1]}.{CLUSTER_DOMAIN}"]
        pair = self.authority.sign("kube-apiserver", user="kube-apiserver", hosts=hosts)
        return {
            "bind-address": here.host,
            "secure-port": here.api_port,
            "tls-cert-file": pair.certificate,
            "tls-private-key-file": pair.key,
            "etcd-servers": f"http://127.0.0.1:{here.etcd_port}",
            "service-cluster-ip-range": here.service_range,
            "allow-privileged": "true",
            "event-ttl": EVENT_TTL,
            "profiling": "false",
        }

    def _identity(self) -> dict[str, object]:
        kubelet = self.authority.sign("kube-apiserver-to-kubelet", user="kube-apiserver", groups=("system:masters",))
        return {
            "client-ca-file": self.authority.pair.certificate,
            "authorization-mode": "Node,RBAC",
            "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            "service-account-key-file": self.tokens.certificate,
            "service-account-signing-key-file": self.tokens.key,
            "kubelet-certificate-authority": self.authority.pair.certificate,
            "kubelet-client-certificate": kubelet.certificate,
            "kubelet-client-key": kubelet.key,
            "kubelet-preferred-address-types": "InternalIP",
        }

    def _front_proxy(self) -> dict[str, object]:
        """What API servers behind this one (metrics-server, KEDA) know it by."""
        authority = pki.Authority(self.folder / "pki", "front-proxy-ca")
        pair = authority.sign("front-proxy", user="front-proxy")
        return {
            "requestheader-client-ca-file": authority.pair.certificate,
            "requestheader-allowed-names": "front-proxy",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": pair.certificate,
            "proxy-client-key-file": pair.key,
        }

    def _wait(self, process: Process, check: Callable[[], str | None]) -> None:
        wait_until(f"start {process.name}", check, timeout=READY_SECONDS, alive=process.alive, log=process.log)


def _http(url: str, trust: ssl.SSLContext | None = None) -> str | None:
    """None when the address answers 200, else what it does instead."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
            return None if answer.status == 200 else f"{url} answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}: {error.read().decode(errors='replace')[-500:]}"
    except OSError as error:
        return f"{url}: {error}"


def _missing(kubectl: Kubectl, *names: str) -> str | None:
    done = kubectl.attempt("get", "--namespace=default", *names)
    return None if done.returncode == 0 else done.stderr.strip()
