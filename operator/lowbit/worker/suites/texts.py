"""Held-out texts as token ids, by the original's tokenizer and chat template.

The engine that serves the original makes them. So they are the ids that serving would make of the same texts, and the
evaluator needs no tokenizer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import DatasetFormat
from lowbit.worker.data.datasets import Record, bad_line, read_dataset
from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient
from lowbit.worker.together import together

LEAST_TOKENS = 2
"""The first token has no logprob: a text of one token measures nothing."""


@dataclass(frozen=True)
class Texts:
    """A dataset to be read."""

    what: str
    """Its name in messages."""
    path: Path
    format: DatasetFormat


async def tokenize(client: EngineClient, texts: Texts, count: int, limit: int) -> list[list[int]]:
    """The token ids of the first texts, at most count, each cut at limit tokens.

    Texts of fewer than two tokens are left out. Raises EngineError.
    """
    samples: list[list[int]] = []
    records = read_dataset(texts.path, texts.format, texts.what)
    for start in range(0, len(records), CONCURRENCY):
        samples += await _tokenize(client, texts.what, records[start : start + CONCURRENCY], limit)
        if len(samples) >= count:
            break
    return samples[:count]


async def _tokenize(client: EngineClient, what: str, records: Sequence[Record], limit: int) -> list[list[int]]:
    """Token ids of the records that are long enough, cut at limit."""
    answers = await together(_token_ids(client, what, record) for record in records)
    return [ids[:limit] for ids in answers if len(ids[:limit]) >= LEAST_TOKENS]


async def _token_ids(client: EngineClient, what: str, record: Record) -> list[int]:
    """Token ids of a record. A chat goes through the model's template."""
    try:
        if record.messages is None:
            return await client.tokenize_text(record.text or "")
        return await client.tokenize_chat(record.messages)
    except BadRequestError as error:
        raise bad_line(
            what,
            record.line,
            f"the engine refuses it: {error}",
            "use roles in the order that the model's chat template knows; a model without a template takes texts "
            "(a field `text` per line) in place of chats",
        ) from error
