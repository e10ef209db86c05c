"""One reconcile: how it ends, when it is tried again, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lowbit.app.loop import HANGS_AFTER, Reconciler
from lowbit.app.metrics import Metrics
from lowbit.app.queue import Lane, WorkQueue
from lowbit.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, TooManyRequests, Unavailable
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import Apply, Create, Delete, Event, Plan, ReadEvents, ReadLog, ReadResult, WriteStatus
from lowbit.state.snapshot import Snapshot
from tests.unit import world
from tests.unit.world import NAMESPACE, World

CHAT = Key(NAMESPACE, "chat")
NOTHING = Plan()
CHILD = Apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child", "namespace": NAMESPACE}})
DELETE = Delete("ConfigMap", "child", "uid", "1")


class Api:
    """The API server: says yes, or raises what the test says."""

    def __init__(self) -> None:
        self.error: KubeError | None = None
        self.hang: asyncio.Event | None = None
        self.writes = 0
        self.there: dict[str, Any] | None = None
        self.statuses: list[dict[str, Any]] = []

    async def _write(self) -> dict[str, Any]:
        if self.hang is not None:
            await self.hang.wait()
        if self.error is not None:
            raise self.error
        self.writes += 1
        return dict(CHILD.manifest) | {"metadata": {"name": "child", "namespace": NAMESPACE, "resourceVersion": "9"}}

    async def apply(self, _manifest: Any, *, only_new: bool = False) -> dict[str, Any]:
        if only_new and self.there is not None:
            raise Conflict(409, "Conflict", "there is one")
        return await self._write()

    async def create(self, _manifest: Any) -> dict[str, Any]:
        return await self._write()

    async def delete(self, *_: Any) -> dict[str, Any]:
        await self._write()
        return {"kind": "Status"}

    async def replace(self, manifest: dict[str, Any], *, subresource: str) -> dict[str, Any]:
        self.statuses.append(manifest["status"])
        return manifest

    async def get(self, *_: Any) -> dict[str, Any]:
        if self.there is None:
            raise NotFound(404, "NotFound", "there is none")
        return self.there


class Bench:
    def __init__(self) -> None:
        self.now, self.plan, self.permitted = 0.0, NOTHING, True
        self.broken: Exception | None = None
        self.asked: list[tuple[str, ...]] = []
        self.engines: list[str] = []
        self.stuck: list[str] = []
        self.sent: list[Event] = []
        self.api, self.metrics, self.cache = Api(), Metrics(), Cache()
        self.queue: WorkQueue[Key] = WorkQueue(lambda: self.now, jitter=lambda: 0.5)
        state = World()
        state.apply_model("chat", world.spec())
        self.cache.put(state.model("chat"))
        api: Any = self.api
        me: Any = self
        self.reconciler = Reconciler(
            api, self.cache, self.queue, me, me, me, self.metrics, lambda: self.permitted, self.decide,
            lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: self.now,
        )  # fmt: skip

    def decide(self, _snapshot: Snapshot, _now: datetime) -> Plan:
        if self.broken is not None:
            raise self.broken
        return self.plan

    def ask_once(self, _namespace: str, logs: tuple[ReadLog | ReadResult, ...]) -> None:
        """As LogReader."""
        self.engines += [log.pod for log in logs]

    def ask(self, _namespace: str, jobs: tuple[str, ...]) -> None:
        """As the progress reader."""
        self.asked.append(jobs)

    def ask_events(self, _namespace: str, wanted: tuple[ReadEvents, ...]) -> None:
        """As EventReader."""
        self.stuck += [each.name for each in wanted]

    async def send(self, event: Event, *_: str) -> None:
        """As the sender of events."""
        self.sent.append(event)

    async def announce(self, event: Event, *_: str) -> None:
        """As the sender of events."""
        self.sent.append(event)

    def written(self, _uid: str) -> None:
        """As the sender of events."""

    async def reconcile(self, key: Key = CHAT) -> None:
        """A worker takes the key, and is sent home when it has done its work."""
        self.queue.add(key)
        worker = asyncio.create_task(self.reconciler.work())
        await until(lambda: not self.queue.depth and self.reconciler.idle.is_set())
        worker.cancel()

    def counted(self, result: str, kind: str = "QuantizedModel") -> float:
        labels = {"kind": kind, "result": result}
        return self.metrics.registry.get_sample_value("lowbit_reconciles_total", labels) or 0.0

    def timed(self) -> float:
        name = "lowbit_reconcile_seconds_count"
        return self.metrics.registry.get_sample_value(name, {"kind": "QuantizedModel"}) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Let others work until it holds."""
    while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
        await asyncio.sleep(0)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_plan_without_a_write_is_unchanged_and_one_with_a_write_is_changed(bench: Bench) -> None:
    await bench.reconcile()
    bench.plan = Plan(actions=(CHILD,))
    await bench.reconcile()
    assert (bench.counted("unchanged"), bench.counted("changed"), bench.timed()) == (1, 1, 2)
    assert bench.queue.next_due() is None


