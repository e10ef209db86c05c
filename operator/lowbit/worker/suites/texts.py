"""Held-out texts as token ids, by the original's tokenizer and chat template.

The engine that serves the original makes them. So they are the ids that serving would make of the same texts, and the
evaluator needs no tokenizer of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import DatasetFormat
from lowbit.worker.data.datasets import Record, bad_line, distinct, one_of_each_group, read_dataset
from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient
from lowbit.worker.together import together

LEAST_TOKENS = 17
"""The first token has no logprob, and a mean of fewer than 16 says little of a text."""


@dataclass(frozen=True)
class Texts:
    """A dataset to be read."""

    what: str
    """Its name in messages."""
    path: Path
    format: DatasetFormat
    seed: str
    """Decides which lines are drawn, and in which order."""


@dataclass(frozen=True)
class Drawn:
    """Texts by chance, no two of them equal, and what was left out of the dataset."""

    texts: list[list[int]]
    """Token ids."""
    lines: int
    """Of the dataset."""
    duplicates: int
    """Lines, or texts after they were cut, that are equal to another one."""
    short: int
    """Texts of fewer than LEAST_TOKENS tokens, among those that were tokenized."""
    grouped: int = 0
    """Lines of a group of which another one was taken: texts of one group are no independent samples."""


async def draw(client: EngineClient, texts: Texts, count: int, limit: int) -> Drawn:
    """Token ids of at most count texts, each cut at limit tokens.

    A shuffle with the seed decides, so that a sorted file gives no sorted sample. Raises EngineError.
    """
    records = read_dataset(texts.path, texts.format, texts.what)
    shuffled = distinct(records)
    random.Random(texts.seed).shuffle(shuffled)  # noqa: S311
    unlike = one_of_each_group(shuffled)
    found: dict[tuple[int, ...], list[int]] = {}
    tokenized = short = 0
    for start in range(0, len(unlike), CONCURRENCY):
        block = unlike[start : start + CONCURRENCY]
        for ids in await together(_token_ids(client, texts.what, record) for record in block):
            cut = ids[:limit]
            short += len(cut) < LEAST_TOKENS
            if len(cut) >= LEAST_TOKENS:
                found.setdefault(tuple(cut), cut)
        tokenized += len(block)
        if len(found) >= count:
            break
    duplicates = len(records) - len(shuffled) + tokenized - short - len(found)
    return Drawn(list(found.values())[:count], len(records), duplicates, short, len(shuffled) - len(unlike))


async def _token_ids(client: EngineClient, what: str, record: Record) -> list[int]:
    """Token ids of a record. A chat goes through the model's template."""
    try:
        if record.messages is None:
            return await client.tokenize_text(record.text or "")
        return await client.tokenize_chat(record.messages, record.tools)
    except BadRequestError as error:
        raise bad_line(
            what,
            record.line,
            f"the engine refuses it: {error}",
            "use roles in the order that the model's chat template knows; a model without a template takes texts "
            "(a field `text` per line) in place of chats",
        ) from error
