"""Clients of engines, by the engine's name: what asks an engine everything that is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from lowbit.worker.engines.vllm import ENGINE_URL, UNKNOWN_VERSION, EngineClient
from lowbit.worker.engines.vllm import connect as connect_vllm

__all__ = ["CLIENTS", "ENGINE_URL", "UNKNOWN_VERSION", "Connect", "EngineClient"]

Connect = Callable[[str, str, Callable[[], float]], AbstractAsyncContextManager[EngineClient]]
"""From the served model's name, the engine's URL and a clock to a client that lives as long as the block."""

CLIENTS: Mapping[str, Connect] = {"vllm": connect_vllm}
