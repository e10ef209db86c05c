"""What every request of the operator must have, whatever it is about. The design's promises, held against the wire."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lowbit.naming.names import MANAGED_BY, MANAGED_BY_LABEL
from tests.faults.plan import Asked

SLACK = 1.5
"""Seconds that a write may take from the operator to here."""
UNDER_WAY = 0.3
"""Seconds in which requests of a process that has ended may still come; the next one has hardly begun by then."""
WITHOUT_OWNER = ("events", "leases")


@dataclass
class Held:
    """Who holds the Lease, and when it was renewed."""

    holder: str = ""
    renewed: float = -math.inf


@dataclass
class Wire:
    """The rules of one operator's requests. now is seconds that never go back. Operators of one Lease share `held`."""

    wrong: list[str] = field(default_factory=list)
    held: Held = field(default_factory=Held)
    late: float = 0.0
    """Seconds by which this machine lately came too late to anything: a write may be as late in coming here."""
    _leads_until: float = math.inf
    """The Lease's own end; infinite until it was first seen."""

    def asks(self, ask: Asked, query: Mapping[str, str], body: bytes, now: float) -> None:
        """A request has come."""
        if not ask.write:
            return
        said = list(self._lease(body, now) if ask.lease else self._write(ask, query, body, now))
        self.wrong += [f"{ask.text}: {each}" for each in said]

    def agreed(self, body: bytes, now: float) -> None:
        """The API server has agreed to a write of the Lease that came at a time."""
        spec = json.loads(body)["spec"]
        self.held.holder, self.held.renewed = spec["holderIdentity"], now
        self._leads_until = now + spec["leaseDurationSeconds"] if self.held.holder else -math.inf

    def died(self, now: float) -> None:
        """The operator has ended: the next one leads when it has the Lease. What was under way still comes."""
        self._leads_until = min(self._leads_until, now + UNDER_WAY - SLACK)

    def _lease(self, body: bytes, now: float) -> Iterator[str]:
        spec = json.loads(body)["spec"]
        holder, last, waited = spec["holderIdentity"], self.held.holder, now - self.held.renewed
        if holder and last and holder != last and waited < 0.9 * spec["leaseDurationSeconds"]:
            yield f"{holder} takes the Lease {waited:.1f} s after {last} has renewed it"

    def _write(self, ask: Asked, query: Mapping[str, str], body: bytes, now: float) -> Iterator[str]:
        if now > self._leads_until + SLACK + self.late:
            yield "written without the Lease"
        manifest = json.loads(body or b"{}")
        if ask.resource in WITHOUT_OWNER:
            return
        if ask.verb == "delete":
            yield from _deletes(manifest)
        elif ask.verb == "create" or query.get("force") == "true":
            yield from _makes(manifest)
            if ask.verb == "patch" and not manifest["metadata"].get("resourceVersion"):
                yield "applied to whatever is there: without the resourceVersion that was seen, or that of no object"
        else:
            yield from _precondition(manifest["metadata"])


def _precondition(fields: Mapping[str, Any]) -> Iterator[str]:
    missing = [each for each in ("uid", "resourceVersion") if not fields.get(each)]
    if missing:
        yield f"written over whatever is there: without {' and '.join(missing)}"


def _deletes(options: Mapping[str, Any]) -> Iterator[str]:
    yield from _precondition(options.get("preconditions") or {})
    if options.get("propagationPolicy") != "Background":
        yield "what it owns is not deleted with it, or it waits for what it owns"


def _makes(manifest: Mapping[str, Any]) -> Iterator[str]:
    metadata = manifest["metadata"]
    if not metadata.get("ownerReferences"):
        yield "made without an owner: nobody would collect it"
    if (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) != MANAGED_BY:
        yield f"made without the label {MANAGED_BY_LABEL}"
