"""The Lease is lost: somebody writes himself into it, or deletes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.faults.pair import MISSED
from tests.faults.plan import Call
from tests.faults.play import Play
from tests.faults.stage import Stage, live

LEASE = "lowbit-operator"


async def lease_taken(stage: Stage, point: str) -> list[str]:
    """Somebody writes another holder into the Lease, and does not renew it."""

    async def take(play: Play) -> None:
        spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 2}
        await stage.admin.patch("Lease", play.space.name, LEASE, {"spec": spec})

    return await _lease_lost(stage, point, take)


async def lease_deleted(stage: Stage, point: str) -> list[str]:
    """Somebody deletes the Lease."""

    async def delete(play: Play) -> None:
        await stage.admin.delete("Lease", play.space.name, LEASE)

    return await _lease_lost(stage, point, delete)


async def _lease_lost(stage: Stage, point: str, lose: Callable[[Play], Awaitable[None]]) -> list[str]:
    scenario = "first-apply"
    await stage.clean(scenario)
    async with stage.play() as play:
        lost, leases, knows = False, 0, False
        late: list[str] = []

        async def gate(call: Call) -> None:
            nonlocal lost, leases, knows
            if call.point == point and not lost:
                await lose(play)
                lost, leases = True, play.proxy.leases
            elif lost and play.proxy.leases == leases:
                # It has tried to renew, and looks who has the Lease now.
                knows = knows or (call.asked.lease and call.asked.verb == "get")
                if knows and call.asked.write and not call.asked.lease:
                    late.append(call.point)

        play.proxy.gate = gate
        wrong = await live(stage, play, scenario)
        if not lost:
            wrong.append(MISSED)
        return [*wrong, *(f"without the Lease: {each}" for each in late)]
