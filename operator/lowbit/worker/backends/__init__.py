"""Backends, which make the artifacts, by recipe name."""

from __future__ import annotations

from collections.abc import Mapping

from lowbit.worker.backends.awq import AWQBackend
from lowbit.worker.backends.base import Backend, Work
from lowbit.worker.backends.gptq import GPTQBackend

__all__ = ["BACKENDS", "Backend", "Work"]

BACKENDS: Mapping[str, Backend] = {"gptq": GPTQBackend(), "awq": AWQBackend()}
