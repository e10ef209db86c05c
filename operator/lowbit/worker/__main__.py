"""Entry point of a Job's pod: reads one document, prints lines of progress, writes one termination message.

Exit codes: 0: done. EXIT_REFUSED: a permanent error. EXIT_LATER: an error that may pass. EXIT_CRASHED: a bug.
EXIT_ENGINE: the engine failed during the run. 1: a file was missing. 143: stopped by SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType

from lowbit.api.documents import EXIT_ENGINE, EXIT_REFUSED, StageDocument
from lowbit.api.logged import LOGGED_LIMIT, split
from lowbit.api.paths import DOCUMENT_PATH, TERMINATION_LIMIT, TERMINATION_PATH, UNPACKED_LIMIT
from lowbit.api.stages import EVALUATE, STAGES
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.worker.errors import ended
from lowbit.worker.progress import Progress, write_line
from lowbit.worker.refuse import EngineError, RefusalError, cut
from lowbit.worker.store import open_store

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job."""
EXIT_STOPPED = 128 + signal.SIGTERM
RUNNERS: Mapping[str, str] = {
    "prepare": "lowbit.worker.prepare:prepare",
    "quantize": "lowbit.worker.quantize:quantize",
    "evaluate": "lowbit.worker.evaluate.evaluate:run",
    "ask": "lowbit.worker.ask:run",
    "fetch": "lowbit.worker.fetch:fetch",
}
"""By stage: a function from its document, the store and the progress to its result."""


class Stopped(BaseException):
    """SIGTERM came. A BaseException, like KeyboardInterrupt, so that no `except Exception` swallows it."""


def stop(_number: int, _frame: FrameType | None) -> None:
    """Handler of SIGTERM: exit at once. A half-written result does not count until its last file is there."""
    raise Stopped


def _stand_by() -> None:
    """Beside a part of an engine that another pod of the Job measures: until the Job ends, and with it this pod."""
    while True:
        signal.pause()


def run_stage(document: StageDocument) -> TerminationMessage:
    """Run the document's stage. Only that stage's module is imported: the operator's image has no torch."""
    kind = next(kind for kind in STAGES if isinstance(document, kind.document))
    if kind is EVALUATE and os.environ.get(INDEX_VARIABLE, "0") != "0":
        _stand_by()
    run = resolve_name(RUNNERS[kind.name])
    return TerminationMessage.of(run(document, open_store(document.store), Progress(kind.name)))


def read_document(path: Path) -> StageDocument:
    """The document. Raises RefusalError if this worker cannot read it."""
    try:
        data = path.read_bytes()
        return STAGES[json.loads(data)["stage"]].document.model_validate_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise RefusalError(
            "BadDocument",
            f"the Job's document cannot be read: {error}",
            "use an operator and a worker image of the same version of Lowbit",
        ) from error


def outcome(work: Callable[[], TerminationMessage]) -> tuple[int, TerminationMessage]:
    """Run a stage. Returns its exit code and message, and raises nothing."""
    try:
        return 0, work()
    except RefusalError as error:
        print(f"refused: {error}", file=sys.stderr)
        return _failed(error)
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr)
        return EXIT_ENGINE, _failure("EngineUnstable", str(error), "look at the engine's log; the Job is tried again")
    except Stopped:
        print("stopped by SIGTERM", file=sys.stderr)
        return EXIT_STOPPED, _failure("Stopped", "the worker was told to stop", "none: the Job goes on in another pod")
    except MemoryError as error:
        traceback.print_exc()
        return 137, _failure("OutOfMemory", f"the worker ran out of memory: {error}", "give the Job more memory")
    except BaseException as error:  # the last line of defence, SystemExit too: a Job without a message helps nobody
        traceback.print_exc()
        return _failed(error)


def _failed(error: BaseException) -> tuple[int, TerminationMessage]:
    """Exit code and message for an exception."""
    code, refusal = ended(error)
    return code, TerminationMessage(refusal=refusal)


def fitting(code: int, message: TerminationMessage, write: Callable[[str], None]) -> tuple[int, TerminationMessage]:
    """The exit code, and a message that fits. A result that is too long even if packed goes to the log, by write.

    A result that is too long for the log as well becomes a refusal, because a truncated result is useless.
    """
    whole = _json(message)
    packed = len(whole.encode()) <= UNPACKED_LIMIT and len(message.text().encode()) <= TERMINATION_LIMIT
    if message.refusal is not None or packed:
        return code, message
    if len(whole.encode()) <= LOGGED_LIMIT:
        logged, lines = split(whole)
        for line in lines:
            write(line)
        return code, TerminationMessage(logged=logged)
    refusal = Refusal(
        reason="ResultTooLong",
        message=f"the result takes {len(whole.encode())} bytes, and the operator can be told {LOGGED_LIMIT}",
        action="use fewer datasets and suites, or shorter names for them",
    )
    return EXIT_REFUSED, TerminationMessage(refusal=refusal)


def write_termination(message: TerminationMessage, path: Path) -> None:
    """Write at most 4 KB: a longer result is packed; a longer refusal is shortened, so that people can read it."""
    text, limit = _json(message) if message.refusal is not None else message.text(), TERMINATION_LIMIT
    while len(text.encode()) > TERMINATION_LIMIT and message.refusal is not None:
        limit //= 2
        shorter = {"message": cut(message.refusal.message, limit), "action": cut(message.refusal.action, limit // 2)}
        text = _json(TerminationMessage(refusal=message.refusal.model_copy(update=shorter)))
    path.write_text(text, encoding="utf-8")


def main(document_path: Path = Path(DOCUMENT_PATH), termination_path: Path = Path(TERMINATION_PATH)) -> int:
    """Run the document's stage. Returns the exit code."""
    signal.signal(signal.SIGTERM, stop)
    ended = outcome(lambda: run_stage(read_document(document_path)))
    # A SIGTERM from here on must not keep the result from being written.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code, message = fitting(*ended, write_line)
    write_termination(message, termination_path)
    return code


def _json(message: TerminationMessage) -> str:
    return message.model_dump_json(by_alias=True, exclude_none=True)


def _failure(reason: str, message: str, action: str) -> TerminationMessage:
    return TerminationMessage(refusal=Refusal(reason=reason, message=cut(message, 2000), action=cut(action, 500)))


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of quantizers and of the engines' clients must not keep a finished pod alive.
    os._exit(exit_code)
