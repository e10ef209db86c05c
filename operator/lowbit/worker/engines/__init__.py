"""Clients of engines, by engine name. Every measurement goes through them."""

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
"""Makes a client from the served model's name, the engine's URL and a clock. The client lives as long as the block."""

CLIENTS: Mapping[str, Connect] = {"vllm": connect_vllm}
