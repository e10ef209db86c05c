"""Reads logs in the background: a worker's progress, at intervals; how an engine runs or why it has ended, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from lowbit.api.enginelog import kernels_in
from lowbit.api.logged import LINE_LIMIT
from lowbit.app.logs import about
from lowbit.app.nodereader import NodeReader
from lowbit.app.reads import Reads
from lowbit.decide.engines import ENGINE
from lowbit.kube.client import Kube
from lowbit.kube.errors import KubeError
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.observe.views import last_progress, read_engine_log, read_result
from lowbit.state.plan import ReadLog, ReadResult, ReadStart
from lowbit.state.snapshot import ContainerState, EngineLog, EngineStart, JobView, ResultRead

logger = logging.getLogger(__name__)

LINES = 40
LIMIT_BYTES = 64 * 1024
ENGINE_LINES, ENGINE_LIMIT_BYTES = 400, 256 * 1024
"""Enough for all that an engine logs from its start to an early exit."""
AFTER_LINES = 20
"""Lines that may follow a result in the log."""


class LogReader:
    """Reads logs at most every `interval` seconds per Job. now gives seconds since the epoch."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        touch: Callable[[Iterable[Key]], None],
        now: Callable[[], float],
        interval: float,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._now = now
        self._interval = interval
        self._nodes = NodeReader(kube)
        self._reads = Reads(touch)
        """By kind, namespace and name of the object whose log is read."""

    def ask(self, namespace: str, jobs: Iterable[str]) -> None:
        """Read the logs of these Jobs, unless that was done within the interval."""
        for name in jobs:
            job: JobView | None = self._cache.view("Job", namespace, name)
            if job is None or ("Job", namespace, name) in self._reads:
                continue
            if job.progress_read_at is not None and self._now() - job.progress_read_at < self._interval:
                continue
            pod = next((each for each in job.pods if _runs(each.containers)), None)
            if pod is None:
                continue
            self._reads.start(("Job", namespace, name), self._read(namespace, name, pod.meta.name))

    def ask_once(self, namespace: str, logs: Iterable[ReadLog | ReadResult | ReadStart]) -> None:
        """Read the logs of engines that run or have ended, and of workers that left a result there.

        A log that cannot be read is recorded as unread. Of a result the plan asks again.
        """
        for log in logs:
            if ("Pod", namespace, log.pod) not in self._reads:
                self._reads.start(("Pod", namespace, log.pod), self._read_once(namespace, log))

    def stop(self) -> None:
        """Cancel the running reads."""
        self._reads.stop()

    async def _read(self, namespace: str, job: str, pod: str) -> Iterable[Key]:
        line = None
        try:
            log = await self._kube.pod_log(namespace, pod, "worker", LINES, LIMIT_BYTES)
            line = last_progress(log)
        except KubeError as error:
            logger.info("progress was not read: %s", error.message, extra=about(Key(namespace, job, "Job")))
        return self._cache.put_progress(namespace, job, line, self._now())

    async def _read_engine(self, namespace: str, log: ReadLog) -> Iterable[Key]:
        try:
            text = await self._kube.pod_log(
                namespace, log.pod, ENGINE, ENGINE_LINES, ENGINE_LIMIT_BYTES, previous=log.previous
            )
            found = read_engine_log(text, log.ends)
        except KubeError as error:
            logger.info("an engine's log was not read: %s", error.message, extra=about(Key(namespace, log.pod, "Pod")))
            found = EngineLog(log.ends, unread=error.message)
        return self._cache.put_engine_log(namespace, log.pod, found)

    async def _read_once(self, namespace: str, log: ReadLog | ReadResult | ReadStart) -> Iterable[Key]:
        match log:
            case ReadStart():
                return await self._read_start(namespace, log)
            case ReadLog():
                return await self._read_engine(namespace, log)
            case ReadResult():
                return await self._read_result(namespace, log)

    async def _read_start(self, namespace: str, wanted: ReadStart) -> Iterable[Key]:
        kernels: list[str] = []
        try:
            kernels = kernels_in(await self._kube.pod_log(namespace, wanted.pod, ENGINE, None, ENGINE_LIMIT_BYTES))
        except KubeError as error:
            key = Key(namespace, wanted.pod, "Pod")
            logger.info("the beginning of an engine's log was not read: %s", error.message, extra=about(key))
        device = await self._nodes.product(wanted.node) if wanted.node is not None else None
        start = EngineStart(wanted.uid, tuple(kernels), device)
        return self._cache.put_engine_start(namespace, wanted.pod, start)

    async def _read_result(self, namespace: str, wanted: ReadResult) -> Iterable[Key]:
        lines = wanted.logged.parts + AFTER_LINES
        try:
            log = await self._kube.pod_log(namespace, wanted.pod, "worker", lines, lines * LINE_LIMIT)
            found = read_result(log, wanted.logged)
        except KubeError as error:
            found = ResultRead(wanted.logged.digest, unread=error.message)
        if found.unread is not None:
            logger.info("a result was not read: %s", found.unread, extra=about(Key(namespace, wanted.pod, "Pod")))
        return self._cache.put_result(namespace, wanted.pod, found)


def _runs(containers: Iterable[ContainerState]) -> bool:
    return any(each.name == "worker" and each.running for each in containers)
