"""Reads how far a worker is from its pod's log, seldom, and beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from lowbit.app.logs import about
from lowbit.decide.snapshot import ContainerState, JobView
from lowbit.kube.client import Kube
from lowbit.kube.errors import KubeError
from lowbit.observe.keys import Key
from lowbit.observe.store import Store
from lowbit.observe.views import last_progress

logger = logging.getLogger(__name__)

LINES = 40
LIMIT_BYTES = 64 * 1024
AT_ONCE = 4
"""Logs that are read at the same time."""


class ProgressReader:
    """Reads logs at most every `interval` seconds per Job. now gives seconds since the epoch."""

    def __init__(
        self,
        kube: Kube,
        store: Store,
        touch: Callable[[Iterable[Key]], None],
        now: Callable[[], float],
        interval: float,
    ) -> None:
        self._kube = kube
        self._store = store
        self._touch = touch
        self._now = now
        self._interval = interval
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def ask(self, namespace: str, jobs: Iterable[str]) -> None:
        """Read the logs of these Jobs, if it is time to."""
        for name in jobs:
            job: JobView | None = self._store.view("Job", namespace, name)
            if job is None or (namespace, name) in self._tasks:
                continue
            if job.progress_read_at is not None and self._now() - job.progress_read_at < self._interval:
                continue
            pod = next((each for each in job.pods if _runs(each.containers)), None)
            if pod is None:
                continue
            task = asyncio.create_task(self._read(namespace, name, pod.meta.name))
            self._tasks[namespace, name] = task
            task.add_done_callback(partial(self._ended, (namespace, name)))

    def stop(self) -> None:
        """Give up what is being read."""
        for task in list(self._tasks.values()):
            task.cancel()

    def _ended(self, job: tuple[str, str], _task: asyncio.Task[None]) -> None:
        self._tasks.pop(job, None)

    async def _read(self, namespace: str, job: str, pod: str) -> None:
        line = None
        async with self._slots:
            try:
                log = await self._kube.pod_log(namespace, pod, "worker", LINES, LIMIT_BYTES)
                line = last_progress(log)
            except KubeError as error:
                logger.info("progress was not read: %s", error.message, extra=about(Key(namespace, job, "Job")))
        self._touch(self._store.put_progress(namespace, job, line, self._now()))


def _runs(containers: Iterable[ContainerState]) -> bool:
    return any(each.name == "worker" and each.running for each in containers)
