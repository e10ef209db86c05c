"""Bring images to where a cluster finds them: into its containerd, or into a registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from hack.cluster.paths import Paths
from hack.cluster.progress import StepError, step
from images import archive
from images.archive import Blob, Present
from images.buildah import buildah, exclusive, folder, run

# Where containerd keeps its blobs, under its root.
CONTENT = Path("io.containerd.content.v1.content/blobs/sha256")


def load(references: Mapping[str, str]) -> dict[str, str]:
    """Load the images, by name; return the references by which the cluster knows them.

    REGISTRY: they are pushed there. KUBECONFIG: the cluster is that one, of kind or k3s. Neither: it is our own
    one-node cluster, which has to be up. Raises StepError.
    """
    with exclusive():
        return _load(references)


def _load(references: Mapping[str, str]) -> dict[str, str]:
    if registry := os.environ.get("REGISTRY"):
        return _push(references, registry.rstrip("/"))
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig or Path(kubeconfig).resolve() == Paths.default().kubeconfig.resolve():
        _load_into_ours(references, Paths.default().containerd_socket)
    elif (context := _context(Path(kubeconfig))).startswith("kind-"):
        name = context.removeprefix("kind-")
        _load_archive(references, ["kind", "load", "image-archive", "--name", name])
    elif shutil.which("k3s"):
        _load_archive(references, ["k3s", "ctr", "--namespace", "k8s.io", "images", "import"])
    else:
        raise StepError(
            "load the images",
            f"the cluster of {kubeconfig} (context {context}) is neither kind nor a k3s on this machine. "
            "Set REGISTRY to a registry that it can pull from, such as REGISTRY=registry.example.com/lowbit.",
        )
    return dict(references)


def _load_into_ours(references: Mapping[str, str], socket: Path) -> None:
    if not socket.exists():
        raise StepError("load the images", f"the cluster is not up: there is no {socket}")
    ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]
    known = set(_output([*ctr, "images", "list", "--quiet"]).split())
    missing = {name: reference for name, reference in references.items() if reference not in known}
    if not missing:
        return
    with step(f"load the images into the cluster: {', '.join(missing)}"):
        present = _present(ctr, Paths.default().images / CONTENT)
        layout = archive.layout(missing, present)
        try:
            _stream(layout, [*ctr, "images", "import", "-"])
        finally:
            shutil.rmtree(layout)


def _present(ctr: list[str], store: Path) -> Present:
    """The layers in containerd's content store, by diff id. `store` is the folder of its blobs."""
    found = {}
    for line in _output([*ctr, "content", "list"]).splitlines()[1:]:
        digest = line.split()[0]
        label = re.search(r"containerd\.io/uncompressed=(sha256:[0-9a-f]{64})", line)
        blob = store / digest.removeprefix("sha256:")
        if blob.exists():
            found[label[1] if label else digest] = Blob(digest, blob.stat().st_size, _media_type(blob))
    return found


def _media_type(blob: Path) -> str:
    with blob.open("rb") as content:
        start = content.read(4)
    compression = {b"\x28\xb5\x2f\xfd": "+zstd", b"\x1f\x8b\x08\x00": "+gzip"}.get(start, "")
    return "application/vnd.oci.image.layer.v1.tar" + compression


def _stream(layout: Path, command: list[str]) -> None:
    log = folder() / "logs" / "import.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        try:
            with process.stdin:
                archive.write(layout, process.stdin)
        except BrokenPipeError:
            pass  # the exit code and the log tell more
        if process.wait() != 0:
            raise StepError("load the images", f"ctr ended with exit code {process.returncode}", log)


def _load_archive(references: Mapping[str, str], command: list[str]) -> None:
    for name, reference in references.items():
        file = folder() / f"{name}.tar"
        with step(f"load the {name} image into the cluster"):
            try:
                run(f"push-{name}", buildah("push", "--quiet", reference, f"docker-archive:{file}:{reference}"))
                run(f"load-{name}", [*command, str(file)])
            finally:
                file.unlink(missing_ok=True)


def _push(references: Mapping[str, str], registry: str) -> dict[str, str]:
    pushed = {}
    for name, reference in references.items():
        pushed[name] = f"{registry}/{reference.rpartition('/')[2]}"
        with step(f"push {pushed[name]}"):
            run(f"push-{name}", buildah("push", "--quiet", *_plain(registry), reference, f"docker://{pushed[name]}"))
    return pushed


def _plain(registry: str) -> list[str]:
    """A registry on loopback, such as the one beside a kind cluster, speaks HTTP, and docker and containerd know it."""
    host = registry.partition("/")[0].rpartition(":")[0] or registry.partition("/")[0]
    return ["--tls-verify=false"] if host in ("localhost", "127.0.0.1", "[::1]") else []


def _context(kubeconfig: Path) -> str:
    if not kubeconfig.exists():
        raise StepError("load the images", f"KUBECONFIG names {kubeconfig}, which is not there")
    return str((yaml.safe_load(kubeconfig.read_text()) or {}).get("current-context", ""))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise StepError(" ".join(command[-3:]), done.stderr.strip()[-1500:])
    return done.stdout
