"""How a worker ends: exit code and termination message for every end, and lines of progress on the way."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.documents import EXIT_CRASHED, EXIT_ENGINE, EXIT_LATER, EXIT_REFUSED, FetchResult, ProgressLine
from lowbit.api.paths import TERMINATION_LIMIT
from lowbit.api.stages import STAGES
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.worker.__main__ import EXIT_STOPPED, RUNNERS, Stopped, main, outcome, write_termination
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import EngineError, LaterError, RefusalError

DONE = TerminationMessage.of(FetchResult(digest="sha256:" + "0" * 64, files=1, bytes=1))


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RefusalError("BadDataset", "what", "do"), EXIT_REFUSED, "BadDataset"),
        (EngineError("it restarted"), EXIT_ENGINE, "EngineUnstable"),
        (Stopped(), EXIT_STOPPED, "Stopped"),
        (MemoryError("too much"), 137, "OutOfMemory"),
        (LaterError("Throttled", "what", "do"), EXIT_LATER, "Throttled"),
        (ConnectionError("gone"), EXIT_LATER, "Unreachable"),
        (KeyError("bug"), EXIT_CRASHED, "WorkerCrashed"),
        (SystemExit(3), EXIT_CRASHED, "WorkerCrashed"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), EXIT_LATER, "NoSpace"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), EXIT_LATER, "NoSpace"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), EXIT_LATER, "NoSpace"),
    ],
)
def test_every_end_has_its_exit_code_and_says_why(error: BaseException, code: int, reason: str) -> None:
    def work() -> TerminationMessage:
        raise error

    found, message = outcome(work)
    assert found == code
    assert message.refusal is not None
    assert message.refusal.reason == reason
    assert message.refusal.message
    assert message.refusal.action


def test_done_is_zero() -> None:
    assert outcome(lambda: DONE) == (0, DONE)


def test_a_document_that_cannot_be_read_is_refused_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "document.json").write_text('{"stage": "dance"}')
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(tmp_path / "document.json", tmp_path / "message") == EXIT_REFUSED
    finally:
        signal.signal(signal.SIGTERM, before)
    message = TerminationMessage.model_validate_json((tmp_path / "message").read_bytes())
    assert message.refusal is not None
    assert message.refusal.reason == "BadDocument"


@given(st.text(max_size=20_000), st.text(max_size=20_000))
def test_a_refusal_always_fits_into_the_termination_message(what: str, todo: str) -> None:
    path = Path(os.devnull)
    refusal = RefusalError("TooLong", what, todo).refusal
    message = TerminationMessage(refusal=refusal)

    class Sink:
        def write_text(self, text: str, encoding: str) -> None:
            assert len(text.encode(encoding)) <= TERMINATION_LIMIT
            assert TerminationMessage.model_validate_json(text).refusal is not None

    write_termination(message, Sink())  # type: ignore[arg-type]
    assert path.exists()


def test_sigterm_leaves_a_message_and_ends(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from pkgutil import resolve_name
from lowbit.worker import __main__ as worker
def wait(_):
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
worker.run_stage = wait
worker.read_document = lambda path: path
sys.exit(worker.main(Path("none"), Path({str(tmp_path / "message")!r})))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == EXIT_STOPPED
    message = TerminationMessage.model_validate_json((tmp_path / "message").read_bytes())
    assert message.refusal == Refusal(
        reason="Stopped", message="the worker was told to stop", action="none: the Job goes on in another pod"
    )


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_progress_is_written_in_lines_that_read_back_with_the_time_that_is_left() -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("quantize", write=lines.append, clock=clock)
    progress.step("loading")
    clock.now += 30
    progress.report(0.25, "layer 1 of 4")
    found = [ProgressLine.model_validate_json(line) for line in lines]
    assert [line.message for line in found] == ["loading", "layer 1 of 4"]
    assert found[0].eta_seconds is None
    assert (found[1].percent, found[1].eta_seconds, found[1].time) == (25.0, 90.0, 1030.0)
    assert all("\n" not in line and json.loads(line)["lowbit"] == "progress" for line in lines)


def test_progress_is_throttled_unless_a_step_begins() -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("quantize", write=lines.append, clock=clock)
    for _ in range(100):
        progress.report(0.5, "working")
    assert len(lines) == 1
    progress.step("next")
    assert len(lines) == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(-1, 2)), max_size=20))
def test_progress_never_goes_back_nor_past_its_end(reports: list[tuple[float, float, float]]) -> None:
    lines: list[str] = []
    progress = Progress("prepare", write=lines.append, clock=Clock())
    for one, other, fraction in reports:
        progress.part(min(one, other), max(one, other)).report(fraction, "x", force=True)
    percents = [ProgressLine.model_validate_json(line).percent for line in lines]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)


def test_every_stage_has_a_runner_of_its_name_and_no_other_has() -> None:
    assert set(RUNNERS) == set(STAGES.names())
    assert all(callable(resolve_name(runner)) for runner in RUNNERS.values())
