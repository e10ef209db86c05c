"""The watches' HTTP session: a fresh token in every request, every call counted, every opened stream noted.

kopf lists all objects before it watches them, after Resync has listed them to fill the cache. With thousands of objects
this second LIST, with a kopf task for each object, would cost more than the rest of a start. So the session answers the
first LIST of each path itself: empty, with the resourceVersion of the LIST that filled the cache. The watch continues
from there.

The API server usually reports an expired resourceVersion as an event in the stream, and kopf lists again. If it answers
with status 410 instead, kopf would give up, so the session turns 410 into that event. kopf also gives up at other
client errors. The session turns transient ones into a lost connection, which kopf retries without end.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import kopf
from yarl import URL

from lowbit.kube.client import OnCall
from lowbit.kube.connect import authorization, ssl_context
from lowbit.watching.streams import WatchStreams

GONE = 410
TRANSIENT = frozenset({408, 409, GONE, 425})
"""Request Timeout, Conflict, Gone (of a LIST), Too Early: a proxy before the API server may answer a read with these,
and a retry may succeed."""


class ListedAlready:
    """An empty response to a LIST, with the resourceVersion to watch from. Has what kopf uses of a response."""

    status = 200
    closed = True

    def __init__(self, resource_version: str) -> None:
        self._body = {"items": [], "metadata": {"resourceVersion": resource_version}}

    async def __aenter__(self) -> ListedAlready:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def json(self) -> dict[str, Any]:
        """The body, as from the API server."""
        return self._body


class Expired:
    """A stream that reports an expired resourceVersion, and ends. Has what kopf uses of a response."""

    status = 200
    closed = True

    def __init__(self) -> None:
        self.content = self

    async def __aenter__(self) -> Expired:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    def close(self) -> None:
        """There is nothing to close."""

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        """One event."""
        status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": GONE}
        yield json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


class WatchSession:
    """What kopf uses of an aiohttp session. listed: resourceVersions of earlier LISTs, by path; each is used once."""

    def __init__(self, session: aiohttp.ClientSession, listed: MutableMapping[str, str], prefix: str) -> None:
        """prefix: of every path, if the API server is behind a proxy."""
        self._session = session
        self._listed = listed
        self._prefix = prefix
        self.headers = session.headers

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._session.closed

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse | ListedAlready | Expired:
        """One request. Raises aiohttp.ClientError."""
        parsed = URL(url)
        path = parsed.path.removeprefix(self._prefix)
        watches = _watches(parsed)
        if method.upper() == "GET" and not watches and (version := self._listed.pop(path, "")):
            return ListedAlready(version)
        response = await self._session.request(method, url, **options)
        if watches and response.status == GONE:
            response.release()
            return Expired()
        if response.status in TRANSIENT:
            response.release()
            raise aiohttp.ClientConnectionError(f"{method} {path} was answered with {response.status}")
        return response


def open_session(
    configuration: Any,
    streams: WatchStreams,
    on_call: OnCall,
    listed: MutableMapping[str, str],
    on_listed: Callable[[], None],
) -> kopf.AiohttpSession:
    """A session for kopf, which closes it. listed: see WatchSession. on_listed is called after each real LIST."""

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if header := await authorization(configuration):
            request.headers["Authorization"] = header
        return await handler(request)

    prefix = URL(configuration.host).path.rstrip("/")
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context(configuration)),
        headers={"User-Agent": "lowbit"},
        middlewares=(authorize,),
        trace_configs=[_trace(streams, on_call, on_listed, prefix)],
    )
    watching = cast("aiohttp.ClientSession", WatchSession(session, listed, prefix))
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=watching)


def _trace(streams: WatchStreams, on_call: OnCall, on_listed: Callable[[], None], prefix: str) -> aiohttp.TraceConfig:
    async def started(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestStartParams) -> None:
        context.started = time.monotonic()
        streams.attempted(path_of(parameters.url))  # a stream starts from a LIST of the same path

    async def answered(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestEndParams) -> None:
        ended(context, parameters.url, parameters.response.status)

    async def failed(_session: Any, context: SimpleNamespace, parameters: aiohttp.TraceRequestExceptionParams) -> None:
        ended(context, parameters.url, 0)

    def ended(context: SimpleNamespace, url: URL, status: int) -> None:
        path = path_of(url)
        verb, resource = _told(path, _watches(url))
        on_call(verb, resource, status, time.monotonic() - context.started)
        if status != 200:
            streams.refused(path)
        elif verb == "watch":
            streams.opened(path)
        elif verb == "list":
            on_listed()

    def path_of(url: URL) -> str:
        return url.path.removeprefix(prefix)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(failed)
    return trace


def _watches(url: URL) -> bool:
    return url.query.get("watch") == "true"


def _told(path: str, watches: bool) -> tuple[str, str]:
    """Verb and resource, for the counters."""
    parts = path.strip("/").split("/")
    depth = 2 if parts[0] == "api" else 3
    if len(parts) <= depth:
        return "get", "discovery"
    return "watch" if watches else "list", parts[-1]
