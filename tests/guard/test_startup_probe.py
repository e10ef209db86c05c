"""The start-up probe: one real completion, by the busybox that fetch puts there, whatever the engine's image holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from lowbit.api.engines import ResolvedEngine
from lowbit.api.paths import BUSYBOX_PATH
from lowbit.desired import probes
from tests.unit import desired_inputs as inputs

BUSYBOX = "/bin/busybox"


class Engine:
    """Healthy or not, and alive or not at its first request."""

    def __init__(self) -> None:
        self.health, self.completion, self.asked = 200, 200, list[object]()
        self.answer: object = {"choices": [{"text": "x"}]}

    async def is_healthy(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.health)

    async def complete(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.json_response(self.answer, status=self.completion)


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    made = Engine()
    app = web.Application()
    app.router.add_get("/health", made.is_healthy)
    app.router.add_post("/v1/completions", made.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(probes, "ENGINE_PORT", runner.addresses[0][1])
    yield made
    await runner.cleanup()


async def probe() -> int:
    """Its exit code, beside a proxy in the environment that would break it."""
    resolved: ResolvedEngine = inputs.revision_spec().engine
    program = probes.startup_probe(resolved, "support-chat", 0)["exec"]["command"][-1].replace(BUSYBOX_PATH, BUSYBOX)
    environment = {"PATH": "/nowhere", "http_proxy": "http://127.0.0.1:9"}
    running = await asyncio.create_subprocess_exec(
        BUSYBOX, "sh", "-c", program, env=environment, stderr=asyncio.subprocess.DEVNULL, cwd=os.sep
    )
    return await running.wait()


async def test_an_engine_has_started_when_it_has_answered(engine: Engine) -> None:
    assert await probe() == 0
    assert engine.asked == [{"model": "support-chat", "prompt": "Hello", "max_tokens": 1}]


async def test_an_engine_that_is_not_healthy_is_not_asked(engine: Engine) -> None:
    engine.health = 503
    assert await probe() != 0
    assert engine.asked == []


async def test_an_engine_that_dies_at_its_first_request_has_not_started(engine: Engine) -> None:
    engine.completion = 500
    assert await probe() != 0


async def test_an_answer_that_is_none_is_no_start(engine: Engine) -> None:
    engine.answer = {"error": {"message": "no such model"}}
    assert await probe() != 0
