"""Without Kueue: no more Jobs with GPUs run at once in a namespace than the platform says, and all have their turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.api.platform import Platform
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.app.loop import Reconciler
from lowbit.app.metrics import Metrics
from lowbit.app.queue import WorkQueue
from lowbit.decide.gpujobs import decide_gpu_jobs
from lowbit.kube.errors import Conflict, Unavailable
from lowbit.kube.listing import Part, Take
from lowbit.naming.names import GIVEN_UP_ANNOTATION
from lowbit.observe.cache import Cache
from lowbit.observe.gpujobs import gpu_jobs_key
from lowbit.observe.keys import Key
from lowbit.state.plan import Plan, Start
from lowbit.state.snapshot import GpuJobs, WaitingJob
from tests.unit.life import condition, status
from tests.unit.queues import running_jobs, suspend, waiting_jobs
from tests.unit.world import NAMESPACE, World, spec_of_one

NAMES = ("old", "middle", "young")
KEY = gpu_jobs_key(NAMESPACE)
SLOT = "lowbit.dev/gpu-slot"


def with_bound(bound: int | None, *names: str) -> World:
    """Models that share nothing, the first the oldest, whose Jobs with GPUs may run `bound` at once."""
    world = World(platform=Platform(max_gpu_jobs=bound))
    world.add_store()
    for index, name in enumerate(names):
        world.now += timedelta(seconds=1)
        # Each of its own: what is shared is made once, for all.
        suites = [
            {
                "name": "fidelity",
                "fidelity": {"dataset": {"configMap": {"name": "holdout"}}, "samples": 100 + index},
                "gate": {"maximum": [{"metric": "KLDivergence", "value": "0.15"}]},
            }
        ]
        own = {"samples": 64 + index, "datasets": [{"name": "general", "configMap": {"name": "general"}}]}
        world.apply_model(name, spec_of_one(calibration=own, evaluation={"suites": suites}))
    return world


def with_gpus(world: World, jobs: list[str]) -> list[str]:
    return [job for job in jobs if "-prepare-" not in job]


def look(world: World, *names: str) -> None:
    """Reconcile until nothing is to be done."""
    for _ in range(60):
        moved = [world.step(name) for name in names if ("QuantizedModel", name) in world.objects]
        moved.append(world.start_waiting())
        if not any(moved):
            return
    raise AssertionError("no rest")


def finish_prepares(world: World) -> None:
    for job in running_jobs(world):
        if "-prepare-" in job:
            world.finish_job(job)


def made_for(world: World, job: str) -> str:
    found: str = world.objects["Job", job]["metadata"]["annotations"]["lowbit.dev/made-for"]
    return found


def test_as_many_start_as_may_and_the_oldest_model_goes_first() -> None:
    world = with_bound(1, *NAMES)
    look(world, *reversed(NAMES))
    finish_prepares(world)
    for name in reversed(NAMES):  # the youngest is the first to ask
        while world.step(name):
            pass
    assert len(with_gpus(world, waiting_jobs(world))) == 3
    look(world, *NAMES)
    (running,) = with_gpus(world, running_jobs(world))
    assert made_for(world, running) == "old"
    world.finish_job(running)
    assert world.start_waiting()
    assert [made_for(world, job) for job in with_gpus(world, running_jobs(world))] == ["middle"]


def test_who_waits_says_how_many_run_and_what_to_change() -> None:
    world = with_bound(1, *NAMES)
    look(world, *NAMES)
    finish_prepares(world)
    look(world, *NAMES)
    ready = condition(world, "Ready", "young")
    assert ready["reason"] == status(world, "young")["reason"] == "Queued"
    assert f"in namespace {NAMESPACE}: 1 run, and 1 may" in ready["message"]
    assert "platform.maxGpuJobs" in ready["message"]
    before = {name: world.model(name)["metadata"]["resourceVersion"] for name in NAMES}
    world.now += timedelta(days=3)
    look(world, "middle", "young")
    assert {name: world.model(name)["metadata"]["resourceVersion"] for name in NAMES} == before, "at rest"
    assert condition(world, "Stalled", "young") is None


def test_without_a_bound_no_job_waits() -> None:
    world = with_bound(None, *NAMES)
    world.settle(*NAMES)
    for job in world.names("Job"):
        assert "suspend" not in world.objects["Job", job]["spec"]
        assert SLOT not in world.objects["Job", job]["metadata"]["annotations"]


def test_a_bound_that_is_taken_away_lets_all_start() -> None:
    world = with_bound(1, *NAMES)
    look(world, *NAMES)
    finish_prepares(world)
    look(world, *NAMES)
    world.platform = Platform()
    look(world, *NAMES)
    assert waiting_jobs(world) == []


def test_a_new_bound_ends_nothing_and_counts_what_runs_already() -> None:
    world = with_bound(None, *NAMES)
    look(world, *NAMES)
    finish_prepares(world)
    look(world, "old", "middle")
    world.platform = Platform(max_gpu_jobs=1)
    look(world, *NAMES)
    assert {made_for(world, job) for job in with_gpus(world, running_jobs(world))} == {"old", "middle"}
    for job in with_gpus(world, running_jobs(world)):
        assert not world.start_waiting()
        world.finish_job(job)
    assert world.start_waiting()


def test_who_suspends_a_job_that_runs_is_not_overruled() -> None:
    world = with_bound(2, "old")
    look(world, "old")
    finish_prepares(world)
    look(world, "old")
    (job,) = with_gpus(world, running_jobs(world))
    suspend(world, job)
    look(world, "old")
    assert job in waiting_jobs(world)
    assert "suspended by somebody else" in condition(world, "Ready", "old")["message"]


def test_two_that_fail_again_and_again_do_not_keep_a_third_from_its_turn() -> None:
    world = with_bound(1, *NAMES)
    for _ in range(40):
        look(world, *NAMES)
        finish_prepares(world)
        for job in with_gpus(world, running_jobs(world)):
            if made_for(world, job) == "young":
                world.finish_job(job)
            else:
                give_up(world, job)
        world.now += timedelta(minutes=11)  # what was given up is made anew before the next one ends
        if status(world, "young").get("stage") == "RollingOut":
            break
    assert status(world, "young")["stage"] == "RollingOut"


def give_up(world: World, job: str) -> None:
    """Its pod could not start for long: Lowbit has ended it, and tries it again in ten minutes."""
    refusal = Refusal(reason="PodNotStarted", message="The volume does not come.", action="Mend it.")
    known = world.objects["Job", job]
    marks = known["metadata"]["annotations"] | {GIVEN_UP_ANNOTATION: refusal.model_dump_json(by_alias=True)}
    world.put(known | {"metadata": known["metadata"] | {"annotations": marks}})
    world.end_job(job)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["reconcile", "start", "finish", "kill", "delete", "wait", "suspend"]), st.integers(0, 9)
    ),
    max_size=40,
)


@settings(max_examples=20)
@given(bound=st.integers(1, 3), events=EVENTS)
def test_in_any_order_the_bound_holds_and_everyone_comes_to_an_end(bound: int, events: list[tuple[str, int]]) -> None:
    world = with_bound(bound, *NAMES)
    check = bounded(world, bound)
    for event, number in events:
        happen(world, event, number)
        check()
    for _ in range(60):
        look(world, *[name for name in NAMES if ("QuantizedModel", name) in world.objects])
        check()
        for job in running_jobs(world):
            world.finish_job(job)
        for job in [each for each in waiting_jobs(world) if SLOT not in marks_of(world, each)]:
            world.delete("Job", job)
        world.act()
        world.now += timedelta(minutes=11)
        if all(status(world, name)["stage"] == "Serving" for name in world.names("QuantizedModel")):
            break
    for name in world.names("QuantizedModel"):
        assert status(world, name)["stage"] == "Serving", status(world, name)


def marks_of(world: World, job: str) -> Mapping[str, str]:
    found: Mapping[str, str] = world.objects["Job", job]["metadata"]["annotations"]
    return found


def bounded(world: World, bound: int) -> Callable[[], None]:
    def check() -> None:
        assert len(with_gpus(world, running_jobs(world))) <= bound

    return check


def happen(world: World, event: str, number: int) -> None:
    """One event; number chooses what it happens to."""
    models, running = sorted(world.names("QuantizedModel")), running_jobs(world)
    if event == "reconcile" and models:
        world.step(models[number % len(models)])
    elif event == "start":
        world.start_waiting()
    elif event == "wait":
        world.now += timedelta(minutes=number)
    elif event == "delete" and number == 9 and len(models) > 1:
        world.delete("QuantizedModel", models[0])
    elif running:
        job = running[number % len(running)]
        if event == "finish":
            world.finish_job(job)
        elif event == "kill" and not job.endswith("-2"):  # the second time it would stay failed
            world.finish_job(job, TerminationMessage(), code=137)
        elif event == "suspend":
            suspend(world, job)
        elif event == "delete":
            world.delete("Job", job)


def job(name: str, place: str | None = None, *, uid: str = "", version: str = "1", **more: Any) -> dict[str, Any]:
    """A Job with a GPU; one that waits, with a place."""
    marks = {} if place is None else {SLOT: place}
    container = {"name": "worker", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": uid or f"uid-{name}", "resourceVersion": version,
            "annotations": marks, "labels": {},
        },
        "spec": {"suspend": place is not None, "template": {"spec": {"containers": [container]}}},
    } | more  # fmt: skip


COMPLETE = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}


def test_the_end_of_a_job_wakes_those_that_wait() -> None:
    cache = Cache(Platform(max_gpu_jobs=1))
    assert KEY not in cache.put(job("a"))
    assert KEY in cache.put(job("b", "2026"))
    assert cache.keys() == {KEY}, "an operator that starts looks at them"
    assert KEY in cache.put(job("a", version="2") | COMPLETE)
    assert KEY not in cache.put(job("a", version="3") | COMPLETE)
    cache.put(job("c", version="4"))
    assert KEY in cache.remove(job("c", version="4"))
    cache.remove(job("b"))
    assert cache.keys() == frozenset()


def test_what_counts_is_asked_of_every_container_and_under_any_name() -> None:
    cache = Cache(Platform(max_gpu_jobs=1, gpu_resource="example.com/card"))
    for name, where, resource in (
        ("a", "containers", "nvidia.com/mig-1g.10gb"), ("b", "initContainers", "amd.com/gpu"),
        ("c", "containers", "example.com/card"), ("d", "containers", "cpu"), ("e", "containers", "rdma/hca"),
    ):  # fmt: skip
        pod = {where: [{"name": "x", "resources": {"limits": {resource: "1"}}}]}
        cache.put(job(name, spec={"template": {"spec": pod}}))
    assert cache.gpu_jobs.running(NAMESPACE) == 3


def test_jobs_in_a_queue_of_kueue_are_not_counted() -> None:
    cache = Cache(Platform(max_gpu_jobs=1))
    inside = job("a")
    inside["metadata"]["annotations"] = {"lowbit.dev/queue": "gpus"}
    cache.put(inside)
    assert cache.gpu_jobs.running(NAMESPACE) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"])), unique_by=lambda each: each[0]),
    st.integers(0, 5),
    st.none() | st.integers(1, 4),
)
def test_free_places_go_to_the_earliest(waiting: list[tuple[str, str]], running: int, bound: int | None) -> None:
    seen = tuple(WaitingJob(name, name, "1", place) for name, place in sorted(waiting, key=lambda each: each[::-1]))
    started = decide_gpu_jobs(GpuJobs(running, seen), bound).actions
    assert all(isinstance(each, Start) for each in started)
    assert [each.name for each in started if isinstance(each, Start)] == [
        each.name for each in seen[: len(seen) if bound is None else max(0, bound - running)]
    ]


class Server:
    """An API server that keeps Jobs, answers late, and may lose an answer."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self.jobs = {each["metadata"]["name"]: each for each in jobs}
        self.most = 0
        self.lose = 0
        """So many answers to writes are lost from now on."""

    def running(self) -> list[str]:
        return [name for name, each in self.jobs.items() if not each["spec"]["suspend"] and "status" not in each]

    async def read(self, _kind: str, _namespace: str, _selector: str, take: Take) -> str:
        await asyncio.sleep(random.random() / 1000)
        take(Part(list(self.jobs.values())))
        return "1"

    async def merge_patch(self, _kind: str, _namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(random.random() / 1000)
        known = self.jobs[name]
        if known["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "it has changed")
        version = str(int(known["metadata"]["resourceVersion"]) + 1)
        metadata = known["metadata"] | {"resourceVersion": version, "annotations": {}}
        self.jobs[name] = known | {"metadata": metadata, "spec": known["spec"] | {"suspend": False}}
        self.most = max(self.most, len(self.running()))
        if self.lose:
            self.lose -= 1
            raise Unavailable(0, "Unavailable", "the answer was lost")
        return self.jobs[name]

    async def get(self, _kind: str, _namespace: str, name: str) -> dict[str, Any]:
        return self.jobs[name]

    def end(self, name: str) -> dict[str, Any]:
        known = self.jobs[name]
        version = str(int(known["metadata"]["resourceVersion"]) + 1)
        self.jobs[name] = known | {"metadata": known["metadata"] | {"resourceVersion": version}} | COMPLETE
        return self.jobs[name]


class Quiet:
    """Readers and senders that do nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None

    async def send(self, *_: Any) -> None:
        """As EventSender."""


def reconciler(server: Server, cache: Cache, queue: WorkQueue[Key]) -> Reconciler:
    api: Any = server
    quiet: Any = Quiet()
    return Reconciler(
        api, cache, queue, quiet, quiet, quiet, Metrics(), lambda: True, lambda _snapshot, _now: Plan(),
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize("lost", [0, 3])
async def test_the_bound_holds_although_reconciles_race_and_answers_are_lost(lost: int) -> None:
    bound, loop = 2, asyncio.get_running_loop()
    server = Server([job(f"job-{number}", f"2026-{number:02}") for number in range(12)])
    server.lose = lost
    queue: WorkQueue[Key] = WorkQueue(loop.time, jitter=lambda: 0.0)
    cache = Cache(Platform(max_gpu_jobs=bound))
    for each in server.jobs.values():
        queue.add_all(cache.put(each))
    workers = [asyncio.create_task(reconciler(server, cache, queue).work()) for _ in range(4)]
    order: list[str] = []
    async with asyncio.timeout(30):
        while len(order) < 12:
            await asyncio.sleep(0.002)
            queue.add(KEY)  # any event may wake it
            running = server.running()
            full = len(running) >= min(bound, 12 - len(order))  # else one may end before the next has started
            for name in running[:1] if full else ():
                order.append(name)
                queue.add_all(cache.put(server.end(name)))
    for worker in workers:
        worker.cancel()
    assert server.most == bound
    assert order == sorted(order, key=lambda name: int(name.removeprefix("job-")))


async def test_what_the_last_leader_started_is_seen_before_another_one_starts() -> None:
    """The watch of a new leader may lag behind what the last one did."""
    server = Server([job("a", "2026-01"), job("b", "2026-02")])
    cache = Cache(Platform(max_gpu_jobs=1))
    for each in server.jobs.values():
        cache.put(each)
    started = server.jobs["a"]
    server.jobs["a"] = started | {
        "metadata": started["metadata"] | {"resourceVersion": "2", "annotations": {}}, "spec": {**started["spec"],
        "suspend": False},
    }  # fmt: skip
    cache.remove(server.jobs["b"])
    cache.put(job("b", "2025-01", uid="other", version="3"))  # an older model's Job came in between
    server.jobs["b"] = job("b", "2025-01", uid="other", version="3")
    queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
    queue.add(KEY)
    work = reconciler(server, cache, queue)
    worker = asyncio.create_task(work.work())
    async with asyncio.timeout(10):
        while queue.depth or not work.idle.is_set():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.002)
    worker.cancel()
    assert server.running() == ["a"]
