"""The watches' own HTTP session: a fresh token in every request, every call counted, every stream seen to open.

kopf lists everything before it watches, and so does what fills the store. Of thousands of objects the second LIST, with a task
of kopf's for each object, costs more than all else at a start. So the first LIST of each path is answered here: it is empty, and
its resourceVersion is that of the LIST that filled the store, from which the watch goes on.

A watch whose resourceVersion is too old is told so by an event of the stream, as a rule: then kopf lists anew. Told by the answer's
status, 410, it would give up for good; so that is made such an event here. It gives up at other client errors, too: those that say
nothing of the request, only of the moment, are made a connection that was lost, which it tries again for ever.
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
OF_THE_MOMENT = frozenset({408, 409, GONE, 425})
"""Request Timeout, Conflict, Gone (of a LIST), Too Early: what a read may get from what stands before an API server, and not the
next time."""


class ListedAlready:
    """The answer to a LIST of what has been read: nothing new, and where to watch from. As much of a response as kopf uses."""

    status = 200
    closed = True

    def __init__(self, resource_version: str) -> None:
        self._body = {"items": [], "metadata": {"resourceVersion": resource_version}}

    async def __aenter__(self) -> ListedAlready:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def json(self) -> dict[str, Any]:
        """As the API server would have answered."""
        return self._body


class Expired:
    """A stream that says that its resourceVersion is too old, and ends. As much of a response as kopf uses."""

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
    """As much of an aiohttp session as kopf uses. listed holds the resourceVersion of what was read, by path; each is used once."""

    def __init__(self, session: aiohttp.ClientSession, listed: MutableMapping[str, str], prefix: str) -> None:
        """prefix: what stands before each path, where the API server is behind a proxy."""
        self._session = session
        self._listed = listed
        self._prefix = prefix
        self.headers = session.headers

    @property
    def closed(self) -> bool:
        """Whether no request can be made any more."""
        return self._session.closed

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse | ListedAlready | Expired:
        """One request. Raises aiohttp.ClientError."""
        place = URL(url)
        path = place.path.removeprefix(self._prefix)
        watches = _watches(place)
        if method.upper() == "GET" and not watches and (version := self._listed.pop(path, "")):
            return ListedAlready(version)
        response = await self._session.request(method, url, **options)
        if watches and response.status == GONE:
            response.release()
            return Expired()
        if response.status in OF_THE_MOMENT:
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
    """A session for kopf, which closes it. listed: see WatchSession; on_listed is told when a path was listed after all."""

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
    """Verb and resource, as they are counted."""
    parts = path.strip("/").split("/")
    depth = 2 if parts[0] == "api" else 3
    if len(parts) <= depth:
        return "get", "discovery"
    return "watch" if watches else "list", parts[-1]
