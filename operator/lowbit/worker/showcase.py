"""Asks a model the prompts of the showcase, and puts answers beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowbit.api.showcase import Showcase, ShowcaseAnswer, ShowcasePrompt
from lowbit.worker.engines.base import BadRequestError, EngineClient, Prompt, Sampling
from lowbit.worker.together import together

ABOUT = "Answers to the prompts of evaluation.showcase, as a client of serving gets them. They decide nothing."
SEED = 7
"""The same request twice, as far as an engine keeps to its seed."""


def asked(prompt: ShowcasePrompt) -> Prompt:
    """The prompt as an engine's client takes it."""
    if prompt.messages is None:
        return Prompt(text=prompt.text or "")
    return Prompt(messages=tuple({"role": each.role, "content": each.content} for each in prompt.messages))


def words(prompt: ShowcasePrompt) -> str:
    """The prompt, for people."""
    if prompt.messages is None:
        return prompt.text or ""
    return "\n".join(f"{each.role}: {each.content}" for each in prompt.messages)


async def ask_all(client: EngineClient, showcase: Showcase | None) -> list[ShowcaseAnswer]:
    """The answers in order, asked together. A request that is refused has a note in place of an answer.

    Raises EngineError if the engine drops a request.
    """
    if showcase is None:
        return []
    sampling = Sampling.of_serving(showcase.output_tokens, SEED)

    async def ask(prompt: ShowcasePrompt) -> ShowcaseAnswer:
        try:
            reply = await client.answer(asked(prompt), sampling)
        except BadRequestError as error:
            return ShowcaseAnswer(name=prompt.name, refused=str(error))
        return ShowcaseAnswer(name=prompt.name, text=reply.text, ended=reply.ended)

    return await together([ask(prompt) for prompt in showcase.prompts])


def header(columns: Mapping[str, Sequence[ShowcaseAnswer]]) -> list[str]:
    """Titles above rows()."""
    return ["", "prompt", *columns]


def rows(showcase: Showcase, columns: Mapping[str, Sequence[ShowcaseAnswer]]) -> list[list[str]]:
    """Answers side by side: a row for each prompt, a column for each model, by its title."""
    by_name = [{each.name: each for each in answers} for answers in columns.values()]
    return [
        [prompt.name, words(prompt), *(shown(column.get(prompt.name)) for column in by_name)]
        for prompt in showcase.prompts
    ]


def shown(answer: ShowcaseAnswer | None) -> str:
    """An answer, for people."""
    if answer is None:
        return "–"
    if answer.refused:
        return f"refused: {answer.refused}"
    return answer.text + (" … (cut off)" if answer.ended == "Length" else "")