async def test_a_model_that_is_gone_is_let_go(bench: Bench) -> None:
    await bench.reconcile(Key(NAMESPACE, "absent"))
    assert bench.counted("gone") == 1
    assert bench.queue.next_due() is None


@pytest.mark.parametrize(
    "error", [Unavailable(503, "x", "the API server is busy"), ValueError("a bug")], ids=["api", "bug"]
)
async def test_what_fails_is_tried_again_later_each_time(bench: Bench, error: Exception) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.error = error if isinstance(error, KubeError) else None
    bench.broken = None if isinstance(error, KubeError) else error
    waits = []
    for _ in range(3):
        await bench.reconcile()
        waits.append(bench.queue.next_due() or 0.0)
        bench.now += waits[-1]
        bench.queue.take()
        bench.queue.done(CHAT)
    assert waits[0] < waits[1] < waits[2]
    assert (bench.counted("error"), bench.timed()) == (3, 3)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Forbidden(403, "Forbidden", "apply Service models/chat: exceeded quota"), "exceeded quota"),
        (KeyError("calibration/texts"), "KeyError: 'calibration/texts'"),
    ],
    ids=["forbidden", "bug"],
)
async def test_what_somebody_has_to_mend_is_said_in_an_event(bench: Bench, error: Exception, says: str) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.error = error if isinstance(error, KubeError) else None
    bench.broken = None if isinstance(error, KubeError) else error
    await bench.reconcile()
    (event,) = bench.sent
    assert (event.type, event.reason) == ("Warning", "ReconcileFailed")
    assert says in event.message


