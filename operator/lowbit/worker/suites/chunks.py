"""Running text as chunks of token ids, article by article."""

from __future__ import annotations

import random
from dataclasses import dataclass

from lowbit.worker.data.datasets import Record, distinct, read_dataset
from lowbit.worker.engines.base import CONCURRENCY, EngineClient
from lowbit.worker.suites.texts import Texts, group_numbers, token_ids
from lowbit.worker.together import together

LEAST_TOKENS = 34
"""A chunk's second half is scored, and a mean of fewer than 16 tokens says little."""


@dataclass(frozen=True)
class Cut:
    """How running text is cut."""

    articles: int
    """The most that are read."""
    tokens: int
    """Of a chunk, the special ones before it among them."""
    chunks: int
    """The most of an article."""


@dataclass(frozen=True)
class Chunks:
    """Chunks of articles that were drawn by chance, and what was left out of the dataset."""

    chunks: list[list[int]]
    articles: list[int]
    """Number of each chunk's article, from 0."""
    known: int
    """Articles of the dataset."""
    short: int
    """Articles that were tokenized and have no chunk of LEAST_TOKENS tokens, or the same chunks as another."""


async def draw(client: EngineClient, texts: Texts, cut: Cut) -> Chunks:
    """Chunks of at most cut.articles articles. Equal lines count once; a shuffle with the seed decides.

    Raises EngineError.
    """
    articles = articles_of(distinct(read_dataset(texts.path, texts.format, texts.what)))
    random.Random(texts.seed).shuffle(articles)  # noqa: S311
    found: dict[tuple[tuple[int, ...], ...], list[list[int]]] = {}
    tokenized = 0
    for start in range(0, len(articles), CONCURRENCY):
        block = articles[start : start + CONCURRENCY]
        made = await together(_chunks(client, texts.what, article, cut) for article in block)
        tokenized += len(block)
        for chunks in made:
            found.setdefault(tuple(map(tuple, chunks)), chunks)
        if len(found) > cut.articles:
            break
    kept = [chunks for chunks in found.values() if chunks]
    drawn = kept[: cut.articles]
    numbers = [number for number, chunks in enumerate(drawn) for _ in chunks]
    return Chunks([each for chunks in drawn for each in chunks], numbers, len(articles), tokenized - len(kept))


def articles_of(records: list[Record]) -> list[list[Record]]:
    """The lines of each article, in the order of the dataset."""
    found: dict[int, list[Record]] = {}
    for number, record in zip(group_numbers(records), records, strict=True):
        found.setdefault(number, []).append(record)
    return list(found.values())


async def _chunks(client: EngineClient, what: str, article: list[Record], cut: Cut) -> list[list[int]]:
    """The first chunks of an article, each with the special tokens that begin a text."""
    whole = await token_ids(client, what, article[0])
    plain = await together(token_ids(client, what, record, special=False) for record in article)
    begin = beginning(whole, plain[0])
    # Chats have their own special tokens, and are read with them.
    tokens = [token for part in plain for token in part]
    size = max(1, cut.tokens - len(begin))
    starts = range(0, len(tokens), size)[: cut.chunks]
    chunks = [begin + tokens[start : start + size] for start in starts]
    return [chunk for chunk in chunks if len(chunk) >= LEAST_TOKENS]


def beginning(whole: list[int], plain: list[int]) -> list[int]:
    """The special tokens that a tokenizer puts before a text."""
    more = len(whole) - len(plain)
    return next((whole[:at] for at in range(more + 1) if whole[at : at + len(plain)] == plain), [])


def scored_from(length: int) -> int:
    """First position that is scored in a chunk of that length: its second half, as in llama-perplexity."""
    return length // 2
