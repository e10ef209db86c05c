"""Worker documents: annotations of the very pod template that reads them, mounted as files by the downward API.

So a shared Job depends on no object that goes away with one of its owners, and there is one object less to watch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from lowbit.api.base import Wire
from lowbit.api.paths import DOCUMENT_PATH
from lowbit.desired.volumes import Mount
from lowbit.naming.canonical import canonical
from lowbit.naming.names import DOCUMENT_ANNOTATION

LIMIT_BYTES = 200 * 1024
"""All annotations of an object may have 256 KiB; the rest is left to the manifest's own and to the cluster's."""
VOLUME_PREFIX = "in-"


class DocumentTooLarge(ValueError):  # noqa: N818 - it is a verdict on the input, not an error of the program
    """The documents of one pod do not fit into its annotations."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(
            f"the worker's document for {name} has {size / 1024:.0f} KiB, and a pod can carry {LIMIT_BYTES // 1024} KiB"
        )


def document_text(document: Wire) -> str:
    """Canonical JSON: sorted, and without defaults, so that a newer Lowbit's new field changes no pod template."""
    whole = {"stage": getattr(document, "stage", None)} | canonical(document)
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def document_annotations(name: str, documents: Mapping[str, Wire]) -> dict[str, str]:
    """Annotations of the pod template of `name`: each document's text. Raises DocumentTooLarge."""
    texts = {annotation: document_text(document) for annotation, document in documents.items()}
    size = sum(len(text.encode()) for text in texts.values())
    if size > LIMIT_BYTES:
        raise DocumentTooLarge(name, size)
    return texts


def document_mount(annotation: str = DOCUMENT_ANNOTATION) -> Mount:
    """The document in one annotation at DOCUMENT_PATH."""
    return annotation_mount(annotation, DOCUMENT_PATH)


def annotation_mount(annotation: str, path: str) -> Mount:
    """One annotation of the pod, as a file."""
    folder, _, file = path.rpartition("/")
    item = {"path": file, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}
    return Mount(
        VOLUME_PREFIX + annotation.rpartition("/")[2], {"downwardAPI": {"items": [item]}}, folder, read_only=True
    )
