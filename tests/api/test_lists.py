"""LISTs of a real API server: as a stream where it has them, in pages where it has not, and whole either way."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from lowbit.kube.client import Call, Kube
from lowbit.kube.connect import configuration
from lowbit.kube.errors import NotFound, Unavailable
from lowbit.kube.listing import Part
from lowbit.observe.nodes import node_view
from tests.api.listed import listed
from tests.api.operator_process import Cluster

COUNT = 8
MINE = "app.kubernetes.io/managed-by=lowbit"
ALL = {f"child-{number}" for number in range(COUNT)}
Calls = list[tuple[str, str, int]]


@asynccontextmanager
async def client(server: ApiServer, space: str) -> AsyncIterator[tuple[Kube, Calls]]:
    """A client and its calls (verb, resource, HTTP status), after it made COUNT ConfigMaps of ours and one foreign."""
    calls: Calls = []
    kube = Kube(await configuration(str(server.kubeconfig)), lambda *call: calls.append(call[:3]))
    try:
        for name in sorted(ALL):
            await kube.create(config_map(space, name, {"app.kubernetes.io/managed-by": "lowbit"}))
        await kube.create(config_map(space, "other", {}))
        calls.clear()
        yield kube, calls
    finally:
        await kube.close()


def config_map(space: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": space, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def names(kube: Kube, space: str, selector: str | None = MINE) -> set[str]:
    """The names in a LIST."""
    items, version = await listed(kube, "ConfigMap", space, selector)
    assert version.isdecimal()
    assert {(each["apiVersion"], each["kind"]) for each in items} == {("v1", "ConfigMap")}
    return {each["metadata"]["name"] for each in items}


async def test_a_list_is_one_stream_in_parts_and_whole(
    cluster: Cluster, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbit.kube.listing.CHUNK", 3)
    async with client(cluster.server, space) as (kube, calls):
        assert await names(kube, space) == ALL
        assert await names(kube, space, None) >= ALL | {"other"}
        assert calls == 2 * [("list", "configmaps", 200)]
        parts: list[Part] = []
        await kube.read("ConfigMap", space, MINE, parts.append)
    assert sum(len(part.items) for part in parts) == COUNT
    assert max(len(part.items) for part in parts) <= 3


async def test_a_list_shows_what_was_written_just_before(cluster: Cluster, space: str) -> None:
    """The watch cache may be behind etcd: a stream waits for it."""
    async with client(cluster.server, space) as (kube, _):
        for number in range(20):
            made = await kube.create(config_map(space, f"late-{number}", {"late": "yes"}))
            items, version = await listed(kube, "ConfigMap", space, "late=yes")
            assert len(items) == number + 1
            assert int(version) >= int(made["metadata"]["resourceVersion"])


async def test_an_api_server_that_streams_no_lists_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those before 1.32, of which the chart allows 1.31."""
    monkeypatch.setattr("lowbit.kube.client.CHUNK", 3)
    with ApiServer(arguments=("--feature-gates=WatchList=false",)) as server:
        async with client(server, "default") as (kube, calls):
            assert await names(kube, "default") == ALL
            assert await names(kube, "default") == ALL
    refused, *pages = [status for _, _, status in calls]
    assert refused == 422
    assert pages == 6 * [200], "a stream is asked for once"


async def test_what_fails_as_a_stream_is_read_in_pages_the_next_time_and_as_a_stream_after_that(
    cluster: Cluster, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something between us and the API server may not let streams through."""

    async def ends_too_early(*_: Any) -> str:
        raise Unavailable(0, "NoAnswer", "list ConfigMap: the stream ended before all was told")

    async with client(cluster.server, space) as (kube, calls):
        with monkeypatch.context() as broken:
            broken.setattr("lowbit.kube.client.take_stream", ends_too_early)
            with pytest.raises(Unavailable, match="before all was told"):
                await names(kube, space)
            monkeypatch.setattr("lowbit.kube.client.CHUNK", 3)
            calls.clear()
            assert await names(kube, space) == ALL
            assert len(calls) == 3
        calls.clear()
        assert await names(kube, space) == ALL
        assert len(calls) == 1


async def test_a_kind_that_is_not_there_is_told_as_such(cluster: Cluster) -> None:
    kube = Kube(await configuration(str(cluster.server.kubeconfig)))
    try:
        with pytest.raises(NotFound, match="list PodMonitor"):
            await listed(kube, "PodMonitor")
    finally:
        await kube.close()


async def test_the_collector_is_off_while_a_part_is_taken_and_never_while_one_is_awaited(
    cluster: Cluster, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off for a whole LIST of thousands, the collector left all other work's garbage: 300 MiB in a wave."""
    for place in ("client", "listing"):
        monkeypatch.setattr(f"lowbit.kube.{place}.CHUNK", 3)
    async with client(cluster.server, space) as (kube, _):
        for streams in (True, False):
            taken: list[bool] = []
            awaited: list[bool] = []
            monkeypatch.setattr(kube, "_streams", streams)
            monkeypatch.setattr(kube, "_on_call", lambda *_, heard=awaited: heard.append(gc.isenabled()))
            await kube.read("ConfigMap", space, None, lambda _, heard=taken: heard.append(gc.isenabled()))  # type: ignore[misc]
            assert len(taken) >= 3
            assert set(taken) == {False}
            assert set(awaited) == {True}
            assert gc.isenabled()


async def test_nodes_come_in_pages_with_what_a_pod_that_waits_asks_of_them(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbit.kube.client.CHUNK", 2)
    calls: Calls = []
    kube = Kube(await configuration(str(cluster.server.kubeconfig)), lambda *call: calls.append(call[:3]))
    made = [f"node-{number}" for number in range(3)]
    try:
        for name in made:
            node = {
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"pool": "gpu"}},
                "spec": {"taints": [{"key": "team", "value": "vision", "effect": "NoSchedule"}]},
                "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": "4"}},
            }  # fmt: skip
            await kube._call(Call("create", "/api/v1/nodes", "nodes", f"create {name}", node))
        calls.clear()
        found = {each.name: each for each in map(node_view, await kube.nodes())}
        assert len([call for call in calls if call[:2] == ("list", "nodes")]) >= 2
        for name in made:
            assert found[name].labels["pool"] == "gpu"
            assert found[name].taints[0].text == "team=vision:NoSchedule"
            assert found[name].allocatable == {"nvidia.com/gpu": 4}
    finally:
        for name in made:
            await kube._call(Call("delete", f"/api/v1/nodes/{name}", "nodes", f"delete {name}"))
        await kube.close()
