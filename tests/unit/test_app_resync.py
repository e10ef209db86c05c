"""The comparison with a LIST: it fills the cache, finds what watches missed, and notices a kind that comes and goes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lowbit.kube.errors import KubeError, NotFound, Unavailable
from lowbit.kube.listing import Part
from lowbit.kube.resources import OPTIONAL_KINDS, OWN_KINDS, RESOURCES, SHARED_KINDS
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.watching import resync as module
from lowbit.watching.ended import HistoryLost
from lowbit.watching.resync import ROUNDS_MISSED, Pace, Resync

CHAT = Key("team", "chat")
ALWAYS = (*OWN_KINDS, *SHARED_KINDS)


def job(name: str = "quantize-1", version: int = 1) -> dict[str, Any]:
    owner = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "name": "chat", "uid": "u"}
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata | {"ownerReferences": [owner]}}


def model() -> dict[str, Any]:
    metadata = {"name": "chat", "namespace": "team", "uid": "chat", "resourceVersion": "1"}
    return {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": metadata, "spec": {}}


class Bench:
    """A comparison, and an API server that holds what the test says."""

    def __init__(self, *namespaces: str) -> None:
        self.objects: list[dict[str, Any]] = []
        self.gone: list[dict[str, Any]] = []
        self.version = 1
        self.pod_monitors = False
        self.errors: list[KubeError] = []
        self.listed: list[tuple[str, str | None, str | None]] = []
        self.touched: list[Key] = []
        self.changed = asyncio.Event()
        self.missed: list[str] = []
        self.collected_meanwhile: list[bool] = []
        self.cache = Cache()
        kube: Any = self
        self.resync = Resync(
            kube, self.cache, namespaces, touch=self.touch, on_missed=self.missed.append,
            pace=Pace(600.0, lambda: 0.5),
        )  # fmt: skip

    def touch(self, keys: Iterable[Key]) -> None:
        before = len(self.touched)
        self.touched.extend(keys)
        if len(self.touched) > before:
            self.changed.set()

    async def serves(self, kind: str) -> bool:
        assert kind == "PodMonitor"
        return self.pod_monitors

    async def read(self, kind: str, namespace: str | None, selector: str | None, take: Callable[[Part], None]) -> str:
        """One object at a time, and in the end what has gone since it was shown."""
        if self.errors:
            raise self.errors.pop(0)
        self.listed.append((kind, namespace, selector))
        for each in self.objects:
            if each["kind"] == kind:
                self.collected_meanwhile.append(gc.isenabled())
                await asyncio.sleep(0)
                take(Part([each]))
        take(Part([], [each for each in self.gone if each["kind"] == kind]))
        return str(self.version)

    async def filled(self) -> Bench:
        """As an operator is when its watches run."""
        await self.resync.fill()
        self.resync.watched = frozenset(ALWAYS)
        self.touched.clear()
        self.changed.clear()
        return self


async def test_a_model_that_goes_between_two_lists_is_not_taken_for_one_that_lacks_everything() -> None:
    bench = Bench("one", "two")
    await bench.resync.fill()
    kinds = [kind for kind, _, _ in bench.listed]
    assert kinds[-2:] == ["QuantizedModel", "QuantizedModel"]
    assert "QuantizedModel" not in kinds[:-2]


async def test_what_goes_while_it_is_read_is_gone() -> None:
    bench = Bench()
    bench.objects = [job(), model()]
    bench.gone = [job()]
    await bench.resync.fill()
    assert bench.cache.get("Job", "team", "quantize-1") is None
    assert bench.cache.get("QuantizedModel", "team", "chat") is not None


async def test_a_list_that_shows_an_old_version_first_and_then_the_one_that_was_written_is_no_other_past() -> None:
    """As the API server's watch cache does, when it is behind our own write."""
    bench = Bench()
    bench.objects, bench.version = [job(version=7)], 8
    await bench.filled()
    bench.objects = [job(version=3), job(version=7)]
    for _ in range(3):
        await bench.resync.compare()


async def test_what_others_throw_away_while_a_part_is_awaited_is_collected() -> None:
    bench = Bench()
    bench.objects = [model()]
    await bench.resync.fill()
    await bench.resync.compare()
    assert bench.collected_meanwhile == [True, True]


async def test_everything_is_listed_models_last_and_what_others_use_too_only_with_our_label() -> None:
    bench = Bench()
    await bench.resync.fill()
    assert [kind for kind, _, _ in bench.listed] == [
        *(kind for kind in ALWAYS if kind != "QuantizedModel"),
        "QuantizedModel",
    ]
    for kind, namespace, selector in bench.listed:
        assert namespace is None
        assert (selector is None) is (kind in OWN_KINDS)
    assert bench.resync.synced


async def test_with_namespaces_each_is_listed_and_nothing_else() -> None:
    bench = Bench("a", "b")
    await bench.resync.fill()
    assert {namespace for _, namespace, _ in bench.listed} == {"a", "b"}
    assert len(bench.listed) == 2 * len(ALWAYS)


