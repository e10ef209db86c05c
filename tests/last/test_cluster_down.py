"""`down` leaves the machine as it found it. Takes the cluster down, so it is the last that runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from hack.cluster import network, teardown
from hack.cluster.cluster import Cluster
from tests.cluster import pods
from tests.cluster.fixtures import need_root

TEMPORARY = f"{Path(tempfile.gettempdir())}/"
PROGRAMS = ("etcd", "kube", "containerd", "coredns", "pause", "runc", "httpd")


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def rules() -> str:
    line = ["nft", "--stateless", "list", "ruleset"]
    return subprocess.run(line, capture_output=True, text=True, check=True, env={"PATH": network.SYSTEM_PATH}).stdout


def routes() -> str:
    line = ["ip", "route", "show", "table", "all"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, env={"PATH": network.SYSTEM_PATH}).stdout
    return "\n".join(route for route in shown.splitlines() if "10.23" in route or network.BRIDGE in route)


def mounts() -> list[str]:
    return sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())


def programs(cluster: Cluster) -> list[str]:
    """The command lines that a cluster may have left: by the program's name, or by our folder in an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        line = " ".join(words)
        # Beside this other tests run, with an API server and an etcd of their own.
        ours = Path(words[0]).name.startswith(PROGRAMS) and TEMPORARY not in line
        if (ours or str(cluster.paths.state) in line) and int(path.parent.name) != os.getpid():
            found.append(line)
    return sorted(found)


def settings() -> dict[str, str]:
    files = {name: Path("/proc/sys") / name for name in network.SETTINGS}
    return {name: file.read_text() for name, file in files.items() if file.exists()}


def folders() -> list[str]:
    return [folder for folder in network.FOLDERS if Path(folder).exists()]


def groups() -> list[Path]:
    return [path for path in (teardown.GROUPS / "kubepods", *teardown.GROUPS.glob("*/kubepods")) if path.exists()]


def picture(cluster: Cluster) -> dict[str, object]:
    return {
        "interfaces": interfaces(),
        "rules": rules(),
        "routes": routes(),
        "mounts": mounts(),
        "programs": programs(cluster),
        "settings": settings(),
        "folders": folders(),
        "control groups": groups(),
    }


def test_down_leaves_nothing_behind_and_keeps_the_images() -> None:
    need_root("the one-node cluster")
    cluster = Cluster()
    cluster.down()
    before = picture(cluster)
    cluster.up()
    volumes = {"/memory": {"emptyDir": {"medium": "Memory"}}}
    for name in ("one", "two"):
        pods.create(cluster.kubectl, "default", name, "exec sleep 3600", volumes=volumes)
    ready = ("wait", "--for=condition=Ready", "pod/one", "pod/two", f"--timeout={pods.WAIT_SECONDS}s")
    cluster.kubectl(*ready)
    during = picture(cluster)
    assert all(during[what] != before[what] for what in before if what not in ("folders", "settings"))
    cluster.down()
    assert picture(cluster) == before
    assert cluster.paths.images.exists()
    assert [entry.name for entry in cluster.paths.state.iterdir()] == ["logs"]


def test_down_of_what_is_down_does_nothing() -> None:
    need_root("the one-node cluster")
    cluster = Cluster()
    cluster.down()
    before = picture(cluster)
    cluster.down()
    assert picture(cluster) == before
