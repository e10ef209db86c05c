"""etcd is restored from an older snapshot: what came after it never happened, though the operator has seen it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faults.pair import MISSED
from tests.faults.plan import Call
from tests.faults.play import Cast, Play
from tests.faults.scenarios import EIGHT_BITS, SCENARIOS
from tests.faults.stage import LIFE, Stage, live, scratch


async def restored(stage: Stage, begin: str, end: str) -> list[str]:
    """etcd goes back, in the middle of a life, from the write `end` to the moment before the write `begin`."""
    scenario = "first-apply"
    await stage.clean(scenario)
    async with stage.play(Cast(kubelet=True)) as play:
        snapshot, kept, done = scratch(stage.folder), dict[str, Any](), False

        async def gate(call: Call) -> None:
            nonlocal done
            if call.asked.text.startswith(begin) and not snapshot.exists():
                kept.update(play.actor.world.stored)
                await asyncio.to_thread(stage.server.snapshot, snapshot)
            elif call.asked.text.startswith(end) and snapshot.exists() and not done:
                done = True
                await stage.restore(play, snapshot, kept)
                raise ConnectionResetError

        play.proxy.gate = gate
        wrong = await live(stage, play, scenario)
        return [*wrong, *([] if done else [MISSED]), *_told_of_restore(play)]


async def restored_before_a_change(stage: Stage) -> list[str]:
    """etcd goes back to before a served change: the old revision is served again, and the change can be repeated."""
    await stage.clean(LIFE)
    async with stage.play(Cast(kubelet=True)) as play:
        await SCENARIOS["first-apply"](play)
        await play.settle()
        snapshot, kept = scratch(stage.folder), dict(play.actor.world.stored)
        await asyncio.to_thread(stage.server.snapshot, snapshot)
        old = await play.served("chat")
        await play.apply("chat", candidates=EIGHT_BITS)
        assert await play.served("chat") != old
        await play.settle()
        await stage.restore(play, snapshot, kept)
        wrong = await stage.judge(play, "first-apply")
        await play.apply("chat", candidates=EIGHT_BITS)
        await play.served("chat")
        return [*wrong, *await stage.judge(play, LIFE), *_told_of_restore(play)]


async def restored_before_a_deletion(stage: Stage) -> list[str]:
    """etcd goes back to before a deletion: what was deleted is there again, and served."""
    await stage.clean("first-apply")
    async with stage.play(Cast(kubelet=True)) as play:
        play.actor.held = lambda job: job.startswith("eval-")
        await play.add_store()
        await play.apply("chat")
        await play.held("eval-")
        await play.settle()
        snapshot, kept = scratch(stage.folder), dict(play.actor.world.stored)
        await asyncio.to_thread(stage.server.snapshot, snapshot)
        await play.delete("chat")
        await play.gone("chat")
        await play.settle()
        play.actor.held = lambda job: False
        await stage.restore(play, snapshot, kept)
        await play.served("chat")
        return [*await stage.judge(play, "first-apply"), *_told_of_restore(play)]


def _told_of_restore(play: Play) -> list[str]:
    return [] if "restored" in play.log.read_text() else ["the log does not say that etcd was restored"]