async def test_the_store_is_filled_in_the_end_however_often_the_api_server_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.0)
    bench = Bench()
    bench.errors = [NotFound(404, "", "no such kind"), Unavailable(503, "", "busy"), Unavailable(0, "", "no answer")]
    assert bench.resync.pending() == "the cluster has not been read yet"
    told: list[str | None] = []
    monkeypatch.setattr("lowbit.watching.resync.asyncio.sleep", lambda _: said(told, bench))
    await bench.resync.fill()
    assert [str(each).rpartition(": ")[2] for each in told] == [
        "no such kind; are Lowbit's CRDs installed?", "busy", "no answer",
    ], "/readyz says why"  # fmt: skip
    assert bench.resync.pending() is None
    assert bench.resync.synced
    assert not bench.errors


async def said(told: list[str | None], bench: Bench) -> None:
    told.append(bench.resync.pending())


async def test_what_the_watches_bring_afterwards_was_not_missed() -> None:
    bench = await Bench().filled()
    bench.objects.append(job())
    await bench.resync.compare()
    assert bench.touched == [CHAT]
    bench.resync.noticed(job())
    await bench.resync.compare()
    assert bench.missed == []
    assert bench.resync.trouble() is None


async def test_watches_that_bring_nothing_round_after_round_are_dead() -> None:
    bench = await Bench().filled()
    for number in range(ROUNDS_MISSED + 1):
        assert bench.resync.trouble() is None
        bench.version += 1
        bench.objects = [job(f"quantize-{number}", bench.version)]
        await bench.resync.compare()
    assert "no watch had brought" in str(bench.resync.trouble())
    assert set(bench.missed) == {"Job"}


async def test_one_round_without_a_miss_makes_good_again() -> None:
    bench = await Bench().filled()
    for number in range(ROUNDS_MISSED):
        bench.objects = [job(f"quantize-{number}", number + 2)]
        bench.version = number + 2
        await bench.resync.compare()
    await bench.resync.compare()
    await bench.resync.compare()
    assert bench.resync.trouble() is None


async def test_a_kind_that_comes_is_listed_from_then_on_and_every_model_is_looked_at_again() -> None:
    bench = Bench()
    bench.objects.append(model())
    await bench.filled()
    assert not {kind for kind, _, _ in bench.listed} & set(OPTIONAL_KINDS)
    bench.pod_monitors = True
    await bench.resync.compare()
    assert bench.touched == [CHAT] and bench.cache.has_pod_monitors
    assert set(OPTIONAL_KINDS) <= {kind for kind, _, _ in bench.listed}
    bench.touched.clear()
    await bench.resync.compare()
    assert bench.touched == []
    bench.pod_monitors = False
    await bench.resync.compare()
    assert bench.touched == [CHAT] and not bench.cache.has_pod_monitors


async def test_a_kind_that_nobody_watches_is_compared_and_never_missed() -> None:
    bench = await Bench().filled()
    bench.pod_monitors = True
    metadata = {"name": "chat", "namespace": "team", "uid": "m", "resourceVersion": "5", "labels": {}}
    bench.objects.append({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": metadata})
    for _ in range(2):
        await bench.resync.compare()
    assert bench.missed == []
    assert bench.cache.get("PodMonitor", "team", "chat") is not None


async def test_a_comparison_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise asyncio.CancelledError

    bench = await Bench().filled()
    monkeypatch.setattr(bench.resync, "pause", sleep)
    bench.errors = [Unavailable(503, "", "busy")]
    with pytest.raises(asyncio.CancelledError):
        await bench.resync.run()
    assert waits == [600.0, 30.0, 600.0, 600.0]


async def test_after_a_restore_of_etcd_the_operator_ends_and_is_not_blind_for_ever() -> None:
    """One answer may be stale; two in a row are not."""
    bench = Bench()
    bench.objects, bench.version = [job(version=7)], 8
    await bench.filled()
    bench.objects, bench.version = [job(version=3)], 4
    await bench.resync.compare()
    with pytest.raises(HistoryLost, match=r"etcd was restored.*Job team/quantize-1"):
        await bench.resync.compare()


async def test_one_stale_list_ends_nothing_and_is_looked_at_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    bench = Bench()
    bench.objects, bench.version = [job(version=7)], 8
    await bench.filled()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        bench.version = 4 if len(waits) == 1 else 8
        if len(waits) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(bench.resync, "pause", sleep)
    with pytest.raises(asyncio.CancelledError):
        await bench.resync.run()
    assert waits == [600.0, 2.0, 600.0]


async def test_watches_go_on_from_the_lists_that_filled_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("a", "b")
    bench.version = 41
    await bench.resync.fill()
    paths = {RESOURCES[kind].path(namespace) for kind in ALWAYS for namespace in ("a", "b")}
    assert bench.resync.listed == dict.fromkeys(paths, "41")
    bench.version = 42
    await bench.resync.compare()
    assert set(bench.resync.listed.values()) == {"41"}, "a later one is not what the cache was filled with"


async def test_what_was_deleted_while_a_watch_began_anew_is_looked_for_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLING", 0.0)
    bench = Bench()
    bench.objects = [job()]
    await bench.filled()
    bench.objects, bench.version = [], 2
    running = asyncio.create_task(bench.resync.run())
    bench.resync.gap()
    await bench.changed.wait()  # a comparison is ten minutes away else
    running.cancel()
    assert bench.touched == [CHAT]
