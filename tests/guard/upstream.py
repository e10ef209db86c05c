"""A small stand-in for the engine: the paths of vLLM's server that the guard has an opinion on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Upstream:
    """Answers on loopback, and remembers what reached it."""

    healthy: bool = True
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Authorization header)"""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """What the end of a stream, and a slow answer, wait for."""
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/v1/stream", self._stream)
        app.router.add_route("*", "/v1/slow", self._slow)
        app.router.add_route("*", "/health", self._health)
        app.router.add_route("*", "/{rest:.*}", self._any)
        self._runner = web.AppRunner(app, keepalive_timeout=5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _note(self, request: web.Request) -> None:
        self.seen.append((request.path, request.headers.get("Authorization")))

    async def _any(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"path": request.path, "bytes": len(await request.read())})

    async def _health(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=200 if self.healthy else 500)

    async def _slow(self, request: web.Request) -> web.Response:
        self._note(request)
        await self.release.wait()
        return web.json_response({"done": True})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.release.wait()
        await response.write(b"data: last\n\n")
        await response.write_eof()
        return response
