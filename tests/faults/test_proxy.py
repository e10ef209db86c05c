"""The rig's own parts: a proxy that does not do what the plan says would make every run pass."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from lowbit.kube.listing import STREAMED
from tests.faults.lists import Shown, is_stream
from tests.faults.plan import parse, told
from tests.faults.proxy import Proxy

JOBS = "/apis/batch/v1/namespaces/models/jobs"
NEW = {"metadata": {"name": "one"}}


class Behind:
    """What stands for the API server: keeps what reached it, and streams three events."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.reached.append(f"{request.method} {request.path}")
        count = str(len(self.reached))
        if is_stream(request.query):
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(Shown(count, ({"metadata": {"name": "one"}},)).body(stream=True))
            await asyncio.Event().wait()  # a watch goes on from there
        if request.query.get("watch"):
            events = [{"type": "ADDED", "object": {"metadata": {"name": name}}} for name in "abc"]
            return web.Response(text="".join(json.dumps(each) + "\n" for each in events))
        return web.json_response({"metadata": {"resourceVersion": count}, "items": []})


@asynccontextmanager
async def proxied(plan: str) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Behind, Proxy, list[str]]]:
    """A client's session, the proxy's URL, what is behind it, the proxy, and the deaths."""
    behind, deaths = Behind(), list[str]()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", behind.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        proxy = Proxy(session, f"http://{host}:{port}", parse(plan), lambda: deaths.append("dead"))
        url = await proxy.start()
        try:
            yield session, url, behind, proxy, deaths
        finally:
            await proxy.stop()
            await runner.cleanup()


async def post(session: aiohttp.ClientSession, url: str) -> int:
    """The status; 0 where there is no answer."""
    try:
        async with session.post(url + JOBS, json=NEW) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


@pytest.mark.parametrize(
    ("action", "status", "reached", "died"),
    [
        ("kill-before", 0, 0, 1),
        ("kill-after", 0, 1, 1),
        ("lost", 0, 1, 0),
        ("refuse", 0, 0, 0),
        ("repeat", 200, 2, 0),
        ("delay=0.01", 200, 1, 0),
        ("409", 409, 0, 0),
        ("410", 410, 0, 0),
        ("429=3", 429, 0, 0),
        ("500", 500, 0, 0),
        ("503", 503, 0, 0),
    ],
)
async def test_a_fault_happens_at_its_request_and_at_no_other(
    action: str, status: int, reached: int, died: int
) -> None:
    async with proxied(f"{action}@create:jobs:one#2") as (session, url, behind, proxy, deaths):
        assert await post(session, url) == 200
        assert await post(session, url) == status
        assert len(behind.reached) - 1 == reached
        assert len(deaths) == died
        assert await post(session, url) == 200
        assert proxy.missed == []
        assert [call.point for call in proxy.calls] == [f"create:jobs:one#{number}" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("drop", "ac"),
        ("duplicate", "abbc"),
        ("reorder", "acb"),
        ("cut", "a"),
        ("delay=0.01", "abc"),
    ],
)
async def test_a_fault_happens_to_its_watch_event(action: str, names: str) -> None:
    async with proxied(f"{action}@event:jobs:ADDED:b#1") as (session, url, _, proxy, _):
        assert await streamed(session, url) == names
        assert proxy.missed == []


async def streamed(session: aiohttp.ClientSession, url: str) -> str:
    """Names of the objects in a watch's events, until it ends."""
    names = ""
    try:
        async with session.get(url + JOBS + "?watch=true") as answer:
            async for line in answer.content:
                names += json.loads(line)["object"]["metadata"]["name"]
    except aiohttp.ClientError:
        pass
    return names


async def test_a_watch_can_be_told_that_its_version_is_gone() -> None:
    async with proxied("gone@event:jobs:ADDED:a#1") as (session, url, _, _, _):
        async with session.get(url + JOBS + "?watch=true") as answer:
            (line,) = (await answer.read()).splitlines()
        event = json.loads(line)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


@pytest.mark.parametrize("forms", list(itertools.product((False, True), repeat=3)))
async def test_a_stale_list_is_the_first_one_again_in_whatever_form_it_is_asked_for(forms: tuple[bool, ...]) -> None:
    async with proxied("stale@list:jobs#2") as (session, url, _, proxy, _):
        shown = [await listed(session, url, stream=stream) for stream in forms]
        assert [each.version for each in shown] == ["1", "1", "2"]
        assert shown[0].items == shown[1].items
        assert [call.point for call in proxy.calls] == [f"list:jobs#{number}" for number in (1, 2, 3)]
        assert proxy.events == [], "a LIST is no watch"


async def listed(session: aiohttp.ClientSession, url: str, *, stream: bool) -> Shown:
    """What a LIST shows; the proxy ends a stream where it is complete."""
    async with session.get(url + JOBS, params=STREAMED if stream else {}) as answer, asyncio.timeout(10):
        return Shown.of(await answer.read(), stream=stream)


async def test_the_answer_to_a_streamed_list_can_be_lost() -> None:
    async with proxied("lost@list:jobs#1") as (session, url, behind, proxy, _):
        assert (await listed(session, url, stream=True)).version == "2", "a client of HTTP asks again by itself"
        assert len(behind.reached) == 2
        assert proxy.missed == []


def test_what_a_list_has_shown_is_what_is_left_in_the_end() -> None:
    events = [("ADDED", "a", 1), ("ADDED", "b", 2), ("MODIFIED", "a", 3), ("DELETED", "b", 4)]
    lines = [
        {"type": type_, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}
        for type_, name, version in events
    ]
    last = Shown("9", ()).body(stream=True)
    shown = Shown.of("".join(json.dumps(each) + "\n" for each in lines).encode() + last, stream=True)
    assert (shown.version, [each["metadata"]["name"] for each in shown.items]) == ("9", ["a"])


async def test_a_frozen_view_moves_on_later() -> None:
    async with proxied("freeze=0.05@watch:jobs#1") as (session, url, _, _, _):
        async with asyncio.timeout(10):
            assert await streamed(session, url) == "abc"


def test_a_plan_reads_back_as_it_is_written() -> None:
    text = "kill-before@create:jobs:one#1,429=3@list:jobs#2,drop@event:jobs:ADDED:one#1"
    assert told(parse(text)) == text


@pytest.mark.parametrize(
    "text", ["kill-before", "explode@create:jobs:one#1", "drop@create:jobs:one#1", "409@list:jobs"]
)
def test_a_plan_that_cannot_be_carried_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a fault"):
        parse(text)
