"""Attempts in processes of their own, forked after the slow imports: whatever one breaks, the next starts clean."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

SECONDS = 420
MARK = "matrix: "
"""Begins the line with the result: libraries print what they like around it."""


def each(names: Sequence[str], attempt: Callable[[str], None]) -> None:
    """Make each attempt, and print one line of JSON with all results: {name: {"ok": true}}, or why not."""
    found = {name: _one(name, attempt) for name in names}
    print("\n" + MARK + json.dumps(found), flush=True)  # a bar may have left its line open


def _one(name: str, attempt: Callable[[str], None]) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, attempt, theirs))
    process.start()
    theirs.close()
    ended: dict[str, Any] = {"ok": False, "why": f"not done after {SECONDS} seconds"}
    try:
        if ours.poll(SECONDS):
            ended = ours.recv()
    except EOFError:
        process.join(10)
        ended = {"ok": False, "why": f"the process ended with {process.exitcode}"}
    process.kill()
    process.join()
    return ended


def _child(name: str, attempt: Callable[[str], None], pipe: Connection) -> None:
    print(f"--- {name}", flush=True)
    try:
        attempt(name)
        pipe.send({"ok": True})
    except BaseException as error:  # whatever it is that breaks, the table says so
        traceback.print_exc()
        pipe.send({"ok": False, "why": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of quantizer and engine would keep it alive
