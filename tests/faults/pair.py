"""Two operators, one leads, one stands by: the leader is stopped at a write, and resumes when the other leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lowbit.kube.resources import RESOURCES
from tests.faults.plan import Call
from tests.faults.play import Cast, Play
from tests.faults.scenarios import SCENARIOS
from tests.faults.seat import Seat
from tests.faults.stage import Stage, live

MISSED = "the write never came"
STILL = 3
"""Looks in a row at which an operator that has nothing in hand has not run."""


class Stopped:
    """The leader's way to the API server: holds one write, and looks at what comes after it."""

    def __init__(self, seat: Seat, point: str) -> None:
        self.seat, self._point = seat, point
        self.held, self.release = asyncio.Event(), asyncio.Event()
        self._frozen_at: int | None = None
        self.asked_lease = 0
        """How often it has looked at the Lease since it was stopped."""
        self.late: list[str] = []
        """Writes that it began after its Lease had ended."""
        self.given_up = False
        """Whether it has waited for too long for the answer to the write, so that it was never passed on."""
        seat.proxy.gate = self._gate

    @property
    def answered(self) -> int | None:
        """The status of the answer to the write that was held; 0 where it was given up."""
        return 0 if self.given_up else self.seat.proxy.answers.get(self._point)

    async def _gate(self, call: Call) -> None:
        if self._frozen_at is not None:
            self.asked_lease += call.asked.lease
            if call.asked.write and not call.asked.lease and self.seat.proxy.leases == self._frozen_at:
                self.late.append(call.point)
        if call.point == self._point and not self.held.is_set():
            self.held.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.given_up = True
                raise

    async def freeze(self) -> None:
        """Stop it when it has nothing in hand but the write that is held."""
        ran, looks = -1, 0
        while looks < STILL:
            now = _cpu_time(self.seat.pid)
            looks = looks + 1 if now == ran and _sleeps(self.seat.pid) else 0
            ran = now
            await asyncio.sleep(0.01)
        self.seat.freeze()
        self._frozen_at = self.seat.proxy.leases


async def standby_waits(stage: Stage) -> list[str]:
    """A second operator beside the one that leads: it takes nothing from one that renews."""
    async with stage.play(Cast(seats=2)) as play:
        first, second = play.seats
        await play.until("the first leads", first.leads)
        second.start()
        wrong = await live(stage, play, "change-serving")
        return [*wrong, *first.proxy.wire.wrong, *second.proxy.wire.wrong]


async def leader_stopped(stage: Stage, scenario: str, point: str, *, late: bool) -> list[str]:
    """SIGSTOP during a write, which arrives when another leads, or (late) when that one has finished everything."""
    await stage.clean(scenario)
    async with stage.play(Cast(seats=2)) as play:
        first, second = play.seats
        await play.until("the first leads", first.leads)
        second.start()
        stopped = Stopped(first, point)
        life = asyncio.ensure_future(SCENARIOS[scenario](play))
        try:
            if not await _held(play, stopped, life):
                return [MISSED]
            await stopped.freeze()
            await play.until("the second leads", second.leads)
            if late:
                await life
                if wrong := await stage.judge(play, scenario):
                    return [f"without the first: {each}" for each in wrong]
            first.thaw()
            await play.until("the first looks at the Lease", lambda: stopped.asked_lease)
            there = _is_there(play, point)
            stopped.release.set()
            await play.until("the write is answered", lambda: stopped.answered is not None)
            await life
            done = late and 200 <= (stopped.answered or 0) < 300
            wrong = await stage.judge(play, scenario, allowed=_name(point) if done and not there else None)
            if done and there:
                wrong.append(f"{point} was done, though all had gone on since it was meant")
        except AssertionError as error:
            wrong = str(error).splitlines()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        return [*wrong, *(f"without the Lease: {each}" for each in stopped.late)]


async def _held(play: Play, stopped: Stopped, life: asyncio.Future[None]) -> bool:
    """Wait for the write; False where the life went by without it."""

    def over() -> bool:
        return stopped.held.is_set() or (life.done() and not any(play.unrest()))

    await play.until("the write comes", over)
    return stopped.held.is_set()


async def points(stage: Stage, scenario: str) -> list[str]:
    """Where a leader can be stopped: at every write that the clean run has, Events excepted, which nobody waits for."""
    return [call.point for call in (await stage.clean(scenario)).writes if call.asked.resource != "events"]


def _name(point: str) -> str:
    return point.rpartition("#")[0].split(":")[2]


def _is_there(play: Play, point: str) -> bool:
    """Whether the object of a write exists. If it does not, a create cannot know that it was deleted on purpose."""
    plural = point.split(":")[1].partition("/")[0]
    return any(RESOURCES[kind].plural == plural and name == _name(point) for kind, name in play.space.objects)


def _sleeps(pid: int) -> bool:
    """Whether a process waits for something, and not only for a core that is busy with others."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _cpu_time(pid: int) -> int:
    """Nanoseconds that a process has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
