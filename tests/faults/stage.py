"""Where outages are played: one API server that may be killed, and what the runs without an outage came to."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from hack.cluster.apiserver import ApiServer
from tests.api.installation import Installation
from tests.api.manifests import ROOT
from tests.faults.compare import Summary, breaches, more_than, summary
from tests.faults.patient import PatientAdmin, PatientMirror
from tests.faults.plan import Call
from tests.faults.play import USUAL, Cast, Play
from tests.faults.scenarios import SCENARIOS
from tests.faults.seat import Account

LIFE = "change-serving"
"""A life that is long enough for much to happen in it."""


@dataclass(frozen=True)
class Clean:
    """A run without an outage."""

    outcome: Summary
    writes: tuple[Call, ...]
    """Without the Lease's."""


@dataclass
class Known:
    """What outlives the event loop of one test: it belongs to the API server."""

    server: ApiServer
    folder: Path
    clean: dict[str, Clean] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    installation: Installation | None = None


class Stage:
    """One test's way to the API server."""

    def __init__(self, known: Known, admin: PatientAdmin, mirror: PatientMirror) -> None:
        self._known, self.admin, self._mirror = known, admin, mirror
        self.server, self.folder = known.server, known.folder

    def play(self, cast: Cast = USUAL) -> Play:
        """A run of its own, in a namespace of its own."""
        name = f"outage-{next(self._known.numbers):05}"
        return Play(self.admin, self._mirror, name, self.folder, cast=cast)

    async def clean(self, scenario: str) -> Clean:
        """The run without an outage, made once."""
        if scenario not in self._known.clean:
            async with self.play() as play:
                await SCENARIOS[scenario](play)
                await play.settle()
                writes = tuple(call for call in play.proxy.calls if call.asked.write and not call.asked.lease)
                self._known.clean[scenario] = Clean(summary(play.space), writes)
        return self._known.clean[scenario]

    async def judge(self, play: Play, scenario: str, allowed: str | None = None) -> list[str]:
        """Wait for the end that the clean run had, and say what is different.

        What begins with `allowed` may have been made and deleted once more: a create that was under way for too long.
        """
        clean = (await self.clean(scenario)).outcome
        wrong: list[str] = []
        try:
            await play.settle(clean.state)
        except AssertionError as error:
            wrong += str(error).splitlines()
        run = summary(play.space)
        for done, known, counts in (
            ("created", clean.created, run.created),
            ("deleted", clean.deleted, run.deleted),
        ):
            more = more_than(_one_more(known, counts, allowed), counts)
            wrong += [f"{done} {each}" for each in more]
        wrong += [f"never told {each}" for each in clean.told - run.told]
        return [*wrong, *breaches(play.space)]

    async def bounce(self, seconds: float = 0.0) -> None:
        """Kill the API server, and start it again after so long."""
        await asyncio.to_thread(self.server.kill_apiserver)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.server.start_apiserver)

    async def restore(self, play: Play, snapshot: Path, evaluations: Mapping[str, Any]) -> None:
        """Put etcd back to a snapshot. evaluations: what the models' store held then, which is restored with it."""
        await self._mirror.stop()
        revision = await asyncio.to_thread(self.server.restore, snapshot)
        await self._mirror.go_back([play.space], revision)
        play.actor.world.stored = dict(evaluations)
        play.actor.look_again()

    @asynccontextmanager
    async def account(self) -> AsyncIterator[tuple[Account, Installation]]:
        """The chart's account, and the chart's rights as it has them."""
        if self._known.installation is None:
            self._known.installation = Installation(self.server, self.folder / "pod", "lowbit")
        installation = self._known.installation
        await asyncio.to_thread(installation.install)
        authority = self.server.control_plane.authority.pair.certificate
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=str(authority)))
        async with aiohttp.ClientSession(connector=connector, skip_auto_headers=("Accept-Encoding",)) as session:
            token = (installation.folder / "token").read_text()
            lease = (installation.namespace, installation.environment("")["LOWBIT_LEASE_NAME"])
            yield Account(session, self.server.url, {"token": token}, lease), installation


def _one_more(known: Mapping[str, int], counts: Mapping[str, int], allowed: str | None) -> dict[str, int]:
    if allowed is None:
        return dict(known)
    more = {name: 1 for name in counts if name.partition(" ")[2].startswith(allowed)}
    return {name: known.get(name, 0) + more.get(name, 0) for name in known.keys() | more.keys()}


async def live(stage: Stage, play: Play, scenario: str) -> list[str]:
    """A whole life, and what is different in the end."""
    try:
        await SCENARIOS[scenario](play)
    except AssertionError as error:
        return str(error).splitlines()
    return await stage.judge(play, scenario)


@asynccontextmanager
async def on_stage(known: Known) -> AsyncIterator[Stage]:
    admin = PatientAdmin(known.server)
    mirror = PatientMirror(admin)
    try:
        await mirror.start()
        yield Stage(known, admin, mirror)
    finally:
        await mirror.stop()
        await admin.close()


def build(server: ApiServer, folder: Path) -> Known:
    """Lowbit's kinds on an API server that runs."""
    server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
    return Known(server, folder)


def scratch(folder: Path) -> Path:
    """A path for a snapshot, not made yet."""
    return Path(tempfile.mkdtemp(dir=folder)) / "etcd"
