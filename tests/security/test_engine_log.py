"""The engine's log reaches the evaluator as a file in a folder that the engine owns: anything may lie there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbit.api.enginelog import error_in, kernels_in, last_lines
from lowbit.worker.evaluate.log import LOG_LIMIT, read_log
from tests.unit.evaluation_bench import ORIGINAL, make_bench
from tests.unit.fake_engine import FakeEngine

SECRET = "INFO 11-27 02:25:41 [x:1] Using SecretKernel for Linear"


def link(log: Path, secret: Path) -> None:
    log.symlink_to(secret)


def hard_device(log: Path, _: Path) -> None:
    log.symlink_to("/dev/zero")


def pipe(log: Path, _: Path) -> None:
    os.mkfifo(log)


def folder(log: Path, _: Path) -> None:
    log.mkdir()


@pytest.mark.parametrize("make", [link, hard_device, pipe, folder])
def test_only_a_plain_file_is_read(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    """A link could point to the worker's Secret; a pipe would hold the evaluator for ever."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    log = tmp_path / "engine.log"
    make(log, secret)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(read_log(log)), daemon=True)
    reader.start()
    reader.join(20)
    assert found == [""]


def test_a_log_without_end_is_read_to_its_limit(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with log.open("wb") as file:
        file.truncate(LOG_LIMIT * 100)
    assert len(read_log(log)) == LOG_LIMIT


def test_a_log_that_is_no_text_is_read_as_text(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"\xff\xfe\x00" + SECRET.encode())
    assert SECRET in read_log(log)


def test_what_a_log_says_cannot_steer_a_terminal() -> None:
    """Kernels and errors end in a status, and so in somebody's terminal."""
    log = (
        "INFO 11-27 02:25:41 [x:1] Using Kernel for \x1b]0;owned\x07Linear\u202e\n"
        "ValueError: \x1b]52;c;cm0gLXJmIC8=\x07 boom\u202e\x9b2J\n"
    )
    said = [*kernels_in(log), error_in(log) or "", *last_lines(log).splitlines()]
    assert len(said) == 4 and all(line.isprintable() for line in said), said


async def test_an_engine_cannot_fill_a_result_with_its_version(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    await bench.run(FakeEngine(ORIGINAL, release="9" * 1_000_000), bench.document())
    assert len(bench.stored("baseline-1").versions["engine"]) == 100
