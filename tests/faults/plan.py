"""Plans: which fault happens at which request or watch event. Written as text, so that one command repeats a plan.

    kill-before@create:jobs:quantize-0a1b2c3d4e#1
    lost@update:quantizedmodels/status:chat#2,delay=0.5@list:jobs#1

A point is a verb, a resource (with its subresource), a name, and the how-manieth of its sort it is. Points survive a
change of order between runs; a plain number would not.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

WRITES = ("create", "update", "patch", "delete")
CRASHES = ("kill-before", "kill-after", "lost")
"""What may happen to a write: the process ends before it, or after its commit; or only the answer is lost."""
ANSWERS = ("409", "410", "429", "500", "503")
"""Answered by the proxy, and not passed on; the value of 429 is its Retry-After."""
ON_REQUESTS = (*CRASHES, "refuse", "delay", "repeat", "stale", "freeze", *ANSWERS)
ON_EVENTS = ("kill-before", "cut", "drop", "delay", "duplicate", "reorder", "gone")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<space>[^/]+))?"
    r"(?:/(?P<plural>[^/]+))?(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)


@dataclass(frozen=True)
class Asked:
    """What a request asks for."""

    verb: str
    resource: str
    name: str = ""

    @property
    def write(self) -> bool:
        return self.verb in WRITES

    @property
    def lease(self) -> bool:
        return self.resource == "leases"

    @property
    def text(self) -> str:
        return ":".join(filter(None, (self.verb, self.resource, self.name)))


@dataclass(frozen=True)
class Call:
    """One request that came, in the order of arrival."""

    number: int
    asked: Asked
    occurrence: int

    @property
    def point(self) -> str:
        return f"{self.asked.text}#{self.occurrence}"


@dataclass(frozen=True)
class Fault:
    """What happens at a point. value: seconds, or a 429's Retry-After."""

    action: str
    point: str
    value: float = 0.0

    def __str__(self) -> str:
        value = f"={self.value:g}" if self.value else ""
        return f"{self.action}{value}@{self.point}"


Plan = tuple[Fault, ...]


class Numbering:
    """Counts how often something of a sort has come."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, sort: str) -> int:
        self._seen[sort] += 1
        return self._seen[sort]


def parse(text: str) -> Plan:
    """A plan from its text. Raises ValueError."""
    faults = []
    for part in filter(None, text.split(",")):
        action, at, point = part.partition("@")
        name, _, value = action.partition("=")
        known = ON_EVENTS if point.startswith("event:") else ON_REQUESTS
        if not at or "#" not in point or name not in known:
            raise ValueError(f"not a fault: {part!r}; write ACTION[=VALUE]@POINT#N, with one of {', '.join(known)}")
        faults.append(Fault(name, point, float(value or 0)))
    return tuple(faults)


def told(plan: Iterable[Fault]) -> str:
    """A plan's text."""
    return ",".join(map(str, plan))


def asked(method: str, path: str, watch: bool, body: bytes) -> Asked:
    """What a request asks for. Names of Events carry a uid's hash: they are called by their reason."""
    found = _PATH.match(path)
    if found is None or found["plural"] is None:
        return Asked("get", "discovery", path.strip("/").replace("/", "."))
    resource = "/".join(filter(None, (found["plural"], found["sub"])))
    name = found["name"] or ""
    if method == "GET":
        return Asked("watch" if watch else "get" if name else "list", resource, name)
    if resource == "events":
        name = (json.loads(body or b"{}").get("reason") or "series") if method == "POST" else "series"
    elif method == "POST":
        name = json.loads(body)["metadata"]["name"]
    return Asked(_VERBS[method], resource, name)
