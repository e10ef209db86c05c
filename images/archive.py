"""OCI archives of several images: each layer once, and none that the other side has already."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hack.cluster.progress import StepError
from images.buildah import buildah, folder, run

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# The quickest compression: what is not written to disk is won twice.
COMPRESSION = ("--compression-format", "zstd", "--compression-level", "1")


@dataclass(frozen=True)
class Blob:
    """A layer as it is stored: compressed or not."""

    digest: str
    size: int
    media_type: str

    def descriptor(self) -> dict[str, Any]:
        """The layer as an entry of a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


Present = Mapping[str, Blob]
"""What the other side has: from a layer's diff id (the digest of what is in it, uncompressed) to its blob."""


def layout(references: Mapping[str, str], present: Present) -> Path:
    """Write these images, by name, into one OCI layout without the layers that are present; return its folder.

    Raises StepError.
    """
    target = folder() / "oci"
    shutil.rmtree(target, ignore_errors=True)
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    known = dict(present)
    manifests = []
    for name, reference in references.items():
        diff_ids = _diff_ids(reference)
        stand_ins = [blobs / diff_id.removeprefix("sha256:") for diff_id in diff_ids if diff_id in known]
        for stand_in in stand_ins:
            stand_in.touch()  # buildah does not write a layer again whose digest is there
        (target / "index.json").unlink(missing_ok=True)
        run(f"push-{name}", buildah("push", "--quiet", *COMPRESSION, reference, f"oci:{target}:{name}"))
        for stand_in in stand_ins:
            stand_in.unlink()
        manifests.append(_complete(target, reference, diff_ids, known))
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    return target


def write(target: Path, stream: IO[bytes]) -> None:
    """Write the layout as a tar archive, which containerd imports."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive:
        for name in ("oci-layout", "index.json"):
            _add(archive, name, (target / name).read_bytes())
        for blob in sorted((target / "blobs" / "sha256").iterdir()):
            archive.add(blob, f"blobs/sha256/{blob.name}")


def _complete(target: Path, reference: str, diff_ids: list[str], known: dict[str, Blob]) -> dict[str, Any]:
    """Put the real blobs into the manifest that buildah wrote, remember the new ones, return the index's entry."""
    blobs = target / "blobs" / "sha256"
    index = json.loads((target / "index.json").read_text())
    written = blobs / index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads(written.read_text())
    written.unlink()
    for diff_id, layer in zip(diff_ids, manifest["layers"], strict=True):
        known.setdefault(diff_id, Blob(layer["digest"], layer["size"], layer["mediaType"]))
    manifest["layers"] = [known[diff_id].descriptor() for diff_id in diff_ids]
    content = json.dumps(manifest).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    # containerd takes the image's full name from this annotation.
    annotations = {"io.containerd.image.name": reference}
    return {"mediaType": MANIFEST, "digest": f"sha256:{digest}", "size": len(content), "annotations": annotations}


def _diff_ids(reference: str) -> list[str]:
    done = subprocess.run(buildah("inspect", "--type", "image", reference), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise StepError(f"read the image {reference}", done.stderr.strip())
    return list(json.loads(done.stdout)["OCIv1"]["rootfs"]["diff_ids"])


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
