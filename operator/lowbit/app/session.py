"""The watches' own HTTP session: a fresh token in every request, every call counted, every stream seen to open."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from lowbit.app.streams import WatchStreams
from lowbit.kube.client import OnCall
from lowbit.kube.connect import authorization, ssl_context


def open_session(
    configuration: Any, streams: WatchStreams, on_call: OnCall, first: Callable[[str], Awaitable[None]]
) -> kopf.AiohttpSession:
    """A session for kopf, which closes it. first is waited for before a path is listed."""

    async def in_turn(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if not _watches(request.url):
            await first(request.url.path)
        return await handler(request)

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if header := await authorization(configuration):
            request.headers["Authorization"] = header
        return await handler(request)

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context(configuration)),
        headers={"User-Agent": "lowbit"},
        middlewares=(in_turn, authorize),
        trace_configs=[_trace(streams, on_call)],
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


def _trace(streams: WatchStreams, on_call: OnCall) -> aiohttp.TraceConfig:
    async def started(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestStartParams) -> None:
        context.started = time.monotonic()
        streams.attempted(parameters.url.path)  # a stream starts from a LIST of the same path

    async def answered(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestEndParams) -> None:
        ended(context, parameters.url, parameters.response.status)

    async def failed(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestExceptionParams) -> None:
        ended(context, parameters.url, 0)

    def ended(context: SimpleNamespace, url: Any, status: int) -> None:
        on_call(*_told(url), status, time.monotonic() - context.started)
        if _watches(url):
            (streams.opened if status == 200 else streams.refused)(url.path)
        elif status != 200:
            streams.refused(url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(failed)
    return trace


def _watches(url: Any) -> bool:
    return bool(url.query.get("watch") == "true")


def _told(url: Any) -> tuple[str, str]:
    """Verb and resource, as they are counted."""
    parts = url.path.strip("/").split("/")
    depth = 2 if parts[0] == "api" else 3
    if len(parts) <= depth:
        return "get", "discovery"
    return "watch" if _watches(url) else "list", parts[-1]
