"""The floor: how far the original is from itself, when it reads the same texts again.

In a batching engine temperature 0 is not deterministic: other sums come out where a text shares its batch with others.
So the original reads all texts a second time, in the reverse order and with fewer requests at once, and its two
readings are compared like two models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from lowbit.api.status import Measurement
from lowbit.api.suites.fidelity_metrics import KL_FLOOR, KL_TO_FLOOR
from lowbit.worker.engines.base import CONCURRENCY, EngineClient
from lowbit.worker.suites import scoring
from lowbit.worker.suites.base import Section
from lowbit.worker.suites.measurement import measurement
from lowbit.worker.suites.reading import Step, parse
from lowbit.worker.suites.scoring import Floats, Lists
from lowbit.worker.together import together

AT_ONCE = CONCURRENCY // 4
"""Requests at once in the second reading: other batches than in the first."""


async def read_again(
    client: EngineClient, texts: Sequence[list[int]], first: Sequence[Lists], top: int, step: Step
) -> Floats:
    """[positions]: divergence of the second reading from the first, text after text; exactly 0 where all is equal.

    The second reading's lists are dropped at once, so that they need no memory. Raises EngineError.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Floats:
        async with gate:
            positions = await client.prompt_logprobs(texts[number], top)
        found = distance(first[number], parse(texts[number], positions, top), top)
        step()
        return found

    found = await together(one(number) for number in reversed(range(len(texts))))
    return np.concatenate(found[::-1])


def distance(first: Lists, second: Lists, top: int) -> Floats:
    """[positions]: divergence of one reading from another; NaN where one is not finite."""
    same = (first.ids == second.ids).all(axis=1) & (first.logprobs == second.logprobs).all(axis=1)
    apart = np.where(same, 0.0, scoring.compare(first, second, top).kl_divergence)
    return np.where(np.isfinite(first.token_logprobs + second.token_logprobs), apart, np.nan)


def rows(suite: str, floors: Floats | None, divergences: Floats | None) -> list[Measurement]:
    """The floor, and how many times farther the candidate is; without the latter where the floor is 0.

    floors, divergences: [groups]; None where the original was read once, or is not compared.
    """
    if floors is None or not np.isfinite(floors).all():
        return []
    found = [measurement(suite, KL_FLOOR, scoring.mean(floors))]
    if divergences is not None and floors.mean() > 0:
        found.append(measurement(suite, KL_TO_FLOOR, scoring.ratio(divergences, floors)))
    return found


def section(suite: str, floors: Floats | None) -> Section:
    """The floor, in words."""
    if floors is None:
        said = "The original's samples are of an older Lowbit, which read the texts once: there is no floor."
    elif not np.isfinite(floors).all():
        said = "In its second reading the original gave numbers that are not finite: there is no floor."
    elif floors.mean() == 0:
        said = (
            "The floor is 0: in another order, and with fewer requests at once, the engine gave the original's very "
            "numbers again. So all that is measured is the candidate's, and there is no ratio to the floor."
        )
    else:
        said = (
            f"The floor is {floors.mean():.3g} nats: so far is the original from itself, when it reads the same texts "
            "in another order and with fewer requests at once. A divergence near it is noise."
        )
    return Section(f"Noise of the engine: {suite}", said)
