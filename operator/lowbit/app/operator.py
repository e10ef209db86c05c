"""The operator: everything wired together, started and stopped in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from lowbit.app.eventreader import EventReader
from lowbit.app.health import Health, HealthServer
from lowbit.app.lease import LeaderElection, Terms
from lowbit.app.logreader import LogReader
from lowbit.app.loop import Decide, Reconciler
from lowbit.app.metrics import Metrics
from lowbit.app.queue import Lane, WorkQueue
from lowbit.app.settings import Settings
from lowbit.app.standby import Standby
from lowbit.effects.events import EventSender
from lowbit.kube.client import Kube
from lowbit.kube.connect import configuration
from lowbit.kube.resources import OPTIONAL_KINDS, OWN_KINDS, RESOURCES, SHARED_KINDS
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.watching.ended import PartEnded
from lowbit.watching.resync import Pace, Resync
from lowbit.watching.session import open_session
from lowbit.watching.streams import WatchStreams
from lowbit.watching.watches import watch

logger = logging.getLogger(__name__)

SHUTDOWN_GRACE = 10.0
"""Seconds that running reconciles may take when the operator is stopped."""


OWN_FIRST = 15.0
"""Seconds that leading waits for the watches of Lowbit's own kinds, at most: RBAC may forbid one."""


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


