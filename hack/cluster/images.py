"""Container images without a registry: small ones made here from a static program, others loaded from archives."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Protocol

from hack.cluster import paths
from hack.cluster.progress import StepError

PAUSE = "lowbit.local/pause:1"
COREDNS = "lowbit.local/coredns:1.15.0"
BUSYBOX = "lowbit.local/busybox:1"
BUSYBOX_LINKS = ("sh", "sleep", "cat", "echo", "wget", "nslookup", "nc", "httpd", "id", "ls", "mkdir", "touch", "stat")
NOBODY = "65532:65532"
NAME_NOTE = "io.containerd.image.name"
LABEL = "lowbit.dev/archive"  # on a loaded image: the archive that it came from


class Runtime(Protocol):
    """What images are loaded into: a node."""

    def ctr(self, *words: str | Path) -> CompletedProcess[str]: ...


@dataclass(frozen=True)
class SmallImage:
    """An image of one layer that holds one static program, and links to it under other names."""

    name: str
    program: Path
    entrypoint: tuple[str, ...]
    links: tuple[str, ...] = ()
    user: str = NOBODY
    environment: Mapping[str, str] = field(default_factory=dict)


def small_images() -> tuple[SmallImage, ...]:
    """What the cluster itself runs, and busybox for tests: a shell, wget, nslookup, nc."""
    return (
        SmallImage(PAUSE, paths.tools() / "pause", ("/bin/pause",)),
        SmallImage(COREDNS, paths.tools() / "coredns", ("/bin/coredns",)),
        SmallImage(BUSYBOX, Path("/bin/busybox"), ("/bin/sh",), BUSYBOX_LINKS, environment={"PATH": "/bin"}),
    )


def load_small_images(runtime: Runtime, folder: Path) -> None:
    """Make the small images and load those that are not there. Raises StepError."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in small_images():
        if not image.program.exists():
            how = "python3 -m hack.cluster.packages and python3 -m hack.cluster.build"
            raise StepError(f"make {image.name}", f"{image.program} is missing: run {how}")
        archive = folder / f"{image.name.rpartition('/')[2].replace(':', '-')}.tar"
        write_archive(image, archive)
        load(runtime, archive)
        archive.unlink()


def load(runtime: Runtime, archive: Path, name: str | None = None) -> bool:
    """Load an image archive (OCI or Docker) into the node; False where it was there already from this very archive.

    Without `name`, the one that the archive gives. Raises StepError with what containerd says.
    """
    digest, given = manifest_digest(archive), name_in(archive)
    name = name or given
    if not name:
        raise StepError(f"load {archive.name}", "the archive names no image: give the name")
    if f"{LABEL}={digest}" in runtime.ctr("images", "list", f"name=={name}").stdout:
        return False
    _ctr(runtime, archive, "images", "import", *(() if name == given else ("--index-name", name)), archive)
    _ctr(runtime, archive, "images", "label", name, f"{LABEL}={digest}")
    return True


def manifest_digest(archive: Path) -> str:
    """What tells two archives apart: the SHA-256 of the document that names all their parts by digest."""
    index = _member(archive, "index.json") or _member(archive, "manifest.json")
    if index is None:
        raise StepError(f"load {archive.name}", "it is neither an OCI archive nor a Docker one")
    return hashlib.sha256(index).hexdigest()


def name_in(archive: Path) -> str | None:
    """The full name that an archive gives its image, if it does."""
    if docker := _member(archive, "manifest.json"):
        tags = json.loads(docker)[0].get("RepoTags") or [None]
        return str(tags[0]) if tags[0] else None
    index = json.loads(_member(archive, "index.json") or b"{}")
    for manifest in index.get("manifests", []):
        notes = manifest.get("annotations", {})
        name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
        if name and "/" in name:
            return str(name)
    return None


def write_archive(image: SmallImage, archive: Path) -> None:
    """Write an OCI archive; the same bytes for the same image."""
    layer = _layer(image)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": image.user,
                "Entrypoint": list(image.entrypoint),
                "Env": [f"{key}={value}" for key, value in image.environment.items()],
            },
            "rootfs": {"type": "layers", "diff_ids": [_sha256(layer)]},
        }
    )
    kind = "application/vnd.oci.image"
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": _descriptor(f"{kind}.config.v1+json", config),
            "layers": [_descriptor(f"{kind}.layer.v1.tar", layer)],
        }
    )
    entry = {**_descriptor(f"{kind}.manifest.v1+json", manifest), "annotations": {NAME_NOTE: image.name}}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (layer, config, manifest):
            _add(tar, "blobs/" + _sha256(blob).replace(":", "/"), blob)


def _layer(image: SmallImage) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        program = image.entrypoint[0].lstrip("/") if not image.links else f"bin/{image.program.name}"
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            _add(tar, folder, None, mode)
        _add(tar, program, image.program.read_bytes(), 0o755)
        for name in image.links:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, f"/{program}"
            tar.addfile(link)
        _add(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65532:65532::/tmp:/bin/sh\n")
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes | None, mode: int = 0o644) -> None:
    """Add a file, or a folder where there is no content; with no time and no owner, for the same bytes again."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
        return
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _member(archive: Path, name: str) -> bytes | None:
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.name.removeprefix("./") == name and (file := tar.extractfile(entry)):
                return file.read()
    return None


def _ctr(runtime: Runtime, archive: Path, *words: str | Path) -> None:
    done = runtime.ctr(*words)
    if done.returncode != 0:
        raise StepError(f"load {archive.name}", done.stderr.strip()[-2000:])


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _sha256(content), "size": len(content)}


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
