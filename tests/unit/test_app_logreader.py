"""Logs are read in the background, seldom, and never cause a failure: progress, and why an engine has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lowbit.api.documents import FetchResult, ProgressLine
from lowbit.api.logged import split
from lowbit.api.termination import TerminationMessage
from lowbit.app.logreader import LogReader
from lowbit.app.reads import AT_ONCE
from lowbit.kube.errors import Forbidden, NotFound
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import ReadLog, ReadResult, ReadStart
from lowbit.state.snapshot import EngineLog, EngineStart, ResultRead
from tests.unit.world import job_controller

CHAT = Key("team", "chat")
INTERVAL = 30.0


def line(percent: float) -> str:
    text = ProgressLine(stage="quantize", percent=percent, message="layer 3 of 30", time=0).model_dump_json(
        by_alias=True
    )
    return f"a line for people\n{text}\n"


class Logs:
    """The API server, as far as it is asked for logs."""

    def __init__(self) -> None:
        self.text: str | None = line(40)
        self.asked: list[tuple[str, str]] = []
        self.previous: list[bool] = []
        self.labels: dict[str, str] | None = {"nvidia.com/gpu.product": "NVIDIA-L4"}
        self.nodes_asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def pod_log(
        self, namespace: str, pod: str, container: str, lines: int | None, limit_bytes: int, *, previous: bool = False
    ) -> str:
        assert (lines is None or lines <= 500) and limit_bytes <= 2**20
        self.asked.append((pod, container))
        self.previous.append(previous)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.answer.wait()
        self.at_once -= 1
        if self.text is None:
            raise NotFound(404, "NotFound", f"pod {namespace}/{pod} is gone")
        return self.text

    async def node_labels(self, name: str) -> dict[str, str]:
        self.nodes_asked.append(name)
        if self.labels is None:
            raise Forbidden(403, "Forbidden", f"node {name} may not be read")
        return self.labels


class Bench:
    """A reader, a cache with Jobs whose pods run, and a clock."""

    def __init__(self) -> None:
        self.logs, self.cache, self.now = Logs(), Cache(), 1000.0
        self.touched: list[Key] = []
        kube: Any = self.logs
        self.reader = LogReader(kube, self.cache, self.touched.extend, lambda: self.now, INTERVAL)

    def add(self, job: str, state: str = "running", pods: int = 1) -> None:
        self.cache.put(thing("Job", job))
        for number in range(pods):
            status = {"containerStatuses": [{"name": "worker", "state": {state: {}}}]}
            labels = {"batch.kubernetes.io/job-name": job}
            self.cache.put(
                thing(
                    "Pod", f"{job}-{number}", labels=labels, status=status, owners=[job_controller(job, f"Job-{job}")]
                )
            )

    async def ask(self, *jobs: str) -> None:
        self.reader.ask("team", jobs)
        await self.settle()

    async def settle(self) -> None:
        while tasks := list(self.reader._reads._tasks.values()):
            await asyncio.wait(tasks)

    def percent(self, job: str) -> float | None:
        progress = self.cache.view("Job", "team", job).progress
        return progress.percent if progress else None


def thing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    owner = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "name": "chat", "uid": "u"}
    metadata = {
        "name": name, "namespace": "team", "uid": f"{kind}-{name}", "resourceVersion": "1",
        "labels": more.pop("labels", {}), "ownerReferences": [owner] if kind == "Job" else more.pop("owners", []),
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_the_last_line_is_kept_and_its_model_is_looked_at_again(bench: Bench) -> None:
    bench.add("quantize-1")
    await bench.ask("quantize-1")
    assert bench.logs.asked == [("quantize-1-0", "worker")]
    assert bench.percent("quantize-1") == 40
    assert bench.touched == [CHAT]


async def test_a_log_is_read_at_most_once_in_an_interval(bench: Bench) -> None:
    bench.add("quantize-1")
    for _ in range(5):
        await bench.ask("quantize-1")
        bench.now += INTERVAL / 10
    assert len(bench.logs.asked) == 1
    bench.now += INTERVAL
    bench.logs.text = line(50)
    await bench.ask("quantize-1")
    assert bench.percent("quantize-1") == 50
    assert len(bench.logs.asked) == 2


async def test_what_says_nothing_new_touches_nobody(bench: Bench) -> None:
    bench.add("quantize-1")
    await bench.ask("quantize-1")
    bench.touched.clear()
    for text in (line(40), "no progress in here", ""):
        bench.now += INTERVAL + 1
        bench.logs.text = text
        await bench.ask("quantize-1")
        assert bench.percent("quantize-1") == 40
    assert bench.touched == []


async def test_a_log_that_cannot_be_read_is_no_failure_and_is_not_asked_for_at_once(bench: Bench) -> None:
    bench.add("quantize-1")
    bench.logs.text = None
    await bench.ask("quantize-1")
    await bench.ask("quantize-1")
    assert bench.percent("quantize-1") is None
    assert len(bench.logs.asked) == 1


async def test_only_a_worker_that_runs_is_asked(bench: Bench) -> None:
    bench.add("pending", state="waiting")
    bench.add("over", state="terminated")
    bench.add("nothing", pods=0)
    await bench.ask("pending", "over", "nothing", "absent")
    assert bench.logs.asked == []


async def test_few_logs_are_read_at_once_and_each_only_by_one(bench: Bench) -> None:
    jobs = [f"quantize-{number}" for number in range(AT_ONCE * 3)]
    for each in jobs:
        bench.add(each)
    bench.logs.answer.clear()
    bench.reader.ask("team", jobs)
    bench.reader.ask("team", jobs)
    for _ in range(20):
        await asyncio.sleep(0)
    bench.logs.answer.set()
    await bench.settle()
    assert bench.logs.most_at_once == AT_ONCE
    assert sorted(pod for pod, _ in bench.logs.asked) == sorted(f"{each}-0" for each in jobs)


async def test_a_job_that_goes_away_meanwhile_is_forgotten(bench: Bench) -> None:
    bench.add("quantize-1")
    bench.logs.answer.clear()
    bench.reader.ask("team", ["quantize-1"])
    await asyncio.sleep(0)
    bench.cache.remove(thing("Job", "quantize-1"))
    bench.logs.answer.set()
    await bench.settle()
    assert bench.touched == []


async def test_stopping_gives_up_what_is_being_read(bench: Bench) -> None:
    bench.add("quantize-1")
    bench.logs.answer.clear()
    bench.reader.ask("team", ["quantize-1"])
    await asyncio.sleep(0)
    bench.reader.stop()
    await bench.settle()
    assert bench.percent("quantize-1") is None


async def ask_engine(bench: Bench, ends: int = 1) -> None:
    bench.reader.ask_once("team", (ReadLog("baseline-1-0", ends, previous=True),))
    await bench.settle()


def engine_log(bench: Bench) -> EngineLog | None:
    log: EngineLog | None = bench.cache.view("Job", "team", "baseline-1").pods[0].engine_log
    return log


async def test_the_last_life_of_an_engine_is_read_and_wakes_whom_it_belongs_to(bench: Bench) -> None:
    bench.add("baseline-1")
    bench.logs.text = "ValueError: no kernel"
    await ask_engine(bench)
    assert (bench.logs.asked, bench.logs.previous) == ([("baseline-1-0", "engine")], [True])
    assert engine_log(bench) == EngineLog(1, "ValueError: no kernel", (), "ValueError: no kernel")
    assert bench.touched == [CHAT]


async def test_a_log_that_is_gone_is_told_as_that_and_is_not_asked_for_again(bench: Bench) -> None:
    bench.add("baseline-1")
    bench.logs.text = None
    await ask_engine(bench)
    assert engine_log(bench) == EngineLog(1, unread="pod team/baseline-1-0 is gone")
    assert bench.touched == [CHAT], "who waits for it goes on"


async def test_what_was_read_goes_with_its_pod(bench: Bench) -> None:
    bench.add("baseline-1")
    await ask_engine(bench)
    pod = bench.cache.get("Pod", "team", "baseline-1-0")
    assert pod is not None
    bench.cache.remove(pod)
    bench.cache.put({**pod, "metadata": {**pod["metadata"], "uid": "another", "resourceVersion": "9"}})
    assert engine_log(bench) is None
    bench.cache.remove(bench.cache.get("Pod", "team", "baseline-1-0") or {})
    await ask_engine(bench)


async def test_an_engines_log_is_not_read_twice_at_once(bench: Bench) -> None:
    bench.add("baseline-1")
    bench.logs.answer.clear()
    for _ in range(3):
        bench.reader.ask_once("team", (ReadLog("baseline-1-0", 1, previous=False),))
        await asyncio.sleep(0)
    bench.logs.answer.set()
    await bench.settle()
    assert len(bench.logs.asked) == 1


async def test_a_result_in_a_log_is_read_once_and_wakes_whom_it_belongs_to(bench: Bench) -> None:
    bench.add("baseline-1")
    message = TerminationMessage.of(FetchResult(digest="sha256:" + "a" * 64, files=3, bytes=12))
    logged, lines = split(message.model_dump_json(by_alias=True))
    bench.logs.text = "\n".join(["a line for people", *lines])
    bench.reader.ask_once("team", (ReadResult("baseline-1-0", logged),))
    await bench.settle()
    assert bench.logs.asked == [("baseline-1-0", "worker")]
    assert bench.cache._readings.results["team", "baseline-1-0"] == ResultRead(logged.digest, message)
    assert bench.touched == [CHAT]


async def test_a_result_in_a_log_that_is_gone_is_told_as_that(bench: Bench) -> None:
    bench.add("baseline-1")
    bench.logs.text = None
    logged, _ = split("{}")
    bench.reader.ask_once("team", (ReadResult("baseline-1-0", logged),))
    await bench.settle()
    assert bench.cache.view("Job", "team", "baseline-1").pods
    assert bench.cache._readings.results["team", "baseline-1-0"].unread == "pod team/baseline-1-0 is gone"
    assert bench.touched == [CHAT]


async def test_who_is_woken_may_ask_for_the_next_log_of_the_same_pod_at_once(bench: Bench) -> None:
    bench.add("baseline-1")
    asked: list[int] = []

    def woken(_keys: object) -> None:
        asked.append(len(bench.logs.asked))
        if len(asked) == 1:
            bench.reader.ask_once("team", (ReadLog("baseline-1-0", 2, previous=True),))

    bench.reader._reads._touch = woken
    await ask_engine(bench)
    await bench.settle()
    found = engine_log(bench)
    assert found is not None and found.ends == 2


USING = "INFO 11-27 10:00:00 [gptq.py:1] Using MarlinLinearKernel for GPTQLinearMethod"


async def start_of(bench: Bench, number: int) -> EngineStart | None:
    name = f"eval-1-{number}"
    bench.reader.ask_once("team", (ReadStart(name, f"Pod-{name}", "node-1"),))
    await bench.settle()
    found: EngineStart | None = bench.cache.view("Pod", "team", name).engine_start
    return found


async def test_how_an_engine_runs_is_read_from_its_log_and_its_node_is_asked_once(bench: Bench) -> None:
    bench.add("eval-1", pods=2)
    bench.logs.text = USING
    starts = [await start_of(bench, number) for number in range(2)]
    assert [start and (start.kernels, start.device) for start in starts] == [
        (("MarlinLinearKernel for GPTQLinearMethod",), "NVIDIA-L4")
    ] * 2
    assert bench.logs.nodes_asked == ["node-1"]


async def test_who_may_not_read_nodes_is_not_asked_again_and_a_lost_log_is_no_failure(bench: Bench) -> None:
    bench.add("eval-1", pods=2)
    bench.logs.text = bench.logs.labels = None
    assert [await start_of(bench, number) for number in range(2)] == [
        EngineStart("Pod-eval-1-0"), EngineStart("Pod-eval-1-1")
    ]  # fmt: skip
    assert bench.logs.nodes_asked == ["node-1"]