class Operator:
    """One operator. Raises NoCluster, SettingsError and OSError (a port that is taken) if it cannot start."""

    def __init__(self, settings: Settings, client_configuration: Any, decide: Decide) -> None:
        self.settings = settings
        self._configuration = client_configuration
        self.metrics = Metrics()
        self.cache = Cache(settings.platform())
        self.cache.on_job = self.metrics.on_job
        self.queue: WorkQueue[Key] = WorkQueue(time.monotonic)
        self.kube = Kube(client_configuration, self.metrics.on_call)
        terms = Terms(
            settings.lease_namespace,
            settings.lease_name,
            settings.identity,
            settings.lease_duration,
            settings.lease_renew_deadline,
            settings.lease_retry,
        )
        self.election = LeaderElection(self.kube, terms, time.monotonic, utc_now, self._on_leading)
        self.progress = LogReader(self.kube, self.cache, self.touch, time.time, settings.progress)
        self.stuck = EventReader(self.kube, self.cache, self.touch, time.time, nodes=settings.nodes)
        self.resync = Resync(
            self.kube,
            self.cache,
            settings.namespaces,
            touch=self.touch,
            on_missed=lambda kind: self.metrics.missed.labels(kind).inc(),
            pace=Pace(settings.resync, random.random),
        )
        self.reconciler = Reconciler(
            self.kube,
            self.cache,
            self.queue,
            EventSender(self.kube, settings.identity, utc_now),
            self.progress,
            self.stuck,
            self.metrics,
            self.election.permit,
            decide,
            utc_now,
        )
        self.streams = WatchStreams(time.monotonic, self._on_stream)
        self._own_watched = asyncio.Event()
        self.health = Health()
        self.server = HealthServer(settings.host, settings.port, self.health, self.metrics.registry)
        self._standby = Standby(time.monotonic, 2 * settings.lease_duration)
        self._stopping = asyncio.Event()
        self._kopf_stop = asyncio.Event()

    def stop(self) -> None:
        """Ask the operator to stop; `run` returns when it has."""
        self._stopping.set()

    def _paths(self, kinds: Iterable[str]) -> frozenset[str]:
        """API paths at which these kinds are listed and watched."""
        spaces = self.settings.namespaces or (None,)
        return frozenset(RESOURCES[kind].path(space) for kind in kinds for space in spaces)

    def touch(self, keys: Iterable[Key], lane: Lane = Lane.CHANGED) -> None:
        """Queue keys if this operator leads; on a standby, only remember them."""
        if self.election.leading.is_set():
            self.queue.add_all(keys, lane)
        elif self.resync.synced:
            self._standby.changed(keys)

    def on_event(self, kind: str | None, manifest: dict[str, Any]) -> None:
        """Handle an event of a watch: update the cache, and queue the keys that it concerns."""
        self.resync.noticed(manifest)
        new = kind == "ADDED" and manifest["kind"] == "QuantizedModel"
        touched = self.cache.remove(manifest) if kind == "DELETED" else self.cache.put(manifest)
        self.touch(touched, Lane.NEW if new else Lane.CHANGED)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a task ends, whose error is raised."""
        self._take_signals()
        self._set_checks()
        await self.server.start()
        tasks: list[asyncio.Task[object]] = []
        try:
            tasks.append(self._spawn("fill", self.resync.fill()))
            await self._until_done_or_stopped(tasks)
            if not self._stopping.is_set():
                await self._run_filled(tasks)
        finally:
            await self._shut_down(tasks)

    async def _run_filled(self, tasks: list[asyncio.Task[object]]) -> None:
        tasks[:] = [
            self._spawn("election", self._elect()),
            self._spawn("resync", self.resync.run()),
            *(self._spawn(f"worker {number}", self.reconciler.work()) for number in range(self.settings.workers)),
        ]
        # When kopf ends, it cancels all tasks that are younger than its own, so it is started last.
        ready = asyncio.Event()
        tasks.append(self._spawn("watches", self._watch(ready)))
        for task in tasks:
            self.health.watch_task(task.get_name(), task)
        ready_task = asyncio.create_task(ready.wait())
        await asyncio.wait({ready_task, tasks[-1]}, return_when=asyncio.FIRST_COMPLETED)
        ready_task.cancel()
        self._take_signals()  # kopf has replaced our handlers
        await self._until_done_or_stopped(tasks)
        if not self._stopping.is_set():
            raise PartEnded(
                "the watches have ended: a kind was taken away, or the API server sent an error; start again"
            )

    async def _watch(self, ready: asyncio.Event) -> None:
        """Watch every kind that exists now. A kind installed later is only compared with LISTs, until a restart."""
        needed = (*OWN_KINDS, *SHARED_KINDS)
        kinds = (*needed, *(OPTIONAL_KINDS if self.cache.has_pod_monitors else ()))
        self.streams.expect(self._paths(needed))
        self.resync.watched = frozenset(kinds)

        async def connect() -> Any:
            calls = self.metrics.on_call
            return open_session(self._configuration, self.streams, calls, self.resync.listed, self.resync.gap)

        await watch(kinds, self.settings.namespaces, connect, self.on_event, ready=ready, stop=self._kopf_stop)

    async def _elect(self) -> None:
        """Run for leader once the kinds that people write are watched, so that a leader sees their changes at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OWN_FIRST):
                await self._own_watched.wait()
        await self.election.run()

    def _on_stream(self) -> None:
        if self.streams.open(self._paths(OWN_KINDS)):
            self._own_watched.set()

    async def _until_done_or_stopped(self, tasks: list[asyncio.Task[object]]) -> None:
        """Wait for a stop or for the first task to end. Raises what a task raised."""
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done - {stopping}:
            task.result()

    def _on_leading(self, leads: bool) -> None:
        """When this operator begins to lead, queue every key; first those that the previous leader may have missed."""
        self.metrics.leader.set(1 if leads else 0)
        if leads:
            self.queue.add_all(self._standby.take())
            self.queue.add_all(self.cache.keys(), Lane.NEW)

    async def _shut_down(self, tasks: list[asyncio.Task[object]]) -> None:
        """Stop the workers, then release the Lease, so that none of our writes is in flight when another leads."""
        watches = [task for task in tasks if task.get_name() == "watches"]
        workers = [task for task in tasks if task.get_name().startswith("worker ")]
        for task in set(tasks) - set(watches) - set(workers):
            task.cancel()
        self.progress.stop()
        self.stuck.stop()
        await self._finish(workers)
        await self.election.release()
        await self.server.stop()
        self._kopf_stop.set()
        for task in watches:
            if not self._stopping.is_set():
                task.cancel()  # it is ending by itself, but slowly
            await asyncio.wait({task}, timeout=SHUTDOWN_GRACE)
        await self.kube.close()
        logger.info("stopped")

    async def _finish(self, workers: list[asyncio.Task[object]]) -> None:
        """Let running reconciles end, and start no new ones."""
        self.reconciler.permit = lambda: False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_GRACE):
                await self.reconciler.idle.wait()
        for task in workers:
            task.cancel()
        if workers:
            await asyncio.wait(workers)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def _set_checks(self) -> None:
        self.metrics.watch_queue(lambda: self.queue.depth, lambda: self.queue.age, self.queue.failing)
        self.metrics.watch_cache(self.cache)
        self.health.alive["reconciles"] = self.reconciler.trouble
        self.health.alive["watch streams"] = self._streams_trouble
        self.health.alive["missed changes"] = self.resync.trouble
        self.health.ready["cache"] = self.resync.pending
        self.health.ready["watch streams"] = self.streams.pending
        self.health.ready["Lease"] = self._lease_trouble

    def _streams_trouble(self) -> str | None:
        """Which stream has died; None while the API server is silent, because nobody can tell then."""
        if self.election.silence() > self.settings.lease_duration:
            return None
        return self.streams.trouble(self.election.answering_since)

    def _lease_trouble(self) -> str | None:
        """Why this is neither a leader that may write nor a standby that sees the Lease; None if it is one."""
        if self.election.permit():
            return None
        silent = self.election.silence()
        if silent > self.settings.lease_duration:
            why = f": {self.election.error}" if self.election.error else ""
            return f"the API server has not answered about the Lease for {silent:.0f} s{why}"
        return None

    @staticmethod
    def _spawn(name: str, work: Any) -> asyncio.Task[object]:
        task: asyncio.Task[object] = asyncio.create_task(work, name=name)
        return task


async def run_operator(settings: Settings, decide: Decide) -> None:
    """Connect and run."""
    operator = Operator(settings, await configuration(settings.kubeconfig), decide)
    await operator.run()
