"""A LIST, delivered in parts: from pages, or from a stream of events.

The API server streams from its watch cache. Pages of objects that have not changed for a while come from etcd, and the
API server decodes each object again (docs/benchmarks.md). Kubernetes streams LISTs since 1.32
(https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lowbit.kube.errors import Unavailable
from lowbit.kube.resources import Resource
from lowbit.kube.uncollected import uncollected

Object = dict[str, Any]

CHUNK = 250
"""Objects in one part at most. Parsing that many blocks the event loop for some 20 ms."""
STREAMED = {
    "watch": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}
"""Query of a streamed LIST: all objects, as fresh as etcd, then a bookmark that marks the end."""
LAST = "k8s.io/initial-events-end"
"""Annotation of that bookmark."""


@dataclass(frozen=True)
class Part:
    """Some objects of a LIST, and those that were deleted after an earlier part showed them."""

    items: Sequence[Object]
    gone: Sequence[Object] = ()


Take: TypeAlias = Callable[[Part], None]


def take_page(answer: bytes, resource: Resource, take: Take) -> tuple[str, str]:
    """Deliver a page to `take`. Returns its resourceVersion, and the continue token; the token is empty at the end."""
    with uncollected():
        page = json.loads(answer)
        version, items = page["metadata"].get("resourceVersion", ""), page.get("items") or []
        for item in items:  # objects of a built-in list carry neither
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        take(Part(items))
        token = page["metadata"].get("continue") or ""
        del page, items  # freed before the garbage collector runs again
        return version, token


async def take_stream(chunks: AsyncIterator[bytes], what: str, take: Take) -> str:
    """Deliver a stream to `take`, part by part. Returns the resourceVersion of the whole.

    Events between the first objects and the final bookmark are included: the watch cache may lag behind etcd at first.
    Raises KubeError; `what` names the call in its message.
    """
    begun: list[bytes] = []
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if not others:
            continue
        lines, begun = [b"".join(begun), *others[:-1]], [others[-1]]
        for start in range(0, len(lines), CHUNK):
            version = _take_events(lines[start : start + CHUNK], what, take)
            if version is not None:
                return version
            await asyncio.sleep(0)  # data that has arrived is read without waiting: let other tasks run
    raise Unavailable(0, "NoAnswer", f"{what}: the stream ended before all was told")


def _take_events(lines: Sequence[bytes], what: str, take: Take) -> str | None:
    """Deliver some events to `take`. Returns the resourceVersion of the final bookmark; None if it is still to come."""
    with uncollected():
        items: list[Object] = []
        for line in lines:
            type_, manifest = _read(line, what)
            if type_ == "ERROR":
                raise _ended(manifest, what)
            if type_ == "DELETED":
                take(Part(items, (manifest,)))
                items = []
            elif type_ != "BOOKMARK":
                items.append(manifest)
            elif _is_last(manifest):
                take(Part(items))
                return str(manifest["metadata"]["resourceVersion"])
        take(Part(items))
        return None


def _read(line: bytes, what: str) -> tuple[str, Object]:
    try:
        event = json.loads(line)
        return event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(0, "NoAnswer", f"{what}: not an event: {line[:100]!r}") from error


def _ended(status: Mapping[str, Any], what: str) -> Unavailable:
    """The error of a stream that the API server ended early: the objects so far are incomplete."""
    code, reason, message = int(status.get("code") or 0), str(status.get("reason", "")), status.get("message")
    return Unavailable(code, reason, f"{what}: the stream ended before all was told: {message or f'HTTP {code}'}")


def _is_last(bookmark: Mapping[str, Any]) -> bool:
    return (bookmark["metadata"].get("annotations") or {}).get(LAST) == "true"
