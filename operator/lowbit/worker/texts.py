"""Held-out texts as token ids, by the original's tokenizer and chat template.

The engine that serves the original is asked for them: they are then the ids that serving would make of the same texts,
and the evaluator needs no tokenizer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lowbit.api.evaluation import ResolvedSuite
from lowbit.worker.datasets import Record, bad_line, read_dataset
from lowbit.worker.engines.vllm import CONCURRENCY, BadRequestError, EngineClient
from lowbit.worker.refuse import RefusalError
from lowbit.worker.together import together

LEAST_TOKENS = 2
"""The first token has no logprob: a text of one token measures nothing."""


async def tokenize_suite(
    client: EngineClient, suite: ResolvedSuite, dataset: Path, longest: int | None
) -> list[list[int]]:
    """The token ids of a suite's first texts, each cut at maxTokens (and at what the engine takes, longest tokens).

    Texts of fewer than two tokens are left out. Raises EngineError, and RefusalError where fewer than two texts are left.
    """
    what = f"the dataset of suite {suite.name}"
    limit = suite.max_tokens if longest is None else min(suite.max_tokens, longest)
    samples: list[list[int]] = []
    records = read_dataset(dataset, suite.format, what)
    for start in range(0, len(records), CONCURRENCY):
        samples += await _tokenize(client, what, records[start : start + CONCURRENCY], limit)
        if len(samples) >= suite.samples:
            break
    if len(samples) < 2:
        raise RefusalError(
            "TooFewTexts",
            f"suite {suite.name} has {len(samples)} texts of at least {LEAST_TOKENS} tokens, and needs two",
            "give the suite a dataset with more, longer texts",
        )
    return samples[: suite.samples]


async def _tokenize(client: EngineClient, what: str, records: Sequence[Record], limit: int) -> list[list[int]]:
    """The token ids of those records that are long enough, cut at limit."""
    answers = await together(_token_ids(client, what, record) for record in records)
    return [ids[:limit] for ids in answers if len(ids[:limit]) >= LEAST_TOKENS]


async def _token_ids(client: EngineClient, what: str, record: Record) -> list[int]:
    """A chat goes through the model's template, which brings its own special tokens."""
    try:
        if record.messages is None:
            return await client.tokenize({"prompt": record.text or "", "add_special_tokens": True})
        return await client.tokenize(
            {"messages": list(record.messages), "add_generation_prompt": False, "add_special_tokens": False}
        )
    except BadRequestError as error:
        raise bad_line(
            what,
            record.line,
            f"the engine refuses it: {error}",
            "use roles in the order that the model's chat template knows; a model without a template takes texts "
            "(a field `text` per line) in place of chats",
        ) from error
