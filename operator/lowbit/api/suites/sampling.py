"""How answers of a suite are drawn."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import DecimalString, Wire


class SuiteSampling(Wire):
    """How answers are drawn by chance. What is left out is what serving gives a client that does not ask for it: the
    engine's default, which a model's generation_config.json may set."""

    temperature: DecimalString | None = None
    """How much chance there is; "0" is none."""
    top_p: DecimalString | None = None
    """Share of the probability that tokens are drawn from."""
    top_k: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many of the likeliest tokens are drawn from."""
    repetition_penalty: DecimalString | None = None
    """Above 1: tokens that were said are less likely."""
