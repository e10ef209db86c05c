"""Clients of engines, by engine name. Every measurement goes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from lowbit.worker.engines.vllm import ENGINE_URL, UNKNOWN_VERSION, EngineClient
from lowbit.worker.engines.vllm import connect as connect_vllm

__all__ = ["CLIENTS", "ENGINE_URL", "UNKNOWN_VERSION", "Connect", "EngineClient"]

Connect = Callable[[str, str, Callable[[], float]], AbstractAsyncContextManager[EngineClient]]
"""Makes a client from the served model's name, the engine's URL and a clock. The client lives as long as the block."""

CLIENTS: Mapping[str, Connect] = {"vllm": connect_vllm}
