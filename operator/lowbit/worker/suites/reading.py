"""Lets the engine read token ids, many at once, and parses what it gives at each position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import isfinite

import numpy as np

from lowbit.worker.engines.base import CONCURRENCY, EngineClient, Logprobs
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import EngineError
from lowbit.worker.suites.scoring import NO_TOKEN, Floats, Integers, Lists
from lowbit.worker.together import together

Step = Callable[[], None]
"""Called when one more text is done."""


def counting(progress: Progress, what: str, count: int) -> Step:
    """Reports how many of count texts are done. what: the verb, such as "read"."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress.report(done / count, f"{what} {done} of {count} texts")

    return step


async def read_all(
    client: EngineClient, texts: Sequence[Sequence[int]], top: int, step: Step, at_once: int = CONCURRENCY
) -> list[Lists]:
    """The lists of each text. Raises EngineError."""
    gate = asyncio.Semaphore(at_once)

    async def read(text: Sequence[int]) -> Lists:
        async with gate:
            positions = await client.prompt_logprobs(text, top)
        lists = parse(text, positions, top)
        step()
        return lists

    return await together(read(text) for text in texts)


def parse(text: Sequence[int], positions: Sequence[Logprobs], top: int) -> Lists:
    """The lists of one text, from the logprobs at each token but the first; NaN where they are not finite.

    Raises EngineError if the token itself is not among them.
    """
    tokens, (ids, logprobs) = np.array(text[1:], dtype=np.int32), table(positions, top)
    token_logprobs = np.zeros(len(tokens), dtype=np.float32)
    for row, (token, likely) in enumerate(zip(text[1:], positions, strict=True)):
        if ids[row, 0] == NO_TOKEN:
            token_logprobs[row] = np.nan  # one that is not finite makes all of a softmax worthless
        elif token not in likely:
            raise EngineError(f"the engine did not say how likely token {row + 1} of a text was")
        else:
            token_logprobs[row] = likely[token]
    return Lists(ids, logprobs, tokens, token_logprobs)


def table(positions: Sequence[Logprobs], top: int) -> tuple[Integers, Floats]:
    """Token ids and logprobs [positions, top + 1], the likeliest first; a row is empty where one is not finite."""
    ids = np.full((len(positions), top + 1), NO_TOKEN, dtype=np.int32)
    logprobs = np.full((len(positions), top + 1), -np.inf, dtype=np.float32)
    for row, likely in enumerate(positions):
        if all(map(isfinite, likely.values())):
            pairs = sorted(likely.items(), key=lambda pair: (-pair[1], pair[0]))[: top + 1]
            ids[row, : len(pairs)] = [pair[0] for pair in pairs]
            logprobs[row, : len(pairs)] = [pair[1] for pair in pairs]
    return ids, logprobs


def join(lists: Sequence[Lists]) -> Lists:
    """One Lists of all texts, text after text."""
    return Lists(
        np.concatenate([one.ids for one in lists]),
        np.concatenate([one.logprobs for one in lists]),
        np.concatenate([one.tokens for one in lists]),
        np.concatenate([one.token_logprobs for one in lists]),
    )
