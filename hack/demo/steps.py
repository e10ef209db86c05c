"""What the demo does before anything can be watched: machine, cluster, images, chart, model, manifests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from hack.cluster import build as programs
from hack.cluster import packages, volumes
from hack.cluster.cluster import Cluster
from hack.cluster.progress import StepError, step
from hack.demo.cluster import MODEL, NAMESPACE, SYSTEM, DemoCluster
from hack.demo.interrupt import deferred
from images.build import build
from images.load import load
from images.model import prepare_models
from images.targets import ALL

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("kubectl", "helm")
"""All that is needed on this machine of a cluster that is somebody's."""
SOURCE_MODEL = "smollm2-135m-instruct"


def prepare_machine(cluster: DemoCluster) -> dict[str, str]:
    """Programs, cluster, images and the model. Returns the images' references by name."""
    if os.geteuid() != 0:
        raise StepError("demo", "it installs packages, builds images and starts a cluster: run it as root")
    if cluster.ours:
        _install_packages(packages.DEMO)
        programs.build()
    else:
        _install_packages(packages.IMAGES)
        if wanted := tuple(name for name in CLIENTS if not shutil.which(name)):
            programs.build(wanted)
    references = build(ALL, None)
    prepare_models()
    if cluster.ours:
        Cluster().up()
    return load(references)


def install(cluster: DemoCluster, references: Mapping[str, str]) -> None:
    """The chart, with the images that were built."""
    values = {
        "image": references["operator"],
        "platform": {
            "operatorImage": references["operator"],
            "workerImage": references["worker"],
            "guardImage": references["guard"],
            "engineImage": references["engine"],
        },
    }
    with step("helm: install the chart"):
        cluster.run(
            "helm", "upgrade", "--install", "lowbit", str(ROOT / "charts" / "lowbit"), "--namespace", SYSTEM,
            "--create-namespace", "--values", "-", "--wait", "--timeout", "5m", given=yaml.safe_dump(values),
        )  # fmt: skip


def apply_example(cluster: DemoCluster, references: Mapping[str, str]) -> None:
    """A namespace under restricted Pod Security, the volumes, the model's files and examples/smollm2.yaml."""
    with step(f"namespace {NAMESPACE}, volumes and datasets"):
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
        cluster.run("kubectl", "apply", "-f", "-", given=json.dumps(namespace))
        for name in ("calibration", "holdout"):
            _config_map(cluster, f"{MODEL}-{name}", ROOT / "examples" / "data" / f"{name}.jsonl")
    source = prepare_models()[SOURCE_MODEL]
    with step("copy the model into its volume"):
        _copy_ours(source) if cluster.ours else copy_elsewhere(cluster, source, references["operator"])
    with step("kubectl apply -f examples/smollm2.yaml"):
        cluster.run("kubectl", "-n", NAMESPACE, "apply", "-f", str(ROOT / "examples" / "smollm2.yaml"))


def remove(cluster: DemoCluster) -> None:
    """Our own cluster goes with all that is in it; on somebody's cluster only what the demo put there."""
    if cluster.ours:
        Cluster().down()
        return
    with step("remove the demo's namespace and the chart"):
        cluster.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
        cluster.run("helm", "uninstall", "lowbit", "--namespace", SYSTEM, "--ignore-not-found")
        cluster.run("kubectl", "delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=true")


def _install_packages(wanted: tuple[str, ...]) -> None:
    """Debian's packages. A dpkg that is interrupted refuses to go on until somebody has mended it by hand."""
    if packages.missing(wanted):
        print("Ctrl-C waits until Debian's packages are installed.", flush=True)
    with deferred():
        packages.install(wanted)


def _config_map(cluster: DemoCluster, name: str, file: Path) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"data.jsonl": file.read_text()},
    }
    cluster.run("kubectl", "apply", "--server-side", "-f", "-", given=json.dumps(body))


def _copy_ours(source: Path) -> None:
    own = Cluster()
    volumes.create(own.kubectl, own.paths, namespace=NAMESPACE, name="models")
    folder = volumes.create(own.kubectl, own.paths, namespace=NAMESPACE, name="sources") / SOURCE_MODEL
    copy_whole(source, folder)


def copy_whole(source: Path, folder: Path) -> None:
    """Copy a folder, unless it is there. It gets its name when it is whole: an interrupted copy is made again."""
    if folder.exists():
        return
    unfinished = folder.with_name(f".{folder.name}.copy")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished)
    unfinished.rename(folder)


def copy_elsewhere(cluster: DemoCluster, source: Path, image: str) -> None:
    """Copy the model's files into a cluster that is not ours.

    The claims are of the cluster's default StorageClass. A pod that lives only for the copy fills them.
    """
    for name in ("models", "sources"):
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        }
        cluster.run("kubectl", "apply", "-f", "-", given=json.dumps(claim))
    cluster.run("kubectl", "apply", "-f", "-", given=json.dumps(_loader_pod(image)))
    cluster.run("kubectl", "-n", NAMESPACE, "wait", "pod/loader", "--for=condition=Ready", "--timeout=300s")
    in_pod = ("kubectl", "-n", NAMESPACE, "exec", "loader", "--", "sh", "-c")
    # Under its name only when it is whole, and never into what an earlier run has copied.
    if not cluster.run(*in_pod, f"rm -rf /sources/.copy; ls -d /sources/{SOURCE_MODEL}", check=False):
        cluster.run("kubectl", "-n", NAMESPACE, "cp", str(source), "loader:/sources/.copy")
        cluster.run(*in_pod, f"mv /sources/.copy /sources/{SOURCE_MODEL}")
    cluster.run("kubectl", "-n", NAMESPACE, "delete", "pod", "loader", "--grace-period=1", "--wait=true")


def _loader_pod(image: str) -> dict[str, object]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    user = {"runAsUser": 65532, "runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "loader",
        "image": image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": security,
        "volumeMounts": [{"name": "sources", "mountPath": "/sources"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loader", "namespace": NAMESPACE},
        "spec": {
            "securityContext": user,
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "sources", "persistentVolumeClaim": {"claimName": "sources"}}],
        },
    }
