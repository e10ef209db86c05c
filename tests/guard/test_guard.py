"""What the guard lets through, checked with a real Envoy and the configuration that serving pods get."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import yaml

from lowbit.api.paths import BUSYBOX_PATH
from lowbit.desired import probes
from lowbit.desired.guard.config import bootstrap
from tests.guard.conftest import KEY, Guard

BUSYBOX = "/bin/busybox"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on its own."""
    while not condition():  # noqa: ASYNC110 - the condition is of several objects
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("api_key", [True, False])
def test_envoy_accepts_the_configuration(envoy: Path, tmp_path: Path, api_key: bool) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(bootstrap(api_key)))
    done = subprocess.run([envoy, "--mode", "validate", "-c", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_api_and_health_pass_and_the_engine_never_sees_the_key(guard: Guard) -> None:
    assert (await guard.get("/v1/models"))[0] == 200
    assert (await guard.get("/health", key=None))[0] == 200
    assert ("/v1/models", None) in guard.upstream.seen


@pytest.mark.parametrize(
    "path",
    ["/invocations", "/metrics", "/docs", "/tokenize", "/load", "/stats/prometheus", "/engine/health", "/", "/v1",
     "/v1/../invocations", "/v1/%2e%2e/invocations", "//invocations", "/healthz", "/v1/load_lora_adapter"],
)  # fmt: skip
async def test_everything_else_is_not_there(guard: Guard, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 404 "), answer
    assert guard.upstream.seen == []


async def test_an_escaped_slash_is_refused(guard: Guard) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
    writer.write(f"GET /v1/..%2finvocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert guard.upstream.seen == []


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY} x", "é"])
async def test_without_the_right_key_there_is_an_error_in_openais_shape(guard: Guard, key: str | None) -> None:
    status, body = await guard.get("/v1/models", key=key)
    assert status == 401
    error = json.loads(body)["error"]
    assert error["code"] == "invalid_api_key"
    assert "Authorization: Bearer" in error["message"]
    assert guard.upstream.seen == []


async def test_a_changed_key_holds_from_the_next_request_on(guard: Guard) -> None:
    assert (await guard.get("/v1/models"))[0] == 200
    new = guard.key_file.with_name("new")
    new.write_text("another")
    new.replace(guard.key_file)
    assert (await guard.get("/v1/models"))[0] == 401
    assert (await guard.get("/v1/models", key="another"))[0] == 200


@pytest.mark.parametrize("broken", ["missing", "empty", "line end", "a folder"])
async def test_a_key_that_cannot_be_read_lets_nobody_in(guard: Guard, broken: str) -> None:
    guard.key_file.unlink()
    if broken == "a folder":
        guard.key_file.mkdir()
    elif broken != "missing":
        guard.key_file.write_text("\n" if broken == "line end" else "")
    for key in (None, "", KEY):
        status, body = await guard.get("/v1/models", key=key)
        assert status == 503
        assert "cannot be read" in json.loads(body)["error"]["message"]
    assert (await guard.get("/health", key=None))[0] == 200


async def test_a_stream_is_passed_on_word_by_word(guard: Guard) -> None:
    async with guard.client.post(guard.url("/v1/stream"), headers={"Authorization": f"Bearer {KEY}"}) as answer:
        assert await answer.content.readline() == b"data: first\n"  # the stream has not ended: it waits for this test
        guard.upstream.release.set()
        assert (await answer.content.read()).endswith(b"data: last\n\n")


async def test_a_large_prompt_passes(guard: Guard) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with guard.client.post(guard.url("/v1/chat/completions"), data=b"x" * 20_000_000, headers=headers) as answer:
        assert (await answer.json())["bytes"] == 20_000_000


async def test_more_requests_than_envoy_allows_by_itself_wait_in_the_engines_queue(guard: Guard) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def one() -> int:
            async with client.get(guard.url("/v1/slow"), headers={"Authorization": f"Bearer {KEY}"}) as answer:
                return answer.status

        tasks = [asyncio.create_task(one()) for _ in range(1100)]
        await until(lambda: len(guard.upstream.seen) == len(tasks) or any(task.done() for task in tasks))
        guard.upstream.release.set()
        assert set(await asyncio.gather(*tasks)) == {200}


async def test_draining_says_so_to_probes_and_clients_and_still_answers(guard: Guard) -> None:
    await guard.drain()
    assert (await guard.get("/health", key=None))[0] == 503
    async with guard.client.get(guard.url("/v1/models"), headers={"Authorization": f"Bearer {KEY}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Connection"].lower() == "close"
    async with guard.client.get(guard.metrics_url("/engine/health")) as answer:
        assert answer.status == 200, "draining is no reason to restart the engine"


async def test_health_is_the_engines(guard: Guard) -> None:
    guard.upstream.healthy = False
    assert (await guard.get("/health", key=None))[0] >= 500


async def test_the_drain_hook_waits_for_the_last_answer(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "ADMIN_PORT", guard.admin_port)
    monkeypatch.setattr(probes, "ENDPOINTS_MOVE_SECONDS", 0)
    program = probes.drain_hook(600)["preStop"]["exec"]["command"][-1].replace(BUSYBOX_PATH, BUSYBOX)
    request = asyncio.create_task(guard.get("/v1/slow"))
    await until(lambda: bool(guard.upstream.seen))
    environment = os.environ | {"http_proxy": "http://127.0.0.1:9"}  # a proxy in between would break it
    hook = await asyncio.create_subprocess_exec(BUSYBOX, "sh", "-c", program, env=environment)
    while (await guard.get("/health", key=None))[0] != 503:  # noqa: ASYNC110 - another process changes it
        await asyncio.sleep(0.01)
    assert hook.returncode is None
    guard.upstream.release.set()
    assert await hook.wait() == 0
    assert (await request)[0] == 200


async def test_an_engine_that_is_gone_is_an_error_in_openais_shape(guard: Guard) -> None:
    await guard.upstream.stop()
    status, body = await guard.get("/v1/models")
    assert status == 503
    assert json.loads(body)["error"]["type"] == "server_error"


async def test_monitoring_has_both_metrics_and_nothing_else(guard: Guard) -> None:
    await guard.get("/v1/models", key=None)
    async with guard.client.get(guard.metrics_url("/stats/prometheus")) as answer:
        text = await answer.text()
    assert (
        'envoy_http_downstream_rq_xx{envoy_response_code_class="4",envoy_http_conn_manager_prefix="serving"} 1' in text
    )
    async with guard.client.get(guard.metrics_url("/metrics")) as answer:
        assert (await answer.json())["path"] == "/metrics"
    for path in ("/v1/models", "/quitquitquit", "/config_dump", "/stats"):
        async with guard.client.post(guard.metrics_url(path)) as answer:
            assert answer.status == 404
