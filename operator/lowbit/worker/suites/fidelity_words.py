"""What people see of the texts on which two models differ most: the worst token, and what each model expected there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from lowbit.worker.engines.base import EngineClient
from lowbit.worker.suites.base import ComparedSample
from lowbit.worker.suites.fidelity_rows import LENGTHS
from lowbit.worker.suites.fidelity_samples import SuiteSamples
from lowbit.worker.suites.scoring import Comparison, Floats, Integers, Lists, text_means
from lowbit.worker.together import together

SHOWN = 100
"""Texts with words, those that differ most; the others are listed with their numbers alone."""
BEFORE = 80
"""Tokens that are shown before the worst one."""
LONGEST = 1000
"""Characters of a text that are kept: a store is no place for whatever an engine may say."""
EXPECTED = 3
"""Likely tokens that are shown of each model."""


def identity(text: Sequence[int]) -> str:
    """The same in every run on the same tokens."""
    return hashlib.sha256(np.array(text, dtype=np.int32).tobytes()).hexdigest()[:12]


def worst_positions(values: Floats, lengths: Integers) -> list[int]:
    """Of each text the row of its largest value. values: [positions], of which lengths [texts] belong to each text."""
    starts = np.cumsum(lengths) - lengths
    return [int(start + values[start : start + length].argmax()) for start, length in zip(starts, lengths, strict=True)]


async def words_of(
    client: EngineClient, samples: SuiteSamples, original: SuiteSamples, comparison: Comparison
) -> dict[str, dict[str, str]]:
    """What people see of the texts that differ most, by the text's number, made by the engine's own tokenizer."""
    lengths = samples.lengths
    worst = worst_positions(comparison.kl_divergence, lengths)
    order = np.argsort(-text_means(comparison.kl_divergence, lengths), kind="stable")[:SHOWN].tolist()
    starts = (np.cumsum(lengths) - lengths).tolist()
    rows = {number: worst[number] for number in order}
    likely = {token for row in rows.values() for side in (original, samples) for token, _ in expected(side.lists, row)}
    said = dict(zip(sorted(likely), await texts_of(client, [[token] for token in sorted(likely)]), strict=True))
    ends = {number: row - starts[number] + 1 for number, row in rows.items()}
    prompts = await texts_of(client, [samples.texts[n][max(0, end - BEFORE) : end] for n, end in ends.items()])
    real = await texts_of(client, [[samples.texts[number][end]] for number, end in ends.items()])
    return {
        str(number): {
            "prompt": prompt,
            "original": likeliest(original.lists, rows[number], said),
            "candidate": likeliest(samples.lists, rows[number], said),
            "expected": came,
        }
        for number, prompt, came in zip(rows, prompts, real, strict=True)
    }


async def texts_of(client: EngineClient, tokens: Sequence[Sequence[int]], at_once: int = 8) -> list[str]:
    """The text of each list of token ids, its end if it is long."""
    gate = asyncio.Semaphore(at_once)

    async def one(ids: Sequence[int]) -> str:
        async with gate:
            return (await client.detokenize(ids))[-LONGEST:]

    return await together(one(ids) for ids in tokens)


def expected(lists: Lists, row: int) -> list[tuple[int, float]]:
    """The likeliest tokens at a position, with their probabilities."""
    ids, logprobs = lists.ids[row, :EXPECTED].tolist(), lists.logprobs[row, :EXPECTED].tolist()
    return [(token, float(np.exp(value))) for token, value in zip(ids, logprobs, strict=True) if token >= 0]


def likeliest(lists: Lists, row: int, said: Mapping[int, str]) -> str:
    """In words: "Paris" 0.91, "London" 0.03."""
    return ", ".join(f'"{said[token]}" {share:.2g}' for token, share in expected(lists, row))


def compared(samples: SuiteSamples, comparison: Comparison) -> list[ComparedSample]:
    """Every text, the worst first."""
    lengths = samples.lengths
    divergences, agreements = (text_means(x, lengths) for x in (comparison.kl_divergence, comparison.agreement))
    worst, starts = worst_positions(comparison.kl_divergence, lengths), np.cumsum(lengths) - lengths
    found = []
    for number in np.argsort(-divergences, kind="stable").tolist():
        words = samples.words.get(str(number), {})
        at, most = worst[number] - int(starts[number]) + 1, comparison.kl_divergence[worst[number]]
        found.append(
            ComparedSample(
                id=identity(samples.texts[number]),
                prompt=words.get("prompt", ""),
                original=words.get("original", ""),
                candidate=words.get("candidate", ""),
                expected=words.get("expected", ""),
                slice=slice_of(int(lengths[number]), int(samples.units.turns[number])),
                score=float(divergences[number]),
                note=f"{divergences[number]:.3g} nats a token, {100 * agreements[number]:.0f} % agree; worst at token "
                f"{at} of {int(lengths[number])}: {most:.3g} nats",
            )
        )
    return found


def slice_of(length: int, turns: int) -> str:
    """The longest slice that a text reaches, and for a chat its turns."""
    reached = [name for name, least in LENGTHS if length > least][-1]
    return reached if turns == 0 else f"{reached}, {'MultiTurn' if turns > 1 else 'SingleTurn'}"
