"""Clients of engines, by engine name. Every measurement goes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from lowbit.worker.engines import vllm
from lowbit.worker.engines.base import EngineClient

Connect = Callable[..., AbstractAsyncContextManager[EngineClient]]
"""Makes a client from the served model's name, the engine's URL, a clock and, by keyword, a token that a guard asks
for. The client lives as long as the block."""

CLIENTS: Mapping[str, Connect] = {"vllm": vllm.connect}
