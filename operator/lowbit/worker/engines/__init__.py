"""Clients of engines, by the engine's name: what asks an engine everything that is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from lowbit.worker.engines.vllm import (
    CONCURRENCY,
    ENGINE_URL,
    UNKNOWN_VERSION,
    BadRequestError,
    EngineClient,
    Streamed,
    pairs_of,
)
from lowbit.worker.engines.vllm import connect as connect_vllm

__all__ = [
    "CLIENTS",
    "CONCURRENCY",
    "ENGINE_URL",
    "UNKNOWN_VERSION",
    "BadRequestError",
    "Connect",
    "EngineClient",
    "Streamed",
    "pairs_of",
]

Connect = Callable[[str, str, Callable[[], float]], AbstractAsyncContextManager[EngineClient]]
"""From the served model's name, the engine's URL and a clock to a client that lives as long as the block."""

CLIENTS: Mapping[str, Connect] = {"vllm": connect_vllm}
