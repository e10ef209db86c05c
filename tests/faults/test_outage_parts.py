"""The parts that outages are made of: what does not go away, or does not come back, shows nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.api.calls import CallError
from tests.faults.client import JSON, Admin
from tests.faults.mirror import KINDS, Happened, Space
from tests.faults.patient import PatientAdmin, PatientMirror
from tests.faults.plan import Call, asked
from tests.faults.test_proxy import JOBS, NEW, post, proxied, streamed


async def test_while_the_api_server_is_away_everything_is_answered_so_and_nothing_reaches_it() -> None:
    async with proxied("") as (session, url, behind, proxy, _):
        proxy.away = 503
        assert await post(session, url) == 503
        async with session.get(url + JOBS + "?watch=true") as answer:
            assert answer.status == 503
        assert behind.reached == []
        proxy.away = 0
        assert await post(session, url) == 200


async def test_a_gate_holds_a_call_and_may_refuse_it() -> None:
    async with proxied("") as (session, url, behind, proxy, _):
        came, go_on = asyncio.Event(), asyncio.Event()

        async def gate(call: Call) -> None:
            if call.occurrence == 1:
                came.set()
                await go_on.wait()
            else:
                raise ConnectionResetError

        proxy.gate = gate
        first = asyncio.create_task(post(session, url))
        await came.wait()
        assert behind.reached == [] and not first.done()
        go_on.set()
        assert await first == 200
        assert proxy.answers == {"create:jobs:one#1": 200} and proxy.writes == 1
        assert await post(session, url) == 0
        assert len(behind.reached) == 1


async def test_what_a_gate_has_begun_is_carried_to_its_end_though_the_operator_gives_the_call_up() -> None:
    async with proxied("") as (_, _, _, proxy, _):
        came, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def gate(_: Call) -> None:
            came.set()
            await go_on.wait()
            done.set()

        proxy.gate = gate
        handled = asyncio.create_task(proxy.passes(Call(1, asked("POST", JOBS, False, json.dumps(NEW).encode()), 1)))
        await came.wait()
        handled.cancel()
        await asyncio.gather(handled, return_exceptions=True)
        go_on.set()
        await done.wait()


async def test_streams_can_be_cut_and_opened_anew() -> None:
    async with proxied("freeze=60@watch:jobs#1") as (session, url, _, proxy, _):
        watch = asyncio.create_task(streamed(session, url))
        while not proxy.events:  # noqa: ASYNC110 - the proxy tells nobody
            await asyncio.sleep(0)
        proxy.cut()
        assert await watch == ""


class Answers(PatientAdmin):
    """An API server that answers what the test says, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def answer(self, method: str, path: str, *_: Any) -> Any:
        self.asked.append((method, path))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(self: Any, method: str, path: str, body: Any = None, content: str = JSON) -> Any:
        return await self.answer(method, path)

    monkeypatch.setattr(Admin, "call", call)


async def test_the_admin_asks_again_until_there_is_an_answer() -> None:
    admin = Answers(ConnectionResetError(), CallError(503, "starting"), {"kind": "Pod"})
    assert await admin.call("GET", "/pod") == {"kind": "Pod"}
    assert len(admin.asked) == 3


async def test_what_the_first_of_two_tries_had_made_is_no_error() -> None:
    assert await Answers(ConnectionResetError(), CallError(409, "it exists")).call("POST", "/pods") == {}
    with pytest.raises(CallError):
        await Answers(CallError(409, "it exists")).call("POST", "/pods")


def pod(name: str, version: int, uid: str = "1") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "space", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def listing(*items: dict[str, Any], version: int) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def happened(space: Space) -> list[tuple[str, str, int]]:
    return [(each.type, each.name, each.version) for each in space.history]


async def test_a_mirror_that_lists_again_takes_what_is_different_for_what_has_happened() -> None:
    mirror = PatientMirror(
        Answers(listing(pod("a", 1), pod("b", 2), pod("c", 3), version=3),
                listing(pod("a", 1), pod("b", 5), pod("c", 6, uid="2"), pod("d", 7), version=8),
                listing(version=9))
    )  # fmt: skip
    space = mirror.open("space")
    assert await mirror._compare("Pod") == "3"
    before = happened(space)
    assert await mirror._compare("Pod") == "8"
    assert happened(space)[len(before) :] == [
        ("DELETED", "c", 8), ("MODIFIED", "b", 5), ("ADDED", "c", 6), ("ADDED", "d", 7),
    ]  # fmt: skip
    assert await mirror._compare("Pod") == "9"
    assert space.objects == {}


async def test_after_a_restore_what_came_later_has_never_happened() -> None:
    lists = [listing(*([pod("a", 2)] if kind == "Pod" else []), version=9) for kind in KINDS]
    mirror = PatientMirror(Answers(*lists))
    space = mirror.open("space")
    for type_, manifest in (("ADDED", pod("a", 2)), ("ADDED", pod("b", 5)), ("DELETED", pod("a", 6))):
        version = int(manifest["metadata"]["resourceVersion"])
        space.take(Happened(type_, "Pod", manifest["metadata"]["name"], version, manifest))
    await mirror.go_back([space], revision=4)
    await mirror.stop()
    assert happened(space) == [("ADDED", "a", 2)]
    assert list(space.objects) == [("Pod", "a")]
