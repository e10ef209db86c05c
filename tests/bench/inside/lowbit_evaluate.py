"""python -m lowbit.worker as in an evaluate Job, with a clock around its parts.

With BENCH_REQUESTS every request to the engine is written to that file: a list of phases, each with its requests and
how many of them may be under way at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.bench.inside import marks

with marks.part("imports"):
    from lowbit.worker import __main__ as worker
    from lowbit.worker.engines.base import CONCURRENCY
    from lowbit.worker.engines.vllm import VLLMClient
    from lowbit.worker.evaluate import decoding, evaluate, speed
    from lowbit.worker.suites import fidelity

requests: list[dict[str, Any]] = []
phase = ["start"]
real_body, real_one = VLLMClient._body, decoding._one


def body(self: VLLMClient, *arguments: Any) -> dict[str, Any]:
    made = real_body(self, *arguments)
    requests.append({"phase": phase[0], "body": made})
    return made


def named(place: Any, function: str, name: str) -> None:
    """The requests of a function belong to a phase."""
    real = getattr(place, function)

    async def entered(*arguments: Any, **keywords: Any) -> Any:
        phase[0] = name
        return await real(*arguments, **keywords)

    setattr(place, function, entered)


def phases() -> list[dict[str, Any]]:
    """As the bare loop repeats them: generating has two steps each, speed goes one by one and then together."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for each in requests:
        by_name.setdefault(each["phase"], []).append(each["body"])
    generate, at_once = by_name["generate"], by_name["speed"]
    half = len(generate) // 2
    alone = 1 + min(speed.ONE_BY_ONE, len(at_once) - 1 - speed.ONE_BY_ONE)
    return [
        {"name": "start", "concurrency": 1, "requests": by_name["start"]},
        {"name": "read the texts", "concurrency": CONCURRENCY, "requests": by_name["read"]},
        {"name": "generate", "concurrency": half, "requests": generate[:half]},
        {"name": "generate", "concurrency": half, "requests": generate[half:]},
        {"name": "speed", "concurrency": 1, "requests": at_once[:alone]},
        {"name": "speed", "concurrency": len(at_once) - alone, "requests": at_once[alone:]},
    ]


named(fidelity, "read_all", "read")
named(decoding, "generate", "generate")
named(speed, "measure", "speed")
marks.clock(VLLMClient, "wait_ready", "start")
marks.clock(fidelity, "read_all", "read the texts")
marks.clock(decoding, "generate", "generate")
marks.clock(speed, "measure", "speed")
marks.clock(fidelity, "tokenize", "tokenizing")
marks.clock(evaluate, "load_baseline", "baseline's results")
marks.clock(evaluate, "write", "scores, report, results")
if "BENCH_REQUESTS" in os.environ:
    VLLMClient._body = body  # type: ignore[method-assign, assignment]
code = worker.main(termination_path=Path("/lowbit/scratch/termination.json"))
if path := os.environ.get("BENCH_REQUESTS"):
    Path(path).write_text(json.dumps(phases()))
marks.write()
sys.exit(code)
