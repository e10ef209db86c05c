"""Answers of vLLM as a client of serving gets them: requests, replies, and how likely given answers are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import nan
from typing import Any, Final, Literal

from lowbit.worker.engines.base import Constraint, EngineClient, Prompt, Reply, Sampling, ToolCall
from lowbit.worker.engines.vllm_answers import readable
from lowbit.worker.refuse import EngineError
from lowbit.worker.together import together

CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/v1/completions"
ENDED: Final[Mapping[str, Literal["Stop", "Length", "ToolCalls"]]] = {
    "stop": "Stop", "length": "Length", "tool_calls": "ToolCalls", "function_call": "ToolCalls",
}  # fmt: skip
"""By vLLM's finish_reason. Others (abort, error) are no answer."""
TokenIds = Callable[[str], Awaitable[list[int]]]
"""Token ids of a text without special tokens."""


def asked_of(prompt: Prompt) -> dict[str, Any]:
    """The prompt, and the tools that it may call, as a request's fields."""
    if prompt.messages is None:
        return {"prompt": prompt.text or ""}
    messages = [dict(message) for message in prompt.messages]
    return {"messages": messages} | ({"tools": [dict(tool) for tool in prompt.tools]} if prompt.tools else {})


def request_body(prompt: Prompt, sampling: Sampling, constraint: Constraint | None) -> dict[str, Any]:
    """A request but for its model. What the sampling leaves open is left to the engine."""
    drawn = {
        "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty, "seed": sampling.seed,
    }  # fmt: skip
    body = {**asked_of(prompt), "max_tokens": sampling.output_tokens}
    body |= {name: value for name, value in drawn.items() if value is not None}
    return body if constraint is None else body | {"structured_outputs": allowed_by(constraint)}


def allowed_by(constraint: Constraint) -> dict[str, Any]:
    """The constraint as vLLM's structured_outputs, which replaced guided_choice, guided_regex and guided_json."""
    if constraint.choices:
        return {"choice": list(constraint.choices)}
    if constraint.pattern is not None:
        return {"regex": constraint.pattern}
    return {"json": dict(constraint.schema or {})}


def parse_reply(answer: Mapping[str, Any]) -> Reply:
    """The first choice of a completion, of a chat or of a text. Raises EngineError if there is none."""
    with readable("completion"):
        choice, usage = answer["choices"][0], answer["usage"]
        message = choice.get("message") or {"content": choice.get("text")}
        ended = ENDED.get(str(choice.get("finish_reason")))
        if ended is None:
            raise EngineError(f"the engine broke off an answer: {str(choice.get('finish_reason'))[:100]}")
        calls = tuple(parse_call(call) for call in message.get("tool_calls") or ())
        reasoning = _text(message.get("reasoning") or message.get("reasoning_content"))
        tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        return Reply(_text(message.get("content")), ended, *tokens, calls, reasoning)


def parse_call(call: Mapping[str, Any]) -> ToolCall:
    """One call of a tool. Raises what a wrong shape raises."""
    function = call["function"]
    return ToolCall(str(function["name"]), _text(function["arguments"]))


def _text(value: Any) -> str:
    """A text that is there, or none; without halves of characters. Raises TypeError for something else."""
    if value is None or isinstance(value, str):
        return (value or "").encode(errors="replace").decode()
    raise TypeError(f"a {type(value).__name__} instead of a text")


async def choose(client: EngineClient, prompt: Prompt, choices: Sequence[str], token_ids: TokenIds) -> list[float]:
    """Log probability of each choice after the prompt, in nats; NaN where a logprob is not finite.

    Of a chat, the token that ends the answer counts too: without it, "yes" would also be the beginning of "yes, but".
    """
    read = await client.tokenize_prompt(prompt)
    endings = [await _ids_after(client, prompt, read, choice, token_ids) for choice in choices]
    end = next((end for _, end in endings if end is not None), None)
    answers = [ids if end is None else [*ids, end] for ids, _ in endings]
    for choice, ids in zip(choices, answers, strict=True):
        if not ids:
            raise EngineError(f"the choice {choice!r} has no token")
    return await together(_logprob(client, read, ids) for ids in answers)


async def _ids_after(
    client: EngineClient, prompt: Prompt, read: list[int], choice: str, token_ids: TokenIds
) -> tuple[list[int], int | None]:
    """Token ids of a choice after a prompt, and the token that ends it; None if the template does not show it."""
    ids = await token_ids(choice)
    if prompt.messages is None:
        # A tokenizer may join the text's last characters with the choice's first; where it does, the seam stays.
        whole = await client.tokenize_text((prompt.text or "") + choice)
        return (whole[len(read) :] if whole[: len(read)] == read else ids), None
    said = [*prompt.messages, {"role": "assistant", "content": choice}]
    whole = await client.tokenize_chat(said, [dict(tool) for tool in prompt.tools] or None)
    rest = whole[len(read) + len(ids) :]
    return ids, rest[0] if rest and whole[: len(whole) - len(rest)] == [*read, *ids] else None


async def _logprob(client: EngineClient, read: Sequence[int], ids: Sequence[int]) -> float:
    positions = await client.prompt_logprobs([*read, *ids], 1)
    with readable("logprobs"):
        likely = positions[-len(ids) :]
        return sum(at.get(token, nan) for at, token in zip(likely, ids, strict=True))
