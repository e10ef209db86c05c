"""A few prompts that every evaluation asks, as a client of serving asks them: are the answers sound?

Suites see what they score. Whether a model stops, loops or falls silent with the sampling that serving uses, and with a
prompt as long as the engine takes, is seen here. No gate asks for it, but nothing passes where the candidate is
implausibly worse than its original (gate/unsound.py).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from lowbit.api.base import Tolerant
from lowbit.api.status import Measurement
from lowbit.api.suites.health_metrics import HEALTH
from lowbit.gate.wording import number
from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient, Prompt, Reply, Sampling
from lowbit.worker.evaluate.health_answer import HealthAnswer
from lowbit.worker.suites import health
from lowbit.worker.suites.base import Section
from lowbit.worker.together import together

PROMPTS = Path(__file__).with_name("prompts.txt")
EACH = {"long": 3}
"""Prompts of a category; FEW of the others."""
FEW = 5
OUTPUT_TOKENS = {"long": 384, "context": 64}
"""By category; SHORT_TOKENS of the others."""
SHORT_TOKENS = 128
LONGEST = 32_768
"""Tokens of the longest prompt, even if the engine takes more: reading it costs time."""
PARTS = (0.25, 0.5, 1.0)
"""Lengths of the long prompts, as shares of the longest."""
SEED = 20_26
COLOURS = ("amber", "violet", "green", "silver", "brown", "white", "orange", "blue")


class Asked(Tolerant):
    """A prompt before it is asked."""

    id: str
    text: str
    category: str
    expected: str = ""


async def ask(client: EngineClient, longest: int | None) -> list[HealthAnswer]:
    """Answers to all prompts that fit into longest tokens with an answer, with the sampling of serving.

    Empty if the engine refuses them all. Raises EngineError.
    """
    short = short_prompts()
    found: list[HealthAnswer] = []
    for start in range(0, len(short), CONCURRENCY):
        block = await together(answer(client, each, longest) for each in short[start : start + CONCURRENCY])
        found += [one for one in block if one is not None]
    for each in await long_prompts(client, longest):
        # One by one: each may need all of the engine's memory.
        if (one := await answer(client, each, longest)) is not None:
            found.append(one)
    return found


async def answer(client: EngineClient, asked: Asked, longest: int | None) -> HealthAnswer | None:
    """The answer to one prompt; None if the engine refuses it, or if it leaves no room for an answer."""
    output = OUTPUT_TOKENS.get(asked.category, SHORT_TOKENS)
    try:
        prompt = await as_prompt(client, asked.text)
        read = len(await client.tokenize_prompt(prompt))
        room = output if longest is None else min(output, longest - read)
        if room < 1:
            return None
        reply = await client.answer(prompt, Sampling.of_serving(room, SEED))
    except BadRequestError:
        return None
    shown = asked.text if asked.category != "context" else f"{asked.text[:60]} ... {asked.text[-80:]}"
    return HealthAnswer(
        id=asked.id, prompt=shown, category=asked.category, text=reply.text, ended=reply.ended,
        prompt_tokens=reply.prompt_tokens, output_tokens=reply.output_tokens, expected=asked.expected,
    )  # fmt: skip


async def as_prompt(client: EngineClient, text: str) -> Prompt:
    """A chat, or a plain text for a model without a chat template."""
    chat = Prompt(messages=({"role": "user", "content": text},))
    try:
        await client.tokenize_prompt(chat)
    except BadRequestError:
        return Prompt(text=text)
    return chat


def short_prompts() -> list[Asked]:
    """Some prompts of every category, in the order of the file."""
    category = ""
    found: list[Asked] = []
    counts: dict[str, int] = {}
    for line in PROMPTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            category = line[2:]
        elif counts.get(category, 0) < EACH.get(category, FEW):
            counts[category] = counts.get(category, 0) + 1
            text = line.partition(" => ")[0]
            found.append(Asked(id=f"{category}-{counts[category]}", text=text, category=category))
    return found


async def long_prompts(client: EngineClient, longest: int | None) -> list[Asked]:
    """Prompts of PARTS of the longest length, each asking for something that stands in their middle."""
    if longest is None:
        return []
    most = min(longest, LONGEST) - SHORT_TOKENS
    sample = context(40, 0)
    try:
        each = len(await client.tokenize_prompt(await as_prompt(client, sample.text))) / 40
    except BadRequestError:
        return []
    counts = [int(0.95 * most * part / each) for part in PARTS]
    return [context(count, number + 1) for number, count in enumerate(counts) if count > len(COLOURS)]


def context(count: int, number: int) -> Asked:
    """A list of count lines that no other line repeats, and a question about one of them."""
    chance = random.Random(SEED + number)  # noqa: S311 - the same each time
    lines = [
        f"Box {n} is {chance.choice(COLOURS)} and holds {chance.randint(100, 999)} coins." for n in range(1, count + 1)
    ]
    asked = count // 2
    coins = lines[asked - 1].split()[-2]
    question = f"How many coins does box {asked} hold? Answer with the number only."
    text = "\n".join(["Here is a list of boxes.", *lines, question])
    return Asked(id=f"context-{number}", text=text, category="context", expected=coins)


def replies(answers: Sequence[HealthAnswer]) -> Mapping[str, list[Reply]]:
    """By the prompt's id."""
    return {one.id: [one.reply()] for one in answers}


def rows(answers: Sequence[HealthAnswer], original: Sequence[HealthAnswer]) -> list[Measurement]:
    """Shares of the answers with each sign; beside an original its own shares, and the length ratio.

    original: empty on a baseline.
    """
    own, before = replies(answers), replies(original)
    measured = health.rows(HEALTH, own, before or None)
    same = {key: each for key, each in before.items() if key in own}
    values = {row.metric: number(row.estimate) for row in health.rows(HEALTH, same, None) if row.estimate is not None}
    return [row.model_copy(update={"original": values.get(row.metric)}) for row in measured]


def sections(answers: Sequence[HealthAnswer], original: Sequence[HealthAnswer]) -> list[Section]:
    """What the report shows; nothing without answers."""
    if not answers:
        return []
    title = "Soundness of answers with the sampling of serving"
    whole = health.section(title, replies(answers), replies(original) or None)
    lengths = [one for one in answers if one.category == "context"]
    if not lengths:
        return [whole]
    before = {one.id: one for one in original}
    table = [
        (f"{one.prompt_tokens} tokens", found_it(before.get(one.id)), found_it(one)) if original
        else (f"{one.prompt_tokens} tokens", found_it(one))
        for one in lengths
    ]  # fmt: skip
    names = ("Original", "Candidate") if original else ("Original",)
    text = (
        "One number in a list has to be found again, up to the longest prompt that the engine takes. One prompt each: "
        "a hint, no measurement."
    )
    return [whole, Section("Long prompts", text, header=("Prompt", *names), rows=table)]


def found_it(answer: HealthAnswer | None) -> str:
    """Whether an answer has what it should have, and what is wrong with it."""
    if answer is None:
        return "–"
    signs = health.signs(answer.reply())
    wrong = [] if answer.category == "context" and signs.truncated else signs.words
    return ", ".join(["found" if answer.expected in answer.text else "not found", *wrong])
