"""Ten minutes in which the API server answers 503 to everything, by a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from lowbit.app.lease import LeaderElection, Terms
from lowbit.app.loop import Reconciler
from lowbit.app.metrics import Metrics
from lowbit.app.operator import Operator
from lowbit.app.queue import LAST_BACKOFF, WorkQueue
from lowbit.kube.errors import Unavailable
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import Delete, Event, Plan
from lowbit.watching.streams import WatchStreams
from lowbit.watching.watches import EndlessBackoff
from tests.unit import virtual_time, world
from tests.unit.virtual_time import now
from tests.unit.world import NAMESPACE, World

CHAT = Key(NAMESPACE, "chat")
TERMS = Terms("lowbit-system", "lowbit", "operator-1", duration=15, renew_deadline=10, retry=2)
BEGIN, END = 60.0, 660.0
JOBS = "/apis/batch/v1/jobs"


class Api:
    """Answers 503 between BEGIN and END: to everything, or to writes but the Lease's."""

    def __init__(self, lease_too: bool) -> None:
        self.lease_too = lease_too
        self.versions = itertools.count(1)
        self.lease: dict[str, Any] = {}
        self.renewals: list[float] = []
        """When the Lease was asked for."""
        self.writes: list[tuple[float, bool]] = []
        """When something was written, and whether that was agreed to."""

    def _up(self, counts: bool = True) -> bool:
        return not (counts and BEGIN <= now() < END)

    def _answer(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.renewals.append(now())
        if not self._up(self.lease_too):
            raise Unavailable(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        self.lease = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": str(next(self.versions))}}
        return self.lease

    def reads(self) -> bool:
        """Whether a watch is opened now."""
        return self._up(self.lease_too)

    async def get(self, *_: str) -> dict[str, Any]:
        return self.lease or self._answer({"metadata": {"name": "lowbit"}, "spec": {}})

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return self._answer(manifest)

    async def delete(self, *_: Any) -> dict[str, Any]:
        self.writes.append((now(), self._up()))
        if not self._up():
            raise Unavailable(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        return {"kind": "Status"}


class Bench:
    """A leader, one worker and a watch; every look at a key ends in one write."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.cache = Cache()
        state = World()
        state.apply_model("chat", world.spec())
        self.cache.put(state.model("chat"))
        self.queue: WorkQueue[Key] = WorkQueue(now, jitter=lambda: 0.5)
        kube: Any = api
        me: Any = self
        self.election = LeaderElection(kube, TERMS, now, lambda: datetime(2026, 1, 1, tzinfo=UTC), self.on_leading)
        self.reconciler = Reconciler(
            kube, self.cache, self.queue, me, me, me, Metrics(), self.election.permit, self.decide,
            lambda: datetime(2026, 1, 1, tzinfo=UTC), now,
        )  # fmt: skip
        self.streams = WatchStreams(now)
        self.streams.expect([JOBS])
        self.ailing: list[str] = []
        """What the probe of liveness would have ended it for."""
        self.streams_in_the_end: str | None = None

    def on_leading(self, leads: bool) -> None:
        if leads:
            self.queue.add_all(self.cache.keys())

    def decide(self, *_: Any) -> Plan:
        return Plan(actions=(Delete("ConfigMap", "child", "uid", "1"),))

    def ask(self, *_: Any) -> None:
        """As the progress reader."""

    async def send(self, event: Event, *_: str) -> None:
        """As the sender of events."""

    def written(self, _uid: str) -> None:
        """As the sender of events."""

    async def watch(self) -> None:
        """As kopf does it: asks until it is answered, and is sent away after five minutes."""
        while True:
            for wait in EndlessBackoff():
                self.streams.attempted(JOBS)
                if self.api.reads():
                    break
                self.streams.refused(JOBS)
                await asyncio.sleep(wait)
            self.streams.opened(JOBS)
            await asyncio.sleep(BEGIN - now() if now() < BEGIN else 300.0)

    async def probe(self) -> None:
        """As the kubelet does it."""
        seen: Any = SimpleNamespace(election=self.election, streams=self.streams)
        seen.settings = SimpleNamespace(lease_duration=TERMS.duration)
        while True:
            self.ailing += filter(None, (self.reconciler.trouble(), Operator._streams_trouble(seen)))
            await asyncio.sleep(10)

    async def live(self, until: float) -> None:
        """From 0 to a time."""
        tasks = [
            asyncio.create_task(each)
            for each in (self.election.run(), self.reconciler.work(), self.watch(), self.probe(), self.change())
        ]
        await asyncio.sleep(until)
        self.streams_in_the_end = self.streams.trouble(self.election.answering_since)
        for task in tasks:
            assert not task.done() or task.exception() is None, task
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self) -> None:
        """A user changes the object just before the outage, and in the middle of it."""
        for at in (BEGIN + 1, (BEGIN + END) / 2):
            await asyncio.sleep(at - now())
            self.queue.add(CHAT)


async def lived(until: float, *, lease_too: bool) -> Bench:
    bench = Bench(Api(lease_too))
    await bench.live(until)
    return bench


def test_after_ten_minutes_of_503_the_leader_goes_on_at_once_and_has_written_nothing_in_between() -> None:
    bench = virtual_time.run(lived(END + 100, lease_too=True))
    begun = [at for at, _ in bench.api.writes if at >= BEGIN]
    in_time = [at for at in begun if at < END]
    assert in_time and max(in_time) < BEGIN + TERMS.renew_deadline, "no write is started past the Lease's deadline"
    done = [at for at, agreed in bench.api.writes if agreed and at >= END]
    assert done and done[0] <= END + TERMS.retry + 0.1, "what was let go is taken up when it leads again"
    asked = [at for at in bench.api.renewals if BEGIN <= at < END]
    assert 250 <= len(asked) <= 300, "it asks for the Lease at its pace, and no more"
    assert bench.ailing == []
    assert bench.streams_in_the_end is None


def test_while_only_writes_are_refused_for_ten_minutes_they_are_tried_less_and_less_often() -> None:
    """A webhook that is down, say: the Lease is renewed, the writes fail."""
    bench = virtual_time.run(lived(END + LAST_BACKOFF * 1.25 + 1, lease_too=False))
    tried = [at for at, agreed in bench.api.writes if not agreed]
    assert 5 <= len(tried) <= 20
    done = [at for at, agreed in bench.api.writes if agreed and at >= END]
    assert done and done[0] <= END + LAST_BACKOFF * 1.25
    assert bench.ailing == []


def test_a_watch_is_asked_for_again_at_least_every_forty_seconds_and_at_most_fifty_times_in_ten_minutes() -> None:
    waits = list(itertools.islice(EndlessBackoff(), 60))
    assert max(waits) < 40
    times = list(itertools.accumulate(waits))
    assert sum(at < END - BEGIN for at in times) <= 50
