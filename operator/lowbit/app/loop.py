"""The loop: a key, a snapshot, a decision, its effects. What fails is tried again, later each time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lowbit.app.eventreader import EventReader
from lowbit.app.logreader import LogReader
from lowbit.app.logs import about
from lowbit.app.metrics import Metrics
from lowbit.app.queue import WorkQueue
from lowbit.decide.gpujobs import decide_gpu_jobs
from lowbit.decide.refused import refused
from lowbit.decide.store import Claim, decide_store
from lowbit.effects.execute import Outcome, execute
from lowbit.effects.parts import Sends
from lowbit.kube.client import Kube
from lowbit.kube.errors import Forbidden, Invalid, KubeError, NotFound, TooManyRequests
from lowbit.kube.listing import Part
from lowbit.naming.names import MANAGED_SELECTOR
from lowbit.observe.cache import Cache
from lowbit.observe.gpujobs import GPU_JOBS
from lowbit.observe.keys import Key
from lowbit.observe.parse import Unreadable
from lowbit.state.plan import Event, Plan
from lowbit.state.snapshot import Snapshot

logger = logging.getLogger(__name__)

Decide = Callable[[Snapshot, datetime], Plan]
PERMANENT = (Forbidden, Invalid)
"""Errors that somebody has to mend: a policy, a quota, a role."""
HANGS_AFTER = 300.0
"""Seconds after which a reconcile counts as hung: each of its calls has a time limit of its own."""


@dataclass
class Seeing:
    """The cache as effects see it: what they learn puts keys on the queue."""

    cache: Cache
    queue: WorkQueue[Key]

    def put(self, manifest: Mapping[str, Any]) -> None:
        """An object as the API server answered it."""
        self.queue.add_all(self.cache.put(manifest))

    def remove(self, manifest: Mapping[str, Any]) -> None:
        """An object that is gone."""
        self.queue.add_all(self.cache.remove(manifest, by_us=True))

    def is_bereft(self, key: Key) -> bool:
        """Whether something of it was deleted by somebody else."""
        return self.cache.is_bereft(key)

    def found(self, key: Key) -> None:
        """It was asked for, and is there."""
        self.cache.found(key)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """An object as it was last seen."""
        return self.cache.get(kind, namespace, name)


@dataclass
class Reconciler:
    """Works on keys, several at once. permit says whether a write may be started, now gives the time of day."""

    kube: Kube
    cache: Cache
    queue: WorkQueue[Key]
    events: Sends
    progress: LogReader
    stuck: EventReader
    metrics: Metrics
    permit: Callable[[], bool]
    decide: Decide
    now: Callable[[], datetime]
    clock: Callable[[], float] = time.monotonic
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is in work."""
    _started: dict[Key, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.idle.set()
        self._between = asyncio.Lock()

    async def work(self) -> None:
        """One worker, for ever."""
        while True:
            # A reconcile that writes nothing awaits nothing: what events and the Lease have to do comes between two of
            # thousands. One worker at a time: else each of an event's steps would wait for a reconcile of every worker.
            async with self._between:
                await asyncio.sleep(0)
            key = await self.queue.get()
            self._started[key] = self.clock()
            self.idle.clear()
            try:
                await self._attempt(key)
            finally:
                del self._started[key]
                if not self._started:
                    self.idle.set()
                self.queue.done(key)

    def trouble(self) -> str | None:
        """Which reconcile hangs."""
        for key, started in self._started.items():
            if self.clock() - started > HANGS_AFTER:
                return f"{key.kind} {key.namespace}/{key.name} has been in work for {self.clock() - started:.0f} s"
        return None

    async def _attempt(self, key: Key) -> None:
        """Reconcile once, and see to it that it is tried again where it has to be."""
        if not self.permit():
            return  # every key is put on the queue again when this operator leads
        started = self.clock()
        try:
            result = await self._reconcile(key)
        except KubeError as error:
            self._again(key, error)
            if isinstance(error, PERMANENT):
                await self._tell(key, error.message)
            result = "error"
        except Exception as error:
            seconds = self.queue.failed(key)
            logger.exception("the reconcile failed; again in %.1f s", seconds, extra=about(key))
            await self._tell(key, f"the operator failed ({type(error).__name__}: {error}); its log says where")
            result = "error"
        self.metrics.reconciles.labels(key.kind, result).inc()
        self.metrics.reconcile_seconds.labels(key.kind).observe(self.clock() - started)

    def _again(self, key: Key, error: KubeError) -> None:
        wait = error.retry_after if isinstance(error, TooManyRequests) else 0.0
        seconds = self.queue.failed(key, at_least=wait)
        logger.warning("%s; again in %.1f s", error.message, seconds, extra=about(key, code=error.status))

    async def _tell(self, key: Key, why: str) -> None:
        """Say in an event on the object why nothing goes on: who looks at it does not see our log."""
        seen = self.cache.get(key.kind, key.namespace, key.name)
        if seen is None or not self.permit():
            return
        event = Event("Warning", "ReconcileFailed", f"{why}; it is tried again")
        try:
            await self.events.send(event, key.kind, key.namespace, key.name, seen["metadata"]["uid"])
        except KubeError as error:
            logger.warning("the event was not sent: %s", error.message, extra=about(key))

    async def _reconcile(self, key: Key) -> str:
        """One step. How it ended: gone, unchanged, changed, stale, halted. Raises KubeError."""
        plan = await self._plan_for(key)
        if plan is None:
            self.queue.succeeded(key)
            return "gone"
        try:
            outcome = await self._execute(plan, key)
        except Invalid as error:
            if not await self._say(key, plan, error):
                raise
            self._again(key, error)
            return "error"
        return self._after(key, plan, outcome)

    async def _execute(self, plan: Plan, key: Key) -> Outcome:
        seeing = Seeing(self.cache, self.queue)
        return await execute(plan, key, self.kube, cache=seeing, events=self.events, permit=self.permit)

    async def _say(self, key: Key, plan: Plan, error: Invalid) -> bool:
        """Say in the status that the API server refuses what was to be made. Whether it is said there."""
        snapshot = self.cache.snapshot(key) if key.kind == "QuantizedModel" else None
        if snapshot is None or snapshot.invalid is not None or not plan.actions:
            return False
        try:
            outcome = await self._execute(refused(snapshot, plan, error.message, self.now()), key)
        except KubeError as unsaid:
            logger.warning("the status was not written: %s", unsaid.message, extra=about(key, code=unsaid.status))
            return False
        return not outcome.halted and outcome.stale is None

    async def _plan_for(self, key: Key) -> Plan | None:
        if key.kind == "ModelStore":
            return await self._plan_store(key)
        if key.kind == GPU_JOBS:
            return await self._plan_gpu_jobs(key.namespace)
        snapshot = self.cache.snapshot(key)
        return self.decide(snapshot, self.now()) if snapshot is not None else None

    async def _plan_gpu_jobs(self, namespace: str) -> Plan:
        """Which of a namespace's Jobs with GPUs to start. Before one starts they are read: what the last leader did, or
        a write whose answer was lost, may not have come by the watch yet.
        """
        bound = self.cache.platform.max_gpu_jobs
        plan = decide_gpu_jobs(self.cache.gpu_jobs.of(namespace), bound)
        if not plan.actions:
            return plan
        seeing = Seeing(self.cache, self.queue)

        def take(part: Part) -> None:
            for job in part.items:
                seeing.put(job)

        await self.kube.read("Job", namespace, MANAGED_SELECTOR, take)
        return decide_gpu_jobs(self.cache.gpu_jobs.of(namespace), bound)

    async def _plan_store(self, key: Key) -> Plan | None:
        try:
            seen = self.cache.view("ModelStore", key.namespace, key.name)
        except Unreadable as error:
            logger.error("this version of Lowbit cannot read the spec: %s", error, extra=about(key))  # noqa: TRY400
            return None
        if seen is None:
            return None
        pvc = seen.body.spec.pvc
        claim = await self._claim(key.namespace, pvc.claim_name) if pvc is not None else None
        return decide_store(seen, claim, self.now())

    async def _claim(self, namespace: str, name: str) -> Claim | None:
        try:
            claim = await self.kube.get("PersistentVolumeClaim", namespace, name)
        except NotFound:
            return None
        status, spec = claim.get("status") or {}, claim.get("spec") or {}
        modes = status.get("accessModes") or spec.get("accessModes") or ()
        capacity = (status.get("capacity") or {}).get("storage")
        return Claim(status.get("phase", "Pending"), tuple(modes), capacity)

    def _after(self, key: Key, plan: Plan, outcome: Outcome) -> str:
        if outcome.halted:
            return "halted"
        if outcome.stale is not None:
            seconds = self.queue.failed(key)
            logger.info("seen too late: %s; again in %.1f s", outcome.stale, seconds, extra=about(key))
            return "stale"
        self.progress.ask(key.namespace, plan.watch_progress)
        self.progress.ask_once(key.namespace, plan.read_logs)
        self.stuck.ask_events(key.namespace, plan.read_events)
        if plan.read_nodes:
            self.stuck.ask_nodes(key)
        if outcome.refused is not None:
            raise outcome.refused
        self.queue.succeeded(key)
        if plan.requeue_after is not None:
            self.queue.add_after(key, plan.requeue_after)
        if outcome.writes:
            return "changed"
        if plan.requeue_after is None:
            self.cache.rest(key)
        return "unchanged"
