"""What a LIST answers, a part at a time: in pages, or as a stream of events.

A stream is what the API server's watch cache holds. Pages of what has been at rest come from etcd, and each object is decoded
anew for them (docs/benchmarks.md). It has streams since 1.32
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
"""Objects in one part at most. Nothing else goes on while it is read: this takes some 20 ms."""
STREAMED = {
    "watch": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}
"""The query of a LIST as a stream: everything that there is, as fresh as etcd is now, then a bookmark that says that this was all."""
LAST = "k8s.io/initial-events-end"
"""The annotation of that bookmark."""


@dataclass(frozen=True)
class Part:
    """Some of the objects of a LIST, and those that have gone again since an earlier part showed them."""

    items: Sequence[Object]
    gone: Sequence[Object] = ()


Take: TypeAlias = Callable[[Part], None]


def take_page(answer: bytes, resource: Resource, take: Take) -> tuple[str, str]:
    """Hand a page on. Its resourceVersion, and the token of the next one."""
    with uncollected():
        page = json.loads(answer)
        version, items = page["metadata"].get("resourceVersion", ""), page.get("items") or []
        for item in items:  # objects of a built-in list carry neither
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        take(Part(items))
        token = page["metadata"].get("continue") or ""
        del page, items  # gone before the collector looks again
        return version, token


async def take_stream(chunks: AsyncIterator[bytes], what: str, take: Take) -> str:
    """Hand a stream on, part by part. The resourceVersion of all of it. Raises KubeError; `what` names the call in it.

    Events that come after the first look, and before its end, are taken into account: the watch cache was behind etcd then.
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
            await asyncio.sleep(0)  # what has come already is read without waiting
    raise Unavailable(0, "NoAnswer", f"{what}: the stream ended before all was told")


def _take_events(lines: Sequence[bytes], what: str, take: Take) -> str | None:
    """Hand on what some events tell. The last one's resourceVersion; None where more is to come."""
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
    """The API server gives the stream up. Whatever the reason: what was shown so far is not all."""
    code, reason, message = int(status.get("code") or 0), str(status.get("reason", "")), status.get("message")
    return Unavailable(code, reason, f"{what}: the stream ended before all was told: {message or f'HTTP {code}'}")


def _is_last(bookmark: Mapping[str, Any]) -> bool:
    return (bookmark["metadata"].get("annotations") or {}).get(LAST) == "true"
