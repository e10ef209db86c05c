"""/healthz, /readyz and /metrics: what they answer, and to what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from lowbit.app.health import Health, HealthServer
from lowbit.app.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def address(health: Health) -> AsyncIterator[str]:
    server = HealthServer("127.0.0.1", 0, health, Metrics().registry)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def ask(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
        return answer.status, await answer.text()


async def test_all_well_is_200(address: str, health: Health) -> None:
    health.alive["loop"] = health.ready["store"] = lambda: None
    assert await ask(address, "/healthz") == await ask(address, "/readyz") == (200, "ok\n")


async def test_what_is_not_ready_is_named_and_is_no_reason_for_a_restart(address: str, health: Health) -> None:
    health.ready["store"] = lambda: "the cluster has not been read yet"
    assert await ask(address, "/readyz") == (503, "store: the cluster has not been read yet\n")
    assert (await ask(address, "/healthz"))[0] == 200


async def test_who_is_not_alive_is_not_ready_either(address: str, health: Health) -> None:
    health.alive["watch streams"] = lambda: "dead"
    assert await ask(address, "/healthz") == await ask(address, "/readyz") == (503, "watch streams: dead\n")


async def test_a_part_that_has_ended_is_not_alive(address: str, health: Health) -> None:
    end = asyncio.Event()
    task = asyncio.create_task(end.wait())
    health.watch_task("worker 0", task)
    assert (await ask(address, "/healthz"))[0] == 200
    end.set()
    await task
    assert await ask(address, "/healthz") == (503, "worker 0: worker 0 has ended\n")


async def test_metrics_are_in_prometheus_format(address: str) -> None:
    status, text = await ask(address, "/metrics")
    assert status == 200
    assert "# TYPE lowbit_reconciles_total counter" in text
