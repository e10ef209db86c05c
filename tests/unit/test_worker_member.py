"""The members of a group, as processes on loopback: they begin together and end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lowbit.worker import member
from lowbit.worker.member import EXIT_LOST, Member, Programs

PROGRAM = Path(member.__file__)
LIVES = ["sh", "-c", 'touch "$0-@RANK@"; exec sleep 1000']
"""An engine: it leaves a file when it begins."""


class Group:
    """Starts members."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, rank: int, size: int = 2, lead: list[list[str]] | None = None, follow: list[list[str]] | None = None
    ) -> subprocess.Popen[bytes]:
        lives = [*LIVES, str(self.folder / "began")]
        told = {
            "size": size, "port": self.port, "leader": "localhost", "formed": str(self.folder / f"formed-{rank}"),
            "lead": lead or [lives], "follow": follow or [lives],
        }  # fmt: skip
        environment = os.environ | {"LOWBIT_RANK": str(rank), "LOWBIT_POD_IP": "127.0.0.1"}
        line = [sys.executable, "-I", str(PROGRAM), json.dumps(told)]
        # No pipe: what is left of a member that was killed would keep it open.
        with (self.folder / f"said-{rank}").open("w") as said:
            process = subprocess.Popen(line, env=environment, stderr=said)
        self.processes.append(process)
        return process

    def began(self, *ranks: int) -> Callable[[], bool]:
        return lambda: all((self.folder / f"began-{rank}").exists() for rank in ranks)

    def formed(self, *ranks: int) -> Callable[[], bool]:
        return lambda: all((self.folder / f"formed-{rank}").exists() for rank in ranks)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def wait(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_nobody_begins_before_all_are_there_whatever_the_order(group: Group, order: tuple[int, ...]) -> None:
    for rank in order[:-1]:
        group.start(rank, size=3)
    time.sleep(1.5)
    assert not any(group.began(rank)() for rank in range(3))
    assert not any(group.formed(rank)() for rank in range(3))
    group.start(order[-1], size=3)
    wait(group.began(0, 1, 2))
    wait(group.formed(0, 1, 2))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_member_that_is_killed_ends_all_others_who_say_so(group: Group, gone: int) -> None:
    members = [group.start(rank, size=3) for rank in range(3)]
    wait(group.began(0, 1, 2))
    members[gone].kill()
    others = [rank for rank in range(3) if rank != gone]
    assert [members[rank].wait(120) for rank in others] == [EXIT_LOST, EXIT_LOST]
    said = [(group.folder / f"said-{rank}").read_text() for rank in others]
    assert all(text.strip().splitlines()[-1].endswith("starts again with it") for text in said), said
    assert not any(group.formed(rank)() for rank in range(3) if rank != gone)


def test_an_engine_that_fails_keeps_its_exit_code_and_the_others_are_no_culprits(group: Group) -> None:
    leader = group.start(0, follow=None, lead=[["sh", "-c", "exit 3"]])
    other = group.start(1)
    assert (leader.wait(120), other.wait(120)) == (3, EXIT_LOST)


def test_a_member_that_fails_because_the_leader_did_is_no_culprit(group: Group) -> None:
    failing = [["sh", "-c", "sleep 0.3; exit 5"]]
    leader, other = group.start(0, lead=failing), group.start(1, follow=[["sh", "-c", "sleep 0.2; exit 6"]])
    assert (leader.wait(120), other.wait(120)) == (5, EXIT_LOST)


def test_a_member_that_is_killed_for_its_memory_says_so(group: Group) -> None:
    leader, other = group.start(0), group.start(1, follow=[["sh", "-c", "kill -9 $$"]])
    assert (leader.wait(120), other.wait(120)) == (EXIT_LOST, 128 + signal.SIGKILL)


def test_a_stop_lets_the_leaders_engine_finish_while_the_others_stay(group: Group) -> None:
    finishing = ["sh", "-c", 'trap "sleep 1; touch $0-done; exit 0" TERM; touch "$0-0"; while :; do sleep 0.1; done']
    leader = group.start(0, lead=[[*finishing, str(group.folder / "began")]])
    other = group.start(1)
    wait(group.began(0, 1))
    leader.terminate()
    time.sleep(0.5)
    assert other.poll() is None
    assert (leader.wait(120), other.wait(120)) == (0, EXIT_LOST)
    assert (group.folder / "began-done").exists()


def test_who_is_stopped_while_it_waits_ends_at_once(group: Group) -> None:
    alone = group.start(0)
    time.sleep(1)
    alone.terminate()
    assert alone.wait(120) == 128 + signal.SIGTERM


def test_a_member_that_comes_again_before_the_group_is_complete_is_taken(group: Group) -> None:
    group.start(0, size=3)
    group.start(1, size=3).kill()
    group.start(1, size=3)
    group.start(2, size=3)
    wait(group.began(0, 1, 2))


def test_programs_run_one_after_the_other_and_know_their_group(group: Group) -> None:
    file = group.folder / "said"
    first = ["sh", "-c", 'echo "$1 $2 $3" >> "$0"', str(file), "@RANK@", "@LEADER@", "@ADDRESS@"]
    group.start(0)
    other = group.start(1, follow=[first, first, ["sh", "-c", "exit 4"], first])
    assert other.wait(120) == 4
    assert file.read_text() == "1 127.0.0.1 127.0.0.1\n" * 2


def test_no_program_of_the_group_lives_on(group: Group) -> None:
    file = group.folder / "child"
    stubborn = [
        "sh",
        "-c",
        'trap "" TERM; (trap "" TERM; sleep 1000) & echo $! > "$0.new"; mv "$0.new" "$0"; wait',
        str(file),
    ]
    group.start(0, lead=[stubborn])
    other = group.start(1)
    wait(file.exists)
    other.kill()
    assert group.processes[0].wait(120) == EXIT_LOST
    wait(lambda: not Path(f"/proc/{int(file.read_text())}").exists())


def test_a_stranger_on_the_port_changes_nothing(group: Group) -> None:
    group.start(0)
    wait(lambda: reaches(group.port))
    for words in (
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"rank": 7, "size": 2}\n',
        b'{"rank": 1, "size": 9}\n',
        b"[]\n",
        b"x" * 99_999,
    ):
        with socket.create_connection(("127.0.0.1", group.port)) as stranger:
            stranger.sendall(words)
    group.start(1)
    wait(group.began(0, 1))


def reaches(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_the_configuration_says_who_leads() -> None:
    told = {"size": 2, "port": 1, "leader": "there", "formed": "/f", "lead": [["a"]], "follow": [["b"]]}
    first, second = (
        Member.read(json.dumps(told), {"LOWBIT_RANK": rank, "LOWBIT_POD_IP": "10.0.0.1"}) for rank in ("0", "1")
    )
    assert (first.leader, first.programs) == ("10.0.0.1", [["a"]])
    assert (second.leader, second.programs) == ("there", [["b"]])


@pytest.mark.parametrize(
    ("leader", "words"),
    [("10.0.0.7", ["10.0.0.7:6379", "10.0.0.7", "1"]), ("fd00::7", ["[fd00::7]:6379", "fd00::7", "1"])],
)
def test_an_address_before_a_port_is_one_in_ipv6_too(leader: str, words: list[str]) -> None:
    me = Member(1, 2, "10.0.0.9", leader, 1, Path("/f"), [["@LEADER@:6379", "@LEADER@", "@RANK@"]])
    assert Programs(me, leader).lines == [words]
