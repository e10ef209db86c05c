"""What runs in the cluster from the start: CoreDNS."""

from __future__ import annotations

import ipaddress
import string
from pathlib import Path

from hack.cluster import images, network, paths
from hack.cluster.control_plane import CLUSTER_DOMAIN
from hack.cluster.kubectl import Kubectl
from hack.cluster.progress import StepError, wait_until

READY_SECONDS = 90
# Where a machine's name servers are written; the second is the one behind a resolver on loopback.
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def start_dns(kubectl: Kubectl) -> None:
    """Apply CoreDNS and wait until it answers."""
    upstream = " ".join(name_servers())
    manifest = string.Template((paths.HERE / "manifests" / "coredns.yaml").read_text()).substitute(
        domain=CLUSTER_DOMAIN,
        image=images.COREDNS,
        service_address=network.DNS_SERVICE,
        forward=f"forward . {upstream}" if upstream else "# the machine has no name server to ask",
    )
    kubectl.apply(manifest)
    try:
        wait_until("start CoreDNS", lambda: not_available(kubectl), timeout=READY_SECONDS)
    except StepError as error:
        shown = kubectl.attempt("-n", "kube-system", "describe", "pods", "-l", "k8s-app=kube-dns").stdout
        logs = kubectl.attempt("-n", "kube-system", "logs", "deployment/coredns", "--tail=20").stdout
        raise StepError(error.step, f"{error.why}\n{shown[-2000:]}\n{logs}") from error


def write_resolver(path: Path) -> None:
    """The resolv.conf that the kubelet gives to pods that ask the machine's name servers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"nameserver {server}\n" for server in name_servers()))


def name_servers(files: tuple[Path, ...] = RESOLVER_FILES) -> list[str]:
    """The machine's name servers that a pod can reach: not those on loopback."""
    for file in files:
        lines = file.read_text().splitlines() if file.exists() else []
        servers = [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]
        if found := [server for server in servers if _reachable(server)]:
            return found
    return []


def _reachable(server: str) -> bool:
    try:
        address = ipaddress.ip_address(server)
    except ValueError:
        return False
    return address.version == 4 and not address.is_loopback


def not_available(kubectl: Kubectl) -> str | None:
    status = kubectl.get("-n", "kube-system", "deployment/coredns").get("status", {})
    return None if status.get("availableReplicas", 0) >= 1 else "no replica of CoreDNS is available"
