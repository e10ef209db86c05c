"""What vLLM answers, as bytes of somebody's: read up to a limit, and as what it should be or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from lowbit.worker.engines.base import Answer, Decoded, Logprobs
from lowbit.worker.refuse import EngineError

UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError)
"""What parsing somebody's bytes may raise."""
START_TIME = "process_start_time_seconds"
PROMPT_TOKENS = "vllm:prompt_tokens"


@dataclass(frozen=True)
class Process:
    """Tells one run of the engine's process from the next."""

    started: float | None
    """Seconds since the epoch; None if the engine does not say."""
    prompt_tokens: float
    """Prompt tokens so far: a counter, which only falls when the engine restarts."""


async def take(content: aiohttp.StreamReader, limit: int) -> bytes:
    """The whole content, or a little more than limit bytes of it."""
    parts, size = [], 0
    async for part in content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return b"".join(parts)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise EngineError where the engine's own bytes cannot be read as what they should be."""
    try:
        yield
    except UNREADABLE as error:
        words = " ".join(str(error).split())[:200]
        raise EngineError(f"the engine's {what} cannot be read: {type(error).__name__}: {words}") from error


def parse_logprobs(entry: Any) -> Logprobs:
    """Of one position. Raises EngineError if they cannot be parsed."""
    with readable("logprobs"):
        return {
            int(token): float(value["logprob"] if isinstance(value, Mapping) else value)
            for token, value in (entry or {}).items()
        }


def parse_answer(choice: Mapping[str, Any]) -> Answer | None:
    """Token ids and logprobs of a choice; None if the engine does not return both."""
    listed = choice.get("logprobs") or {}
    logprobs = listed.get("token_logprobs")
    ids = choice.get("token_ids") or [_token_id(text) for text in listed.get("tokens") or []]
    if not logprobs or len(ids) != len(logprobs) or None in ids or None in logprobs:
        return None
    return Answer([int(token) for token in ids], [float(value) for value in logprobs])


def parse_decoded(choice: Mapping[str, Any]) -> Decoded | None:
    """Token ids of a choice and the likeliest tokens at each; None if the engine does not return both, all finite."""
    answer = parse_answer(choice)
    listed = (choice.get("logprobs") or {}).get("top_logprobs")
    if answer is None or not listed or len(listed) != len(answer.tokens):
        return None
    found = []
    for token, own, entry in zip(answer.tokens, answer.logprobs, listed, strict=True):
        likely = {_token_id(text): float(value) for text, value in (entry or {}).items()} | {token: own}
        if None in likely or not all(map(isfinite, likely.values())):
            return None
        found.append({known: value for known, value in likely.items() if known is not None})
    return Decoded(answer.tokens, found)


def _token_id(text: str) -> int | None:
    digits = text.removeprefix("token_id:")
    return int(digits) if digits != text and digits.isdigit() else None


def parse_process(text: str) -> Process:
    """From the text of /metrics. Several API processes give no start time; the counter still tells."""
    started: float | None = None
    prompt_tokens = 0.0
    with readable("metrics"):
        for sample in (each for family in text_string_to_metric_families(text) for each in family.samples):
            if sample.name == START_TIME:
                started = float(sample.value)
            elif sample.name.removesuffix("_total") == PROMPT_TOKENS:
                prompt_tokens += float(sample.value)
    return Process(started, prompt_tokens)
