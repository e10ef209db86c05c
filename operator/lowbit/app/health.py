"""/healthz, /readyz and /metrics.

Healthy means that a restart would not help: the event loop runs (it answers), the watches, the workers and the election
are alive, no reconcile hangs, and the watches deliver what LISTs find. Ready means that the cache is filled, and that
this operator leads or stands by. While the API server is down, the operator is unready but healthy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""Why something is wrong, or None."""


@dataclass
class Health:
    """Named checks: alive for /healthz, alive and ready for /readyz."""

    alive: dict[str, Check] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)

    def watch_task(self, name: str, task: asyncio.Task[object]) -> None:
        """Add a check that a task, which should run for ever, has not ended."""
        self.alive[name] = lambda: f"{name} has ended" if task.done() else None


def failures(checks: Mapping[str, Check]) -> list[str]:
    """The failed checks, one line each."""
    return [f"{name}: {trouble}" for name, check in checks.items() if (trouble := check()) is not None]


class HealthServer:
    """Serves the three paths on their own port. `port` is the real one after `start`."""

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self._host = host
        self.port = port
        self._health = health
        self._registry = registry
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _answer(failures(self._health.alive))

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(failures(self._health.alive | self._health.ready))

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(wrong: list[str]) -> web.Response:
    return web.Response(status=503 if wrong else 200, text="\n".join(wrong or ["ok"]) + "\n")
