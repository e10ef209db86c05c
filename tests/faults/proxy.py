"""Between the operator and a real kube-apiserver: numbers what is asked, and carries out a plan of faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.faults.lists import Shown, is_stream, read_stream
from tests.faults.plan import ANSWERS, Call, Fault, Numbering, asked
from tests.faults.wire import Wire

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "content-encoding"}
"""Headers between two neighbours only."""
REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


PULSE, REMEMBERED = 0.05, 5.0
"""Seconds between two looks at how late the machine is, and for how long each counts."""


@dataclass
class Proxy:
    """One operator's way to the API server. kill ends the operator's process at once, and returns when it has ended."""

    session: aiohttp.ClientSession
    upstream: str
    plan: Sequence[Fault]
    kill: Callable[[], None]
    calls: list[Call] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    """The points of all watch events that came."""
    fired: list[Fault] = field(default_factory=list)
    last_write: float = 0.0
    """When a write other than the Lease's was last under way, on time.monotonic()."""
    leases: int = 0
    """Writes of the Lease that the API server agreed to."""
    writes: int = 0
    """Other writes that the API server agreed to."""
    answers: dict[str, int] = field(default_factory=dict)
    """The HTTP status that the API server answered, by the points of writes."""
    away: int = 0
    """While this is an HTTP status, everything is answered so."""
    gate: Callable[[Call], Awaitable[None]] | None = None
    """Awaited with each call before it is passed on: may hold it, and refuse it by a ConnectionError. It is carried to
    its end even where the operator has given the call up meanwhile: an outage that was left half done would never
    end."""

    wire: Wire = field(default_factory=Wire)
    """What no request may be."""

    def __post_init__(self) -> None:
        self._numbers = Numbering()
        self._due = {fault.point: fault for fault in self.plan}
        self._lists: dict[str, Shown] = {}
        """The first LIST of each resource."""
        self._frozen_until = 0.0
        self._streams: dict[int, web.Request] = {}
        self._gates: set[asyncio.Task[bool]] = set()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)

    async def start(self) -> str:
        """Listen on loopback. The URL."""
        self._pulse = asyncio.create_task(self._feel())
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def _feel(self) -> None:
        """Measure how late a busy machine is: what an operator began in time may come late for that alone."""
        lately: deque[float] = deque(maxlen=round(REMEMBERED / PULSE))
        while True:
            began = time.monotonic()
            await asyncio.sleep(PULSE)
            lately.append(time.monotonic() - began - PULSE)
            self.wire.late = max(lately)

    async def stop(self) -> None:
        self._pulse.cancel()
        for gate in self._gates:
            gate.cancel()
        await self._runner.cleanup()

    @property
    def missed(self) -> list[Fault]:
        """Faults whose point never came."""
        return [fault for fault in self.plan if fault not in self.fired]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        watches = request.query.get("watch") == "true" and not is_stream(request.query)
        ask = asked(request.method, request.path, watches, body)
        call = Call(len(self.calls) + 1, ask, self._numbers.next(ask.text))
        self.calls.append(call)
        self.wire.asks(ask, request.query, body, time.monotonic())
        fault = self._take(call.point)
        if ask.write and not ask.lease:
            self.last_write = time.monotonic()
        try:
            if not await self.passes(call):
                return self._reset(request)
            if self.away:
                return _refusal(self.away, 0.0)
            return await self._carry_out(request, body, call, fault)
        except (aiohttp.ClientError, ConnectionError):
            return self._reset(request)

    async def passes(self, call: Call) -> bool:
        """Whether the gate lets a call through, which is one that the operator may have given up meanwhile."""
        gate = self.gate
        if gate is None:
            return True

        async def through() -> bool:
            try:
                await gate(call)
            except ConnectionError:
                return False
            return True

        task = asyncio.create_task(through())
        self._gates.add(task)
        task.add_done_callback(self._gates.discard)
        return await asyncio.shield(task)

    def cut(self) -> None:
        """End all streams."""
        for request in list(self._streams.values()):
            self._reset(request)

    async def _carry_out(
        self, request: web.Request, body: bytes, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        came = time.monotonic()
        match fault.action if fault else None:
            case "kill-before":
                self._kill()
                return self._reset(request)
            case "refuse":
                return self._reset(request)
            case "delay" if fault:
                await asyncio.sleep(fault.value)
            case "freeze" if fault:
                self._frozen_until = time.monotonic() + fault.value
            case "stale" if call.asked.text in self._lists:
                return _listed(self._lists[call.asked.text], stream=is_stream(request.query))
            case action if fault and action in ANSWERS:
                return _refusal(int(action), fault.value)
        if call.asked.verb == "watch":
            return await self._stream(request, call.asked.resource)
        answer = await self._forward(request, body)
        if fault and fault.action == "repeat":
            answer = await self._forward(request, body)
        if call.asked.write and call.asked.lease and answer.status < 400:
            self.wire.agreed(body, came)
        if fault and fault.action == "kill-after":
            self._kill()
        if fault and fault.action in ("kill-after", "lost"):
            return self._reset(request)
        self._remember(call, answer, stream=is_stream(request.query))
        return _response(answer)

    def _kill(self) -> None:
        self.kill()
        self.wire.died(time.monotonic())

    def _remember(self, call: Call, answer: Answer, *, stream: bool) -> None:
        if call.asked.write:
            self.answers[call.point] = answer.status
        if call.asked.write and not call.asked.lease:
            self.last_write = time.monotonic()
        if call.asked.write and answer.status < 400:
            self.leases += call.asked.lease
            self.writes += not call.asked.lease
        if call.asked.verb == "list" and answer.status == 200 and call.asked.text not in self._lists:
            self._lists[call.asked.text] = Shown.of(answer.body, stream=stream)

    async def _forward(self, request: web.Request, body: bytes) -> Answer:
        async with self.session.request(
            request.method,
            self.upstream + request.path_qs,
            data=body or None,
            headers=_passed(request.headers),
            read_bufsize=2**22,
        ) as answer:
            streams = is_stream(request.query) and answer.status == 200
            said = await (read_stream(answer) if streams else answer.read())
            return Answer(answer.status, _passed(answer.headers), said)

    async def _stream(self, request: web.Request, resource: str) -> web.StreamResponse:
        url, headers = self.upstream + request.path_qs, _passed(request.headers)
        async with self.session.get(url, headers=headers, read_bufsize=2**22) as upstream:
            if upstream.status != 200:
                return _response(Answer(upstream.status, _passed(upstream.headers), await upstream.read()))
            response = web.StreamResponse(status=upstream.status, headers=_passed(upstream.headers))
            await response.prepare(request)
            self._streams[id(request)] = request
            try:
                async for line in self._told(resource, upstream.content):
                    if line is None:
                        return self._reset(request)
                    await response.write(line)
                await response.write_eof()
            finally:
                del self._streams[id(request)]
            return response

    async def _told(self, resource: str, lines: aiohttp.StreamReader) -> AsyncIterator[bytes | None]:
        """The events of a stream as the plan has them; None where it is cut."""
        kept: bytes | None = None
        async for line in lines:
            fault = self._take(self._point(resource, line))
            action = fault.action if fault else None
            if (wait := self._frozen_until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if action == "kill-before":
                self.kill()
            if action in ("cut", "kill-before"):
                yield None
            elif action == "gone":
                yield json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n"
                return
            elif action == "reorder":
                kept = line
                continue
            elif fault and action == "delay":
                await asyncio.sleep(fault.value)
            if action != "drop":
                yield line
            if action == "duplicate":
                yield line
            if kept is not None:
                yield kept
                kept = None

    def _point(self, resource: str, line: bytes) -> str:
        event = json.loads(line)
        name = event["object"].get("metadata", {}).get("name", "")
        sort = f"event:{resource}:{event['type']}:{name}"
        point = f"{sort}#{self._numbers.next(sort)}"
        self.events.append(point)
        return point

    def _take(self, point: str) -> Fault | None:
        fault = self._due.pop(point, None)
        if fault is not None:
            self.fired.append(fault)
        return fault

    @staticmethod
    def _reset(request: web.Request) -> web.Response:
        """The connection ends without an answer."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP}


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _listed(shown: Shown, *, stream: bool) -> web.Response:
    return web.Response(body=shown.body(stream=stream), content_type="application/json")


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": REASONS[code],
        "message": "by the plan",
        "code": code,
    }


def _refusal(code: int, retry_after: float) -> web.Response:
    headers = {"Retry-After": f"{retry_after or 1:g}"} if code == 429 else {}
    return web.json_response(_status(code), status=code, headers=headers)
