"""Runs the programs of one pod of a group: it begins when all members are there, and ends when one of them ends.

    python3 member.py CONFIGURATION     one line of JSON, see Member

The engine of a group cannot go on without one of its pods, and cannot take in another in its place. So nobody begins
before all are there, whatever the order, and when one ends all others end as well: the kubelet starts them again, each
in a fresh container, and they meet again. The leader (rank 0) keeps a connection to every other member. Nothing that
comes over it is run, and nothing of the model goes over it.

fetch lays this file out for engines, whose images have a Python of their own: it needs the standard library alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EXIT_LOST = 77
"""Another member has ended: nothing is wrong here."""
BEAT_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""A member that says nothing for so long has gone, with its node or its network."""
RETRY_SECONDS = 1.0
TELL_SECONDS = 30.0
"""Between two lines that say who is missing."""
LEADER_SECONDS = 2.0
"""Until a member whose engine has failed takes that for its own failure."""
KILL_SECONDS = 10.0
"""Between SIGTERM and SIGKILL for programs of a broken group: they have nothing left to finish."""


class LostError(Exception):
    """Another member has ended."""


@dataclass(frozen=True)
class Member:
    """What a member is started with. Ranks, sizes and addresses come from the pod, the rest is JSON.

    In arguments @LEADER@ and @ADDRESS@ stand for the addresses of the leader's pod and of its own, @RANK@ for the rank.
    """

    rank: int
    size: int
    address: str
    leader: str
    """Name or address of the leader's pod."""
    port: int
    """The leader listens on it for the others."""
    formed: Path
    """A file that is there while the group is complete."""
    programs: Sequence[Sequence[str]]
    """Run one after the other: the last one is the engine, and those before it have to end well."""

    @classmethod
    def read(cls, text: str, environment: Mapping[str, str]) -> Member:
        """From {"size": 2, "port": 8100, "leader": "10.0.0.7", "formed": "/f", "lead": [[...]], "follow": [[...]]}."""
        given, rank, address = json.loads(text), int(environment["LOWBIT_RANK"]), environment["LOWBIT_POD_IP"]
        programs = given["lead" if rank == 0 else "follow"]
        leader = given["leader"] if rank else address
        return cls(rank, given["size"], address, leader, given["port"], Path(given["formed"]), programs)


def say(text: str) -> None:
    """A line of the container's log, which is its last word if it ends."""
    print(f"group: {text}", file=sys.stderr, flush=True)


