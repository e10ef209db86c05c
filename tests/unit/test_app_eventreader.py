"""Events of what is stuck: one LIST an object and minute, whoever asks how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lowbit.app.eventreader import INTERVAL, NODES_INTERVAL, EventReader
from lowbit.app.reads import AT_ONCE
from lowbit.kube.errors import Forbidden
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import ReadEvents
from lowbit.state.snapshot import EventsRead, Warned
from tests.unit.test_app_logreader import thing

CHAT = Key("team", "chat")


class Events:
    """The API server's answers."""

    def __init__(self) -> None:
        self.note: str | None = "is forbidden"
        self.asked: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def warnings(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        self.asked.append((namespace, uid))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.answer.wait()
        self.at_once -= 1
        if self.note is None:
            raise Forbidden(403, "Forbidden", "events is forbidden")
        when = "1970-01-01T00:16:40Z"
        return [{"metadata": {}, "reason": "FailedCreate", "note": self.note, "deprecatedLastTimestamp": when}]


class Bench:
    def __init__(self) -> None:
        self.events, self.cache, self.now = Events(), Cache(), 1000.0
        self.touched: list[Key] = []
        kube: Any = self.events
        self.reader = EventReader(kube, self.cache, self.touched.extend, lambda: self.now)
        for number in range(AT_ONCE * 3):
            self.cache.put(thing("Job", f"job-{number}"))

    async def ask(self, *jobs: str) -> None:
        self.reader.ask_events("team", [ReadEvents("Job", job, f"Job-{job}") for job in jobs])
        await self.settle()

    async def settle(self) -> None:
        while tasks := list(self.reader._reads._tasks.values()):
            await asyncio.wait(tasks)

    def read(self, job: str = "job-0") -> EventsRead | None:
        found: EventsRead | None = self.cache.view("Job", "team", job).events
        return found


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_what_is_said_is_kept_and_its_model_is_looked_at(bench: Bench) -> None:
    await bench.ask("job-0")
    assert bench.events.asked == [("team", "Job-job-0")]
    assert bench.read() == EventsRead("Job-job-0", 1000.0, (Warned("FailedCreate", "is forbidden"),))
    assert bench.touched == [CHAT]


async def test_events_are_read_at_most_once_a_minute(bench: Bench) -> None:
    for _ in range(5):
        await bench.ask("job-0")
        bench.now += INTERVAL / 10
    assert len(bench.events.asked) == 1
    bench.now += INTERVAL
    await bench.ask("job-0")
    assert len(bench.events.asked) == 2


async def test_what_says_nothing_new_touches_nobody(bench: Bench) -> None:
    await bench.ask("job-0")
    bench.touched.clear()
    bench.now += INTERVAL
    await bench.ask("job-0")
    assert bench.touched == []
    bench.events.note, bench.now = "another quota", bench.now + INTERVAL
    await bench.ask("job-0")
    assert bench.touched == [CHAT]


async def test_events_that_cannot_be_read_are_told_as_that_and_not_asked_for_at_once(bench: Bench) -> None:
    bench.events.note = None
    await bench.ask("job-0")
    await bench.ask("job-0")
    assert bench.read() == EventsRead("Job-job-0", 1000.0, unread="events is forbidden")
    assert len(bench.events.asked) == 1


async def test_few_are_read_at_once(bench: Bench) -> None:
    bench.events.answer.clear()
    jobs = [f"job-{number}" for number in range(AT_ONCE * 3)]
    wanted = [ReadEvents("Job", job, f"Job-{job}") for job in jobs]
    bench.reader.ask_events("team", wanted)
    bench.reader.ask_events("team", wanted)
    for _ in range(20):
        await asyncio.sleep(0)
    bench.events.answer.set()
    await bench.settle()
    assert bench.events.most_at_once == AT_ONCE
    assert len(bench.events.asked) == len(jobs)


async def test_what_was_read_goes_with_its_object(bench: Bench) -> None:
    await bench.ask("job-0")
    job = bench.cache.get("Job", "team", "job-0")
    assert job is not None
    bench.cache.remove(job)
    bench.cache.put({**job, "metadata": {**job["metadata"], "uid": "another", "resourceVersion": "9"}})
    assert bench.read() is None


async def test_an_object_that_goes_meanwhile_is_forgotten(bench: Bench) -> None:
    bench.events.answer.clear()
    bench.reader.ask_events("team", [ReadEvents("Job", "job-0", "Job-job-0")])
    await asyncio.sleep(0)
    bench.cache.remove(thing("Job", "job-0"))
    bench.events.answer.set()
    await bench.settle()
    assert bench.touched == []


async def test_stopping_gives_up_what_is_being_read(bench: Bench) -> None:
    bench.events.answer.clear()
    bench.reader.ask_events("team", [ReadEvents("Job", "job-0", "Job-job-0")])
    await asyncio.sleep(0)
    bench.reader.stop()
    await bench.settle()
    assert bench.read() is None


class Nodes(Events):
    """An API server that lists nodes, or forbids it."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = 0
        self.allowed = True
        self.gpus = "8"

    async def nodes(self) -> list[dict[str, Any]]:
        self.listed += 1
        if not self.allowed:
            raise Forbidden(403, "Forbidden", "nodes is forbidden")
        names = {"a": {"cpu": "4", "nvidia.com/gpu": self.gpus}, "cpu": {"cpu": "64"}}
        return [{"metadata": {"name": name}, "status": {"allocatable": has}} for name, has in names.items()]


class NodeBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.api = Nodes()
        kube: Any = self.api
        self.reader = EventReader(kube, self.cache, self.touched.extend, lambda: self.now, nodes=True)

    async def waits(self, *models: str) -> None:
        for name in models:
            self.reader.ask_nodes(Key("team", name))
        await self.settle()


@pytest.fixture
async def nodes() -> NodeBench:
    return NodeBench()


async def test_nodes_are_listed_once_in_five_minutes_however_many_pods_wait(nodes: NodeBench) -> None:
    await nodes.waits("one", "two")
    await nodes.waits("one")
    assert nodes.api.listed == 1
    assert sorted(key.name for key in nodes.touched) == ["one", "two"]
    assert nodes.cache.nodes is not None
    assert [node.name for node in nodes.cache.nodes] == ["a"], "nodes without GPUs are not kept"
    nodes.now += NODES_INTERVAL
    await nodes.waits("one")
    assert nodes.api.listed == 2


async def test_nodes_that_are_as_before_wake_nobody(nodes: NodeBench) -> None:
    await nodes.waits("one")
    nodes.touched.clear()
    nodes.now += NODES_INTERVAL
    await nodes.waits("one")
    assert nodes.touched == []


async def test_nodes_are_never_asked_for_unless_the_chart_grants_it(bench: Bench) -> None:
    bench.reader.ask_nodes(CHAT)
    await bench.settle()  # Events has no nodes(): a call would fail
    assert bench.cache.nodes is None


async def test_without_the_right_nodes_are_asked_for_once(nodes: NodeBench) -> None:
    nodes.api.allowed = False
    for _ in range(3):
        await nodes.waits("one")
        nodes.now += NODES_INTERVAL
    assert (nodes.api.listed, nodes.cache.nodes, nodes.touched) == (1, None, [])
