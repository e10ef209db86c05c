"""Seconds and CPU seconds of the parts of a program: functions are replaced by themselves with a clock around them."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

MARKS = Path("/lowbit/scratch/marks.json")
seconds: dict[str, float] = defaultdict(float)
cpu_seconds: dict[str, float] = defaultdict(float)


class part:  # noqa: N801 - it reads as a statement
    """with part("name"): its seconds are added under the name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.begin, self.cpu = time.monotonic(), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds[self.name] += time.monotonic() - self.begin
        cpu_seconds[self.name] += time.process_time() - self.cpu


def clock(place: Any, function: str, name: str) -> None:
    """place.function, timed under the name."""
    real = getattr(place, function)

    @functools.wraps(real)
    def timed(*arguments: Any, **named: Any) -> Any:
        with part(name):
            return real(*arguments, **named)

    @functools.wraps(real)
    async def timed_too(*arguments: Any, **named: Any) -> Any:
        with part(name):
            return await real(*arguments, **named)

    setattr(place, function, timed_too if asyncio.iscoroutinefunction(real) else timed)


def write() -> None:
    """What was timed."""
    MARKS.write_text(json.dumps({"parts": seconds, "cpu_parts": cpu_seconds}))
