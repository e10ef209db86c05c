"""Speed in the serving engine: one request after another, then many at once. Reported only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lowbit.api.evaluation import SpeedMeasurement
from lowbit.api.status import SpeedSummary
from lowbit.worker.engines.base import EngineClient, Streamed
from lowbit.worker.progress import Progress
from lowbit.worker.together import together

ONE_BY_ONE = 8
"""Requests that are sent one after another, at most."""


def fit(speed: SpeedMeasurement, max_model_len: int | None) -> SpeedMeasurement:
    """The same measurement, with prompt and answer cut to what the engine takes."""
    if max_model_len is None or speed.prompt_tokens + speed.output_tokens <= max_model_len:
        return speed
    output = max(2, min(speed.output_tokens, max_model_len // 2))
    prompt = max(1, min(speed.prompt_tokens, max_model_len - output))
    return SpeedMeasurement(requests=speed.requests, prompt_tokens=prompt, output_tokens=output)


def make_prompts(texts: Sequence[Sequence[int]], count: int, length: int) -> list[list[int]]:
    """count prompts of length tokens, cut from the concatenated texts, which repeat if they are too short."""
    tokens = [token for text in texts for token in text]
    # One token further each time, so that prompts differ even where the texts are fewer than the prompts.
    return [[tokens[(i * (length + 1) + j) % len(tokens)] for j in range(length)] for i in range(count)]


async def measure(
    client: EngineClient, texts: Sequence[Sequence[int]], speed: SpeedMeasurement, progress: Progress
) -> list[SpeedSummary]:
    """Speed with one request at a time, and with speed.requests at once. Raises EngineError."""
    alone = min(ONE_BY_ONE, speed.requests)
    prompts = make_prompts(texts, speed.requests, speed.prompt_tokens)
    await client.stream(prompts[0], speed.output_tokens)  # the first answer of a shape may compile kernels
    begin = client.clock()
    answers = []
    for number, prompt in enumerate(prompts[:alone]):
        answers.append(await client.stream(prompt, speed.output_tokens))
        progress.report(0.6 * (number + 1) / alone, f"speed: {number + 1} of {alone} requests one after another")
    results = [summarize(1, answers, client.clock() - begin)]
    if speed.requests > 1:
        progress.report(0.6, f"speed: {speed.requests} requests at once")
        begin = client.clock()
        answers = await together(client.stream(prompt, speed.output_tokens) for prompt in prompts)
        results.append(summarize(speed.requests, answers, client.clock() - begin))
    progress.report(1.0, "speed is measured")
    return results


def summarize(concurrency: int, answers: Sequence[Streamed], seconds: float) -> SpeedSummary:
    """Summary of the answers. seconds: from the first request's start to the last one's end."""
    return SpeedSummary(
        concurrency=concurrency,
        tokens_per_second=f"{sum(answer.tokens for answer in answers) / max(seconds, 1e-9):.1f}",
        time_to_first_token_seconds=f"{median(answer.first_token_seconds for answer in answers):.4f}",
    )
