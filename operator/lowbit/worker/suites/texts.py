"""Held-out texts as token ids, by the original's tokenizer and chat template.

The engine that serves the original makes them. So they are the ids that serving would make of the same texts, and the
evaluator needs no tokenizer of its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import DatasetFormat
from lowbit.worker.data.datasets import Record, bad_line, distinct, read_dataset
from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient
from lowbit.worker.refuse import RefusalError
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
    records: list[Record]
    """The line of each text."""
    lines: int
    """Of the dataset."""
    duplicates: int
    """Lines, or texts after they were cut, that are equal to another one."""
    short: int
    """Texts of fewer than LEAST_TOKENS tokens, among those that were tokenized."""


async def draw(client: EngineClient, texts: Texts, count: int, limit: int) -> Drawn:
    """Token ids of at most count texts, each cut at limit tokens.

    A shuffle with the seed decides, so that a sorted file gives no sorted sample. Raises EngineError.
    """
    records = read_dataset(texts.path, texts.format, texts.what)
    unlike = distinct(records)
    random.Random(texts.seed).shuffle(unlike)  # noqa: S311
    found: dict[tuple[int, ...], tuple[list[int], Record]] = {}
    tokenized = short = 0
    for start in range(0, len(unlike), CONCURRENCY):
        block = unlike[start : start + CONCURRENCY]
        tokens = await together(token_ids(client, texts.what, record) for record in block)
        for record, ids in zip(block, tokens, strict=True):
            cut = ids[:limit]
            short += len(cut) < LEAST_TOKENS
            if len(cut) >= LEAST_TOKENS:
                found.setdefault(tuple(cut), (cut, record))
        tokenized += len(block)
        if len(found) >= count:
            break
    duplicates = len(records) - len(unlike) + tokenized - short - len(found)
    drawn = list(found.values())[:count]
    return Drawn([ids for ids, _ in drawn], [record for _, record in drawn], len(records), duplicates, short)


async def token_ids(client: EngineClient, what: str, record: Record, special: bool = True) -> list[int]:
    """Token ids of a record. A chat goes through the model's template. special: with a text's special tokens."""
    try:
        if record.messages is None:
            return await client.tokenize_text(record.text or "", special)
        return await client.tokenize_chat(record.messages, record.tools)
    except BadRequestError as error:
        raise refused(what, record, error) from error


async def prompt_ids(client: EngineClient, what: str, record: Record, ids: list[int], limit: int) -> list[int]:
    """Token ids of what an answer may follow, at most limit: a chat up to its last answer, or the first half of ids."""
    messages = list(record.messages or ())
    while messages and messages[-1].get("role") == "assistant":
        messages.pop()
    if not messages:
        return ids[: max(1, min(limit, len(ids) // 2))]
    try:
        return (await client.tokenize_chat(messages, record.tools, answer=True))[:limit]
    except BadRequestError as error:
        raise refused(what, record, error) from error


def refused(what: str, record: Record, error: BadRequestError) -> RefusalError:
    """The refusal of a line that the engine does not take."""
    return bad_line(
        what,
        record.line,
        f"the engine refuses it: {error}",
        "use roles in the order that the model's chat template knows; a model without a template takes texts "
        "(a field `text` per line) in place of chats",
    )


def group_numbers(records: Sequence[Record]) -> list[int]:
    """Number of each record's group, in the order of their first records; a record without a group is one itself."""
    known: dict[str | int, int] = {}
    return [known.setdefault(record.group or place, len(known)) for place, record in enumerate(records)]


def turns_of(record: Record) -> int:
    """How often a user speaks in a chat; 0 for a text."""
    return sum(message.get("role") == "user" for message in record.messages or ())
