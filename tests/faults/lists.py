"""LISTs as they are answered: as one object, or as a stream of events that ends with a bookmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from lowbit.kube.listing import LAST


def is_stream(query: Mapping[str, str]) -> bool:
    """Whether a request is a LIST that is to come as a stream; else its `watch` says what it is."""
    return query.get("sendInitialEvents") == "true"


async def read_stream(answer: aiohttp.ClientResponse) -> bytes:
    """All of it, with the bookmark; what the API server would tell after it is not waited for."""
    lines = []
    async for line in answer.content:
        lines.append(line)
        if LAST.encode() in line and _is_last(json.loads(line)):
            break
    return b"".join(lines)


def _is_last(event: Mapping[str, Any]) -> bool:
    return event["type"] == "BOOKMARK" and LAST in event["object"]["metadata"].get("annotations", {})


@dataclass(frozen=True)
class Shown:
    """What a LIST has shown, to be shown again in either form."""

    version: str
    items: tuple[Any, ...]

    @classmethod
    def of(cls, body: bytes, *, stream: bool) -> Shown:
        """From an answer with the status 200."""
        if not stream:
            page = json.loads(body)
            return cls(page["metadata"]["resourceVersion"], tuple(page["items"]))
        *events, last = map(json.loads, body.splitlines())
        there: dict[str, Any] = {}
        for event in events:
            name = event["object"]["metadata"].get("name", "")
            there.pop(name, None)
            if event["type"] in ("ADDED", "MODIFIED"):
                there[name] = event["object"]
        return cls(last["object"]["metadata"]["resourceVersion"], tuple(there.values()))

    def body(self, *, stream: bool) -> bytes:
        """As an answer."""
        metadata: dict[str, Any] = {"resourceVersion": self.version}
        if not stream:
            return json.dumps({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": self.items}).encode()
        events = [{"type": "ADDED", "object": each} for each in self.items]
        last = {"type": "BOOKMARK", "object": {"metadata": metadata | {"annotations": {LAST: "true"}}}}
        return b"".join(json.dumps(each).encode() + b"\n" for each in (*events, last))
