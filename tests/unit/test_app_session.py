"""The watches' session, with an API server of a few lines: who we are, what is counted, which streams live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from lowbit.app.session import open_session
from lowbit.app.streams import RETRY_LIMIT, WatchStreams

JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/namespaces/team/pods"
ALWAYS = float("-inf")


class Bench:
    """A session, what it is told, and what the server sees."""

    def __init__(self) -> None:
        self.now, self.status = 100.0, 200
        self.calls: list[tuple[str, str, int]] = []
        self.headers: list[Any] = []
        self.streams = WatchStreams(lambda: self.now)
        self.streams.expect((JOBS, PODS))
        self.turns: list[str] = []
        self.configuration = Configuration()
        self.configuration.api_key["BearerToken"] = "bearer first"

    async def answer(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers)
        return web.json_response({}, status=self.status)

    def on_call(self, verb: str, resource: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((verb, resource, status))

    async def first(self, path: str) -> None:
        self.turns.append(path)

    async def get(self, path: str) -> int:
        async with self.session.get(self.address + path) as answer:
            return answer.status

    async def __aenter__(self) -> Bench:
        application = web.Application()
        application.router.add_get("/{tail:.*}", self.answer)
        self.server = TestServer(application)
        await self.server.start_server()
        self.address = str(self.server.make_url("")).rstrip("/")
        self.session = open_session(self.configuration, self.streams, self.on_call, self.first).aiohttp_session
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as made:
        yield made


async def test_every_request_carries_the_token_of_its_moment(bench: Bench) -> None:
    await bench.get(JOBS)
    bench.configuration.api_key["BearerToken"] = "bearer second"
    await bench.get(JOBS)
    assert [each["Authorization"] for each in bench.headers] == ["bearer first", "bearer second"]
    assert {each["User-Agent"] for each in bench.headers} == {"lowbit"}


async def test_a_list_waits_for_its_turn_and_a_watch_does_not(bench: Bench) -> None:
    await bench.get(JOBS)
    await bench.get(f"{PODS}?watch=true")
    assert bench.turns == [JOBS]


async def test_calls_are_told_by_verb_and_resource(bench: Bench) -> None:
    for path in ("/apis", "/apis/batch/v1", "/api/v1", JOBS, f"{JOBS}?watch=true", PODS):
        await bench.get(path)
    bench.status = 403
    await bench.get(f"{PODS}?watch=true&timeoutSeconds=300")
    assert bench.calls == [
        *[("get", "discovery", 200)] * 3,
        ("list", "jobs", 200),
        ("watch", "jobs", 200),
        ("list", "pods", 200),
        ("watch", "pods", 403),
    ]


async def test_a_stream_lives_from_when_the_api_server_agrees_to_it(bench: Bench) -> None:
    await bench.get(JOBS)
    assert JOBS in str(bench.streams.pending())
    await bench.get(f"{JOBS}?watch=true")
    await bench.get(f"{PODS}?watch=true")
    assert bench.streams.pending() is None


@pytest.mark.parametrize("query", ["", "?watch=true"], ids=["its list", "itself"])
async def test_a_stream_that_is_refused_and_not_tried_again_is_dead(bench: Bench, query: str) -> None:
    for path in (JOBS, PODS):
        await bench.get(f"{path}?watch=true")
    bench.now += 2 * RETRY_LIMIT
    bench.status = 404
    await bench.get(JOBS + query)
    assert bench.streams.trouble(ALWAYS) is None
    bench.now += RETRY_LIMIT + 1
    assert JOBS in str(bench.streams.trouble(ALWAYS))


async def test_an_api_server_that_is_not_there_is_counted_and_refuses(bench: Bench) -> None:
    await bench.server.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await bench.get(f"{JOBS}?watch=true")
    assert bench.calls == [("watch", "jobs", 0)]
    bench.now += RETRY_LIMIT + 1
    assert JOBS in str(bench.streams.trouble(ALWAYS))
