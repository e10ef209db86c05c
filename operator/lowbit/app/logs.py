"""Structured logs: one JSON object a line, naming the object that it is about."""

from __future__ import annotations

import logging
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from lowbit.effects.words import about as object_of
from lowbit.observe.keys import Key

QUIET = ("kopf", "asyncio", "aiohttp.access", "aiohttp")
"""Loggers whose information we log in our own words, or which is not worth a line each."""


def set_up_logging(level: str, form: str) -> None:
    """Send all logs to standard error, as JSON or as text."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        renamed = {"timestamp": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(
            JsonFormatter("{levelname}{name}{message}", style="{", timestamp=True, rename_fields=renamed)
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def about(key: Key, **more: Any) -> dict[str, Any]:
    """The `extra` of a log line about one object."""
    return {**object_of(key), **more}
