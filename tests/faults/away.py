"""The API server is killed, is away, or answers 503."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import aiohttp

from tests.faults.plan import Call
from tests.faults.play import Play
from tests.faults.stage import LIFE, Stage, live

RESTART = 30.0
"""Seconds that one start of the API server may take on a busy machine."""


async def killed(stage: Stage, times: int) -> list[str]:
    """The API server is killed at so many of a life's writes, and started again."""
    every = max(1, len((await stage.clean(LIFE)).writes) // (times + 1))
    play = stage.play()
    play.patience += times * RESTART
    async with play:
        writes, deaths, down = 0, 0, asyncio.Lock()

        async def gate(call: Call) -> None:
            nonlocal writes, deaths
            if not call.asked.write or call.asked.lease or down.locked():
                return
            writes += 1
            if writes % every == 0 and deaths < times:
                deaths += 1
                async with down:
                    await stage.bounce()
                raise ConnectionResetError

        play.proxy.gate = gate
        wrong = await live(stage, play, LIFE)
        return wrong if deaths == times else [*wrong, f"the API server was killed {deaths} times only"]


async def gone(stage: Stage, seconds: float) -> list[str]:
    """The API server is away for so long, in the middle of a life."""
    return await _away(stage, seconds, "quantize-", lambda play: stage.bounce(seconds))


async def unavailable(stage: Stage, seconds: float) -> list[str]:
    """Everything is answered with 503 for so long."""

    async def answer(play: Play) -> None:
        play.proxy.away = 503
        play.proxy.cut()
        await asyncio.sleep(seconds)
        play.proxy.away = 0

    return await _away(stage, seconds, "eval-", answer)


async def _away(stage: Stage, seconds: float, at: str, outage: Callable[[Play], Awaitable[None]]) -> list[str]:
    await stage.clean(LIFE)
    play = stage.play()
    play.patience += seconds
    play.seats[0].port = _free_port()
    async with play:
        came, begun = asyncio.Event(), asyncio.Event()

        async def gate(call: Call) -> None:
            if call.asked.verb == "create" and call.asked.name.startswith(at) and not came.is_set():
                came.set()
                await begun.wait()
                raise ConnectionResetError

        play.proxy.gate = gate
        life = asyncio.create_task(live(stage, play, LIFE))
        await play.until(f"{at} is created", lambda: came.is_set() or life.done())
        asked = len(play.proxy.calls)
        alive = asyncio.create_task(_watch_health(play.seats[0].port))
        away = asyncio.ensure_future(outage(play))
        await asyncio.sleep(0)  # it begins
        begun.set()
        await away
        alive.cancel()
        (deaths,) = await asyncio.gather(alive, return_exceptions=True)
        wrong = [f"it would have been ended by its probe: {deaths}"] if isinstance(deaths, str) else []
        wrong += _too_eager(play.proxy.calls[asked:], seconds)
        return wrong + await life


def _too_eager(calls: list[Call], seconds: float) -> list[str]:
    """After an outage all clients reconnect at once; constant retries would starve them. Two a second of each sort."""
    sorts: dict[str, int] = {}
    for call in calls:
        if not call.asked.lease and call.asked.verb != "get":
            sorts[call.asked.text] = sorts.get(call.asked.text, 0) + 1
    most = 8 + 2 * seconds
    return [f"{sort} was asked {count} times in {seconds:g} s" for sort, count in sorts.items() if count > most]


async def _watch_health(port: int) -> str:
    """Returns what /healthz says when it is not well."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                if answer.status != 200:
                    return await answer.text()
            await asyncio.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