class Link:
    """A connection to another member."""

    def __init__(self, who: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.who, self.reader, self.writer = who, reader, writer

    async def hear(self) -> str:
        """The next line. Raises LostError."""
        try:
            line = await asyncio.wait_for(self.reader.readline(), SILENT_SECONDS)
        except (TimeoutError, OSError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            raise LostError(f"{self.who} has gone: this member starts again with it")
        return line.decode(errors="replace").strip()

    def tell(self, text: str) -> None:
        """Send a line. Whoever hears notices that a connection is broken."""
        with suppress(OSError):
            self.writer.write(f"{text}\n".encode())

    async def keep(self, until: str | None = None) -> None:
        """Exchange beats until the other one says so, or has gone. Raises LostError."""
        beats = asyncio.ensure_future(self._beat())
        try:
            while await self.hear() != until:
                pass
        finally:
            beats.cancel()

    async def _beat(self) -> None:
        while True:
            self.tell("beat")
            await asyncio.sleep(BEAT_SECONDS)


class Leader:
    """Waits for all others, and tells them to begin."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.wanted = set(range(1, member.size))
        self.links: dict[int, Link] = {}
        self.complete = asyncio.Event()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def gather(self) -> None:
        """Until every other member is there."""
        if not self.wanted:
            return
        await asyncio.start_server(self._greet, None, self.member.port)
        while not self.complete.is_set():
            missing = ", ".join(map(str, sorted(self.wanted - set(self.links))))
            say(f"waiting for member(s) {missing} of {self.member.size}, on port {self.member.port}")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.complete.wait(), TELL_SECONDS)

    async def watch(self) -> None:
        """Until a member has gone. Raises LostError."""
        raise LostError(await self.lost)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link("a stranger", reader, writer)
        try:
            hello = json.loads(await link.hear())
            rank, size = int(hello["rank"]), int(hello["size"])
            if rank in self.wanted and size == self.member.size:
                link.who = f"member {rank} of {size}"
                await self._hold(rank, link)
        except (LostError, ValueError, KeyError, TypeError, asyncio.CancelledError):
            return  # a cancelled one would be told of, by lines behind the last word
        finally:
            writer.close()

    async def _hold(self, rank: int, link: Link) -> None:
        if self.complete.is_set():
            return self._lose(f"{link.who} was started anew: this member starts again with it")
        self.links[rank] = link
        if set(self.links) == self.wanted:
            self.complete.set()
            for each in self.links.values():
                each.tell("go")
        try:
            await link.keep()
        except LostError as error:
            if self.complete.is_set():
                self._lose(str(error))
            elif self.links.get(rank) is link:
                del self.links[rank]
        return None

    def _lose(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


class Follower:
    """Goes to the leader, and waits until it says to begin."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.links: list[Link] = []

    async def gather(self) -> None:
        """Until the leader says that all are there. A leader that goes before that is looked for again."""
        while True:
            try:
                link = await self._join()
                await link.keep(until="go")
                return self.links.append(link)
            except (LostError, OSError) as error:
                say(f"no leader at {self.member.leader} yet ({error}); trying again")
            await asyncio.sleep(RETRY_SECONDS)

    async def watch(self) -> None:
        """Until the leader has gone. Raises LostError."""
        await self.links[0].keep()

    async def _join(self) -> Link:
        reader, writer = await asyncio.open_connection(self.member.leader, self.member.port)
        link = Link("the leader", reader, writer)
        link.tell(json.dumps({"rank": self.member.rank, "size": self.member.size}))
        say(f"at the leader's; waiting until all {self.member.size} members are there")
        return link


class Programs:
    """Runs the member's programs, in process groups of their own."""

    def __init__(self, member: Member, leader: str) -> None:
        words = {"@LEADER@": leader, "@ADDRESS@": member.address, "@RANK@": str(member.rank)}
        if ":" in leader:  # IPv6, before a port
            words = {"@LEADER@:": f"[{leader}]:", **words}
        self.lines = [[replaced(word, words) for word in line] for line in member.programs]
        self.running: asyncio.subprocess.Process | None = None
        self.stopping = False

    async def run(self) -> int:
        """One after the other; the exit code of the first one that fails, or of the last one."""
        code = 0
        for line in self.lines:
            self.running = await asyncio.create_subprocess_exec(*line, start_new_session=True)
            code = await self.running.wait()
            if code != 0 or self.stopping:
                break
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """SIGTERM for the program that runs: an engine finishes its requests."""
        self.stopping = True
        self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """End what runs, soon."""
        self._signal(signal.SIGTERM)
        if self.running is not None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.running.wait(), KILL_SECONDS)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, number)


def replaced(word: str, by: Mapping[str, str]) -> str:
    """The word with what its placeholders stand for."""
    for placeholder, value in by.items():
        word = word.replace(placeholder, value)
    return word


async def run(member: Member) -> int:
    """The exit code of the pod's engine, or EXIT_LOST."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stopped = asyncio.ensure_future(stop.wait())
    group = Leader(member) if member.rank == 0 else Follower(member)
    member.formed.unlink(missing_ok=True)
    gathered = asyncio.ensure_future(group.gather())
    await asyncio.wait({stopped, gathered}, return_when=asyncio.FIRST_COMPLETED)
    if not gathered.done():
        return 128 + signal.SIGTERM
    await gathered
    say(f"all {member.size} members are there: member {member.rank} begins")
    programs = Programs(member, await address_of(member))
    running, watching = asyncio.ensure_future(programs.run()), asyncio.ensure_future(group.watch())
    member.formed.touch()
    try:
        await asyncio.wait({running, watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            # The others stay until the leader's engine has finished its requests, and see it go.
            programs.stop()
            return await running
        if running.done() and 0 < running.result() < 128 and member.rank > 0:
            # It may have ended because the leader's has: then that one says why.
            await asyncio.wait({watching}, timeout=LEADER_SECONDS)
        if not watching.done():
            return running.result()
        say(str(watching.exception()))
        return EXIT_LOST
    finally:
        member.formed.unlink(missing_ok=True)
        await programs.end()


async def address_of(member: Member) -> str:
    """The leader's address: a name may be somebody else's later."""
    if member.rank == 0:
        return member.address
    found = await asyncio.get_running_loop().getaddrinfo(member.leader, member.port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


if __name__ == "__main__":
    sys.exit(asyncio.run(run(Member.read(sys.argv[1], os.environ))))
