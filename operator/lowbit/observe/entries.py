"""Objects as they are kept: whole while somebody asks for them, compressed while nobody does.

Thousands of settled objects are hardly ever looked at. As a dict each takes ten times the memory of its JSON, and the
garbage collector walks through all of them.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from lowbit.observe.keys import Key, job_of_pod, models_of
from lowbit.observe.scraped import Scraped

WHOLE = 16_384
"""So many objects are kept whole at most: those that were asked for last."""


class Entry:
    """One object, trimmed, and the view of it that was made last."""

    __slots__ = ("job", "kind", "manifest", "models", "namespace", "packed", "scraped", "uid", "version", "view")

    def __init__(self, manifest: dict[str, Any]) -> None:
        metadata = manifest["metadata"]
        self.kind: str = manifest["kind"]
        self.namespace: str = metadata.get("namespace", "")
        self.uid = str(metadata.get("uid", ""))
        self.version = str(metadata.get("resourceVersion", ""))
        self.models = models_of(manifest)
        """Names of the QuantizedModels that it names itself."""
        self.job = job_of_pod(manifest) if self.kind == "Pod" else None
        """The Job of a pod."""
        self.manifest: dict[str, Any] | None = manifest
        """None while it is packed."""
        self.packed: bytes | None = None
        self.view: Any = None
        self.scraped: Scraped | None = None
        """Made with the first view."""

    @property
    def keys(self) -> frozenset[Key]:
        """The QuantizedModels that it names itself."""
        return frozenset(Key(self.namespace, name) for name in self.models)


class Shelf:
    """Keeps `whole` entries as they are, and packs those that nobody has asked for the longest."""

    def __init__(self, whole: int = WHOLE) -> None:
        self._limit = whole
        self._whole: OrderedDict[Entry, None] = OrderedDict()
        self._samples: dict[str, bytes] = {}
        """By kind: the first object that was packed, as the compressor's dictionary for the others."""

    def manifest(self, entry: Entry) -> dict[str, Any]:
        """The whole object."""
        if entry.manifest is None:
            entry.manifest = self._unpacked(entry)
        self.asked(entry)
        return entry.manifest

    def asked(self, entry: Entry) -> None:
        """Somebody has looked at it."""
        self._whole[entry] = None
        self._whole.move_to_end(entry)
        if len(self._whole) > self._limit:
            self.pack(next(iter(self._whole)))

    def pack(self, entry: Entry) -> None:
        """Keep it compressed until somebody asks for it. What was packed before and has not changed costs nothing."""
        if entry.packed is None and entry.manifest is not None:
            entry.packed = self._packed(entry.kind, entry.manifest)
        entry.manifest = entry.view = None
        self._whole.pop(entry, None)

    def forget(self, entry: Entry) -> None:
        """It has gone, or was replaced."""
        self._whole.pop(entry, None)

    def _packed(self, kind: str, manifest: Mapping[str, Any]) -> bytes:
        text = to_json(manifest)  # a fifth of the time that json.dumps takes
        sample = self._samples.setdefault(kind, text)
        compressor = zlib.compressobj(level=1, zdict=sample)
        return compressor.compress(text) + compressor.flush()

    def _unpacked(self, entry: Entry) -> dict[str, Any]:
        assert entry.packed is not None  # noqa: S101 - it is one or the other
        text = zlib.decompressobj(zdict=self._samples[entry.kind]).decompress(entry.packed)
        manifest: dict[str, Any] = json.loads(text)
        return manifest
