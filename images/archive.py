"""OCI archives of images, with only the layers that the other side does not have."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from images.buildah import buildah, folder, run

Present = Mapping[str, int]
"""The blobs that the other side has: digest (with its sha256: prefix) to size in bytes."""


def layout(references: Mapping[str, str], present: Present) -> Path:
    """Write these images, uncompressed, into one OCI layout, so that a shared layer is there once; return its folder.

    A blob that is present on the other side is stood in for by an empty file of its size: buildah then does not
    write it again. Raises StepError.
    """
    target = folder() / "oci"
    shutil.rmtree(target, ignore_errors=True)
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, size in present.items():
        with (blobs / digest.removeprefix("sha256:")).open("wb") as blob:
            blob.truncate(size)
    for name, reference in references.items():
        run(f"push-{name}", buildah("push", "--quiet", "--disable-compression", reference, f"oci:{target}:{reference}"))
    return target


def write(target: Path, stream: IO[bytes], present: Present) -> None:
    """Write the layout as a tar archive that containerd imports; what is present is left out."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive:
        _add(archive, "oci-layout", (target / "oci-layout").read_bytes())
        _add(archive, "index.json", json.dumps(_named(json.loads((target / "index.json").read_text()))).encode())
        for blob in sorted((target / "blobs" / "sha256").iterdir()):
            if f"sha256:{blob.name}" not in present:
                archive.add(blob, f"blobs/sha256/{blob.name}")


def _named(index: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, list[dict[str, dict[str, str]]]]:
    # containerd takes the full name from an annotation of its own.
    for manifest in index["manifests"]:
        annotations = manifest.setdefault("annotations", {})
        annotations["io.containerd.image.name"] = annotations["org.opencontainers.image.ref.name"]
    return index


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
