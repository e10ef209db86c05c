"""The cluster's network: one bridge with the node's own address, one nft table, a few kernel settings.

All addresses are private to this machine. The node's address is the bridge's, so that the cluster needs no other
interface, no default route, and nothing outside the machine sees the API server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from hack.cluster.paths import Paths
from hack.cluster.progress import StepError

BRIDGE = "lowbit0"
NODE_ADDRESS = "10.231.0.1"
POD_RANGE = "10.231.0.0/20"
SERVICE_RANGE = "10.232.0.0/20"
API_SERVICE = "10.232.0.1"
DNS_SERVICE = "10.232.0.10"
TABLE = "lowbit"
CNI_PROGRAMS = Path("/usr/lib/cni")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What the pods need, and what a kubelet sets by itself: all put back by `down`.
SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",  # a Service's answer from a pod on the same bridge finds its way back
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
# Folders outside the state folder whose place is fixed in the programs; removed by `down` where `up` found none.
FOLDERS = (
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
    "/opt/containerd",
)


def set_up(paths: Paths) -> None:
    """Make the bridge, the table and the settings; nothing where they are there. Remembers what it found."""
    _remember(paths)
    for module in ("br_netfilter", "overlay"):  # built into some kernels, loaded by nobody on others
        if shutil.which("modprobe", path=SYSTEM_PATH):
            subprocess.run(["modprobe", "-q", module], check=False, env={"PATH": SYSTEM_PATH})
    for name, value in SETTINGS.items():
        if value is not None and (setting := Path("/proc/sys") / name).exists():
            setting.write_text(value)
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "replace", f"{NODE_ADDRESS}/{POD_RANGE.partition('/')[2]}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _run("ip", "route", "replace", SERVICE_RANGE, "dev", BRIDGE)  # programs on the node reach Services too
    _run("nft", "-f", "-", stdin=_rules())
    _write_cni(paths)


def tear_down(paths: Paths) -> None:
    """Take away all of `set_up` and what kube-proxy and the pods added, and put the settings back."""
    _run("ip", "link", "delete", BRIDGE, check=False)
    for family, table in (("ip", TABLE), ("ip", "kube-proxy"), ("ip6", "kube-proxy")):
        _run("nft", "delete", "table", family, table, check=False)
    for source in (POD_RANGE, SERVICE_RANGE):
        for side in ("--orig-src", "--orig-dst"):
            _run("conntrack", "--delete", side, source, check=False)
    _restore(paths)


def cni_folder(paths: Paths) -> Path:
    return paths.config / "cni"


def _rules() -> str:
    """Pods speak to the world under the machine's address. Made anew in one transaction."""
    return f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_RANGE} ip daddr != {{ {POD_RANGE}, 224.0.0.0/4 }} masquerade
  }}
}}
"""


def _write_cni(paths: Paths) -> None:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(paths.state / "cni"),
            "ranges": [[{"subnet": POD_RANGE, "gateway": NODE_ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    document = {"cniVersion": "0.4.0", "name": "lowbit", "plugins": [bridge]}
    folder = cni_folder(paths)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-lowbit.conflist").write_text(json.dumps(document, indent=2))


def _remember(paths: Paths) -> None:
    if paths.host_before.exists():
        return
    present = [name for name in SETTINGS if (Path("/proc/sys") / name).exists()]
    document = {
        "settings": {name: (Path("/proc/sys") / name).read_text().strip() for name in present},
        "absent": [folder for folder in FOLDERS if not Path(folder).exists()],
    }
    paths.host_before.parent.mkdir(parents=True, exist_ok=True)
    paths.host_before.write_text(json.dumps(document, indent=2))


def _restore(paths: Paths) -> None:
    if not paths.host_before.exists():
        return
    before = json.loads(paths.host_before.read_text())
    for name, value in before["settings"].items():
        setting = Path("/proc/sys") / name
        if setting.exists() and setting.read_text().strip() != value:
            setting.write_text(value)
    for folder in before["absent"]:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*line: str, stdin: str | None = None, check: bool = True) -> None:
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    done = subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, env=environment)
    if check and done.returncode != 0:
        raise StepError(" ".join(line), done.stderr.strip())
