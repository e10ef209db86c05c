"""The pieces that need no root and no cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hack.cluster import addons, build, images, paths
from hack.cluster.processes import Process
from hack.cluster.progress import StepError, wait_until


def test_every_tool_of_the_go_modules_is_built_and_no_other() -> None:
    named = set()
    for module in (paths.HERE / "tools").glob("*/go.mod"):
        block = re.search(r"^tool \(\n(.*?)^\)|^tool (\S+)$", module.read_text(), re.M | re.S)
        assert block, module
        named |= {(module.parent.name, word) for word in (block[1] or block[2]).split()}
    assert named == {(tool.module, tool.package) for tool in (*build.TOOLS, *build.OPTIONAL_TOOLS)}


def test_a_process_that_ended_is_not_taken_for_running(tmp_path: Path) -> None:
    process = Process("sleep", tmp_path, tmp_path)
    process.start(["sleep", "60"])
    assert process.alive()
    process.kill()
    assert not process.alive()


def test_a_process_id_that_went_to_another_program_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "other.pid").write_text(f"{os.getpid()} 1")
    assert not Process("other", tmp_path, tmp_path).alive()


def test_a_failed_step_names_itself_the_reason_and_the_end_of_the_log(tmp_path: Path) -> None:
    process = Process("broken", tmp_path, tmp_path)
    process.start(["sh", "-c", "echo the port is taken; exit 1"])
    with pytest.raises(StepError, match=r"(?s)start broken: the process ended.*the port is taken"):
        wait_until("start broken", lambda: "no answer", timeout=60, alive=process.alive, log=process.log)


def test_a_missing_program_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"is missing: run python3 -m hack\.cluster"):
        Process("ghost", tmp_path, tmp_path).start([tmp_path / "ghost"])


def test_the_same_image_is_the_same_archive_and_says_its_name(tmp_path: Path) -> None:
    image = images.SmallImage("lowbit.local/small:1", Path(__file__), ("/bin/small",))
    for name in ("one.tar", "two.tar"):
        images.write_archive(image, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert images.name_in(tmp_path / "one.tar") == "lowbit.local/small:1"


def test_name_servers_on_loopback_are_passed_over_for_those_behind_them(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\nsearch example.org\n")
    real.write_text("nameserver 192.0.2.53\nnameserver fe80::1%eth0\n")
    assert addons.name_servers((stub, real)) == ["192.0.2.53"]
    assert addons.name_servers((stub,)) == []
