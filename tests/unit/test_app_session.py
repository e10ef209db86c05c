"""The watches' session, with an API server of a few lines: who we are, what is counted, which streams live."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from lowbit.watching.session import open_session
from lowbit.watching.streams import RETRY_LIMIT, WatchStreams

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
        self.listed: dict[str, str] = {}
        self.gaps = 0
        self.configuration = Configuration()
        self.configuration.api_key["BearerToken"] = "bearer first"

    async def answer(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers)
        return web.json_response({}, status=self.status)

    def on_call(self, verb: str, resource: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((verb, resource, status))

    def on_listed(self) -> None:
        self.gaps += 1

    async def get(self, path: str) -> int:
        async with await self.session.request("get", self.address + path) as answer:
            self.body = await answer.json()
            return answer.status

    prefix = ""

    async def __aenter__(self) -> Bench:
        application = web.Application()
        application.router.add_get("/{tail:.*}", self.answer)
        self.server = TestServer(application)
        await self.server.start_server()
        self.address = str(self.server.make_url("")).rstrip("/") + self.prefix
        self.configuration.host = self.address
        made = open_session(self.configuration, self.streams, self.on_call, self.listed, self.on_listed)
        self.session = made.aiohttp_session
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


async def test_what_filled_the_store_is_not_listed_again_and_the_watch_goes_on_from_there(bench: Bench) -> None:
    bench.listed[JOBS] = "712"
    assert await bench.get(f"{JOBS}?limit=250") == 200
    assert bench.body == {"items": [], "metadata": {"resourceVersion": "712"}}
    assert bench.calls == [] and bench.gaps == 0


async def test_a_watch_that_cannot_go_on_lists_for_real_and_says_that_something_may_be_missed(bench: Bench) -> None:
    bench.listed[JOBS] = "712"
    await bench.get(JOBS)
    await bench.get(JOBS)
    assert bench.calls == [("list", "jobs", 200)] and bench.gaps == 1
    await bench.get(f"{JOBS}?watch=true")
    assert bench.gaps == 1
    bench.status = 503
    await bench.get(JOBS)
    assert bench.gaps == 1


async def test_an_api_server_behind_a_path_of_a_proxy_is_the_same() -> None:
    made = Bench()
    made.prefix = "/k8s/clusters/c-1"
    async with made as bench:
        bench.listed[JOBS] = "712"
        await bench.get(JOBS)
        assert bench.listed == {} and bench.calls == []
        await bench.get(JOBS)
        await bench.get(f"{JOBS}?watch=true")
        await bench.get(f"{PODS}?watch=true")
        assert bench.calls == [("list", "jobs", 200), ("watch", "jobs", 200), ("watch", "pods", 200)]
        assert bench.streams.pending() is None


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


async def test_a_watch_that_is_answered_with_410_says_so_in_its_stream_as_any_other(bench: Bench) -> None:
    bench.status = 410
    async with await bench.session.request("get", bench.address + JOBS + "?watch=true&resourceVersion=7") as answer:
        assert answer.status == 200
        events = [json.loads(line) async for line in answer.content.iter_chunked(1024)]
    assert [(event["type"], event["object"]["code"]) for event in events] == [("ERROR", 410)]
    assert bench.calls[-1] == ("watch", "jobs", 410)


@pytest.mark.parametrize("status", [408, 409, 410, 425])
async def test_a_client_error_of_the_moment_is_a_lost_connection_which_is_tried_again(
    bench: Bench, status: int
) -> None:
    bench.status = status
    with pytest.raises(aiohttp.ClientConnectionError, match=str(status)):
        await bench.get(JOBS)
    assert bench.calls == [("list", "jobs", status)]
    bench.status = 200
    assert await bench.get(JOBS) == 200
