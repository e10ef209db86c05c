"""The node: containerd, kubelet and kube-proxy, each with its settings and when it is ready."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from hack.cluster import images, network, paths
from hack.cluster.control_plane import CLUSTER_DOMAIN, ControlPlane
from hack.cluster.kubectl import Kubectl
from hack.cluster.network import SYSTEM_PATH
from hack.cluster.paths import Paths
from hack.cluster.processes import Process
from hack.cluster.progress import wait_until

NAME = "lowbit-node"
KUBELET_PORT = 20250
READY_SECONDS = 90
FAKE_GPU = "nvidia.com/gpu"


class Node:
    """The one node of the cluster. Each `start_...` does nothing where the program already runs."""

    def __init__(self, where: Paths) -> None:
        self.paths = where
        self.containerd = Process("containerd", where.run, where.logs)
        self.kubelet = Process("kubelet", where.run, where.logs)
        self.proxy = Process("kube-proxy", where.run, where.logs)

    @property
    def processes(self) -> tuple[Process, ...]:
        """In the order in which they are started."""
        return (self.containerd, self.kubelet, self.proxy)

    def ctr(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """containerd's own client, in the namespace of the pods."""
        line = ["ctr", f"--address={self.paths.containerd_socket}", "--namespace=k8s.io", *map(str, words)]
        environment = {**os.environ, "PATH": SYSTEM_PATH}
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)

    def start_containerd(self) -> None:
        settings = self.paths.config / "containerd.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(_containerd(self.paths))
        self.containerd.start(["containerd", f"--config={settings}"], {"PATH": SYSTEM_PATH})

        def missing() -> str | None:
            done = self.ctr("version")
            return None if done.returncode == 0 else done.stderr.strip()

        self._wait(self.containerd, missing)

    def start_kubelet(self, control_plane: ControlPlane, kubectl: Kubectl) -> None:
        """The kubelet; ready when its node is."""
        user, groups = f"system:node:{NAME}", ("system:nodes",)
        client = control_plane.client(self.paths.config / "kubelet-kubeconfig", user, groups)
        settings = self.paths.config / "kubelet.json"
        settings.write_text(json.dumps(_kubelet(self.paths, control_plane), indent=2))
        self.kubelet.start(
            [
                paths.tools() / "kubelet",
                f"--config={settings}",
                f"--kubeconfig={client}",
                f"--root-dir={self.paths.kubelet}",
                f"--hostname-override={NAME}",
                f"--node-ip={network.NODE_ADDRESS}",
            ],
            {"PATH": SYSTEM_PATH},
        )
        self._wait(self.kubelet, lambda: not_ready(kubectl))

    def start_proxy(self, control_plane: ControlPlane) -> None:
        """kube-proxy; ready when it has written the Services' rules."""
        client = control_plane.client(self.paths.config / "kube-proxy-kubeconfig", "system:kube-proxy")
        settings = self.paths.config / "kube-proxy.json"
        settings.write_text(json.dumps(_proxy(client), indent=2))
        self.proxy.start([paths.tools() / "kube-proxy", f"--config={settings}"], {"PATH": SYSTEM_PATH})

        def missing() -> str | None:
            rules = subprocess.run(
                ["nft", "list", "table", "ip", "kube-proxy"],
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": SYSTEM_PATH},
            ).stdout
            return None if network.API_SERVICE in rules else "no rule for the API server's Service yet"

        self._wait(self.proxy, missing)

    def _wait(self, process: Process, check: Callable[[], str | None]) -> None:
        wait_until(f"start {process.name}", check, timeout=READY_SECONDS, alive=process.alive, log=process.log)


def not_ready(kubectl: Kubectl) -> str | None:
    """None when the node is Ready, else why not."""
    done = kubectl.attempt("get", "node", NAME, "-o", "json")
    if done.returncode != 0:
        return done.stderr.strip()
    conditions = json.loads(done.stdout)["status"].get("conditions", [])
    ready = next((each for each in conditions if each["type"] == "Ready"), {"status": "Unknown", "message": "new"})
    return None if ready["status"] == "True" else str(ready["message"])


def pretend_gpus(kubectl: Kubectl, count: int) -> None:
    """Let the node say that it has `count` GPUs, for scheduling only; a pod that gets one sees no device.

    The kubelet keeps the number until it is started again.
    """
    key = FAKE_GPU.replace("/", "~1")
    patch = [
        {"op": "add", "path": f"/status/{part}/{key}", "value": str(count)} for part in ("capacity", "allocatable")
    ]
    kubectl("patch", "node", NAME, "--subresource=status", "--type=json", "-p", json.dumps(patch))


def _containerd(where: Paths) -> str:
    return f"""version = 2
root = "{where.images}"
state = "{where.containerd}"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{where.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true  # a machine that lacks CAP_SYS_RESOURCE may not lower it
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{network.CNI_PROGRAMS}"
  conf_dir = "{network.cni_folder(where)}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{where.state / "runc"}"
"""


def _kubelet(where: Paths, control_plane: ControlPlane) -> dict[str, object]:
    serving = control_plane.authority.sign("kubelet-serving", user=NAME, hosts=[NAME, network.NODE_ADDRESS])
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE_ADDRESS,
        "port": KUBELET_PORT,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(control_plane.authority.pair.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{where.containerd_socket}",
        "podLogsDir": str(where.pod_logs),
        "volumePluginDir": str(where.kubelet / "volume-plugins"),
        "clusterDNS": [network.DNS_SERVICE],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(where.config / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,  # kube-proxy speaks nftables; nothing else of ours needs them
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,  # what was loaded can be had from nowhere else
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "containerLogMaxSize": "50Mi",
        "shutdownGracePeriod": "0s",
    }


def _proxy(client: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(client)},
        "hostnameOverride": NAME,
        "bindAddress": network.NODE_ADDRESS,
        "clusterCIDR": network.POD_RANGE,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "healthzBindAddress": "",
        "metricsBindAddress": f"{network.NODE_ADDRESS}:20249",
        "nodePortAddresses": [f"{network.NODE_ADDRESS}/32"],
        "oomScoreAdj": 0,
    }
