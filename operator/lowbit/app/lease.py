"""Leader election by a Lease: one operator holds it at a time, and may start writes until a deadline."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lowbit.kube.client import Kube
from lowbit.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from lowbit.watching.ended import HistoryLost

logger = logging.getLogger(__name__)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Terms:
    """A Lease's name and durations (seconds): retry < renew_deadline < duration."""

    namespace: str
    name: str
    identity: str
    duration: float
    renew_deadline: float
    retry: float


class LeaderElection:
    """Holds the Lease, or waits for it.

    It takes over another's Lease that has not changed for its duration on our clock, so that the clocks of two nodes
    need not agree. clock: seconds, monotonic; now: the time of day, for people. on_leading is called when leading
    begins and ends, and when it resumes after a lapse in which no write was permitted.
    """

    def __init__(
        self,
        kube: Kube,
        terms: Terms,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        on_leading: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._kube = kube
        self._terms = terms
        self._clock = clock
        self._now = now
        self._on_leading = on_leading
        self._deadline = -math.inf
        self._observed: tuple[str, float] | None = None
        """The resourceVersion of another's Lease, and when we first saw it."""
        self._ends = -math.inf
        """When another's Lease may be taken, if it does not change before."""
        self._newest = 0
        """The highest resourceVersion that the Lease has had."""
        self._held: Mapping[str, Any] | None = None
        self.leading = asyncio.Event()
        self.error = ""
        """Why the last attempt failed."""
        self.last_answer = clock()
        """When the API server last answered."""
        self.answering_since = clock()
        """Since when it has answered without a silence longer than the Lease's duration."""

    def permit(self) -> bool:
        """Whether a write may be started now."""
        return self._clock() < self._deadline

    def silence(self) -> float:
        """Seconds since the API server last answered."""
        return self._clock() - self.last_answer

    async def run(self) -> None:
        """Take the Lease and renew it, for ever."""
        while True:
            await self.step()
            await asyncio.sleep(self.until_next())

    def until_next(self) -> float:
        """Seconds until the next attempt: the end of another's Lease, if that comes before the next retry."""
        left = self._ends - self._clock()
        return min(left, self._terms.retry) if left > 0 else self._terms.retry

    async def step(self) -> None:
        """One attempt to take or renew the Lease. Raises HistoryLost."""
        started = self._clock()
        held = False
        try:
            async with asyncio.timeout(self._terms.renew_deadline):
                held = await self._try()
            self._answered()
            self.error = ""
        except (KubeError, TimeoutError) as error:
            self.error = str(error) or "no answer in time"
            logger.warning("Lease %s/%s: %s", self._terms.namespace, self._terms.name, self.error)
        lapsed = self.leading.is_set() and not self.permit()
        if held:
            self._deadline = started + self._terms.renew_deadline
        if lapsed and self.permit():
            # Nobody else has led, but writes were dropped meanwhile: everything has to be reconciled again.
            logger.warning("%s renewed too late, and goes on", self._terms.identity)
            self._on_leading(True)
        self._tell()

    def _answered(self) -> None:
        now = self._clock()
        if now - self.last_answer > self._terms.duration:
            self.answering_since = now
        self.last_answer = now

    async def release(self) -> None:
        """Release the Lease, so that another need not wait for its end. Call it when no write is in flight."""
        held, self._held, self._deadline = self._held, None, -math.inf
        self.leading.clear()
        if held is None:
            return
        manifest = self._manifest(held, holder="", duration=1)
        try:
            await self._kube.replace(manifest)
        except KubeError as error:
            logger.warning("the Lease was not released: %s", error.message)

    def _tell(self) -> None:
        """Set or clear `leading`, and report a change."""
        if self.permit() and not self.leading.is_set():
            logger.info("%s leads", self._terms.identity)
            self.leading.set()
            self._on_leading(True)
        elif not self.permit() and self.leading.is_set():
            logger.warning("%s does not lead any more", self._terms.identity)
            self.leading.clear()
            self._on_leading(False)

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease. Returns whether it is held."""
        try:
            if self._held is not None:
                self._held = self._seen(await self._kube.replace(self._manifest(self._held, self._terms.identity)))
                return True
            return await self._acquire()
        except (Conflict, AlreadyExists):
            self._lose()
            return False
        except NotFound:
            self._lose()  # it was deleted: another operator may create it first
            raise

    def _lose(self) -> None:
        self._held, self._deadline = None, -math.inf

    async def _acquire(self) -> bool:
        terms = self._terms
        try:
            lease = self._seen(await self._kube.get("Lease", terms.namespace, terms.name))
        except NotFound:
            self._held = self._seen(await self._kube.create(self._manifest(None, terms.identity)))
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", terms.identity) and not self._expired(lease, spec):
            return False
        self._held = self._seen(await self._kube.replace(self._manifest(lease, terms.identity)))
        return True

    def _seen(self, lease: dict[str, Any]) -> dict[str, Any]:
        """The Lease. Raises HistoryLost if its resourceVersion went back: a restored etcd is noticed before a write."""
        version = str(lease["metadata"]["resourceVersion"])
        if version.isdecimal():
            if int(version) < self._newest:
                self._lose()
                raise HistoryLost(f"Lease {self._terms.namespace}/{self._terms.name}")
            self._newest = int(version)
        return lease

    def _expired(self, lease: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if self._observed is None or self._observed[0] != version:
            self._observed = (version, self._clock())
        self._ends = self._observed[1] + float(spec.get("leaseDurationSeconds") or self._terms.duration)
        return self._clock() >= self._ends

    def _manifest(self, lease: Mapping[str, Any] | None, holder: str, duration: int | None = None) -> dict[str, Any]:
        """The Lease to write, with the resourceVersion of the one that was seen."""
        terms, time = self._terms, self._now().strftime(TIME_FORMAT)
        before = dict((lease or {}).get("spec") or {})
        metadata = {"name": terms.name, "namespace": terms.namespace}
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration or max(1, math.ceil(terms.duration)),
            "acquireTime": before.get("acquireTime", time),
            "renewTime": time,
            "leaseTransitions": before.get("leaseTransitions", 0),
        }
        if holder and before.get("holderIdentity") != holder:
            spec["acquireTime"] = time
            spec["leaseTransitions"] += 1 if lease is not None else 0
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