async def test_what_the_api_server_refuses_is_said_in_the_status_and_tried_again(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.error = Invalid(422, "Invalid", "apply Deployment models/chat: not a label")
    await bench.reconcile()
    (status,) = bench.api.statuses
    (stalled,) = [each for each in status["conditions"] if each["type"] == "Stalled"]
    assert (stalled["reason"], stalled["observedGeneration"]) == ("WriteRefused", 1)
    assert "not a label" in stalled["message"]
    assert status["lastFailure"]["action"]
    assert [event.reason for event in bench.sent] == ["WriteRefused"]
    assert bench.queue.next_due() is not None


@pytest.mark.parametrize(
    "error", [Forbidden(403, "Forbidden", "exceeded quota: count/jobs.batch"), Invalid(422, "Invalid", "not a label")]
)
async def test_what_is_refused_beside_what_serves_holds_no_status_up(bench: Bench, error: KubeError) -> None:
    serving = WriteStatus("QuantizedModel", "chat", "uid", "1", {"stage": "Serving"})
    bench.plan = Plan(
        actions=(Create(CHILD.manifest, beside=True),), status=serving, watch_progress=("evaluate-it",),
    )  # fmt: skip
    bench.api.error = error
    await bench.reconcile()
    assert bench.api.statuses == [{"stage": "Serving"}]
    assert [(event.reason, error.message in event.message) for event in bench.sent] == [("ReconcileFailed", True)]
    assert bench.asked == [("evaluate-it",)]
    assert bench.counted("error") == 1
    assert bench.queue.next_due() is not None


async def test_what_passes_by_itself_is_said_to_nobody(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.error = Unavailable(503, "", "busy")
    await bench.reconcile()
    assert bench.sent == []


async def test_an_api_server_that_asks_for_patience_gets_it(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.error = TooManyRequests(429, "TooManyRequests", "slow down", retry_after=17.0)
    await bench.reconcile()
    assert bench.queue.next_due() == 17.0


async def test_what_was_seen_too_late_is_decided_anew(bench: Bench) -> None:
    bench.plan = Plan(actions=(DELETE,))
    bench.api.error = Conflict(409, "Conflict", "it has changed")
    await bench.reconcile()
    assert bench.counted("stale") == 1
    assert bench.queue.next_due() is not None


async def test_what_is_there_and_was_not_seen_is_looked_at_and_not_written_over(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.there = {"kind": "ConfigMap", "metadata": {"name": "child", "namespace": NAMESPACE, "uid": "theirs"}}
    bench.reconciler.decide = lambda _snapshot, _now: NOTHING if bench.cache.count("ConfigMap") else bench.plan
    await bench.reconcile()
    assert (bench.api.writes, bench.counted("stale")) == (0, 1)
    assert bench.cache.count("ConfigMap") == 1


async def test_without_the_lease_nothing_is_written_and_nothing_is_counted(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.permitted = False
    await bench.reconcile()
    assert (bench.api.writes, bench.timed()) == (0, 0)


async def test_a_lease_that_is_lost_on_the_way_halts_the_plan(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD, DELETE))
    answers = iter([True, True, False])
    bench.reconciler.permit = lambda: next(answers, False)
    await bench.reconcile()
    assert (bench.api.writes, bench.counted("halted")) == (1, 1)


async def test_a_plan_is_looked_at_again_when_it_asks_for_it_and_its_logs_are_read(bench: Bench) -> None:
    bench.plan = Plan(
        requeue_after=30.0, watch_progress=("quantize-1",), read_logs=(ReadLog("chat-1", 1, previous=True),),
        read_events=(ReadEvents("Job", "quantize-1", "uid"),),
    )  # fmt: skip
    await bench.reconcile()
    assert bench.queue.next_due() == 30.0
    assert bench.asked == [("quantize-1",)]
    assert bench.engines == ["chat-1"]
    assert bench.stuck == ["quantize-1"]


async def test_a_reconcile_that_hangs_is_named_and_one_that_is_slow_is_not(bench: Bench) -> None:
    bench.plan = Plan(actions=(CHILD,))
    bench.api.hang = asyncio.Event()
    bench.queue.add(CHAT)
    worker = asyncio.create_task(bench.reconciler.work())
    await until(lambda: not bench.reconciler.idle.is_set())
    bench.now = HANGS_AFTER - 1
    assert bench.reconciler.trouble() is None
    bench.now = HANGS_AFTER + 1
    assert f"{NAMESPACE}/chat" in str(bench.reconciler.trouble())
    bench.api.hang.set()
    await bench.reconciler.idle.wait()
    assert bench.reconciler.trouble() is None
    worker.cancel()


async def test_thousands_of_keys_with_nothing_to_do_hold_up_neither_watches_nor_the_lease() -> None:
    bench = Bench()
    keys = [Key(NAMESPACE, f"settled-{number}") for number in range(1000)]
    bench.queue.add_all(keys, Lane.NEW)
    workers = [asyncio.create_task(bench.reconciler.work()) for _ in range(8)]
    turns = 0
    while bench.queue.depth:
        turns += 1  # what else wants to run does so between two of them, whichever worker's they are
        await asyncio.sleep(0)
    for worker in workers:
        worker.cancel()
    assert turns >= len(keys)
