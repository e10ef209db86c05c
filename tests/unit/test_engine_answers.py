"""What a client of serving would ask, and how an engine's answer is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isnan
from typing import Any

import numpy as np
import pytest

from lowbit.worker.engines.base import BadRequestError, Constraint, EngineClient, Prompt, Sampling, ToolCall
from lowbit.worker.engines.vllm import connect
from lowbit.worker.refuse import EngineError
from tests.unit.evaluation_bench import ORIGINAL
from tests.unit.fake_engine import END, MODEL, FakeEngine, serve

CHAT = Prompt(messages=({"role": "user", "content": "w1 w2"},))
GREEDY = Sampling(8)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@asynccontextmanager
async def asking(engine: FakeEngine) -> AsyncIterator[EngineClient]:
    """A client of the engine."""
    async with serve(engine) as url, connect(MODEL, url) as client:
        yield client


async def asked(
    say: Any, prompt: Prompt = CHAT, sampling: Sampling = GREEDY, **more: Any
) -> tuple[Any, dict[str, Any]]:
    """The reply, and the request."""
    engine = FakeEngine(ORIGINAL, say=lambda _: say)
    async with asking(engine) as client:
        reply = await client.answer(prompt, sampling, **more)
    return reply, engine.asked[-1]


async def test_a_chat_goes_through_the_models_template_with_its_tools() -> None:
    prompt = Prompt(messages=CHAT.messages, tools=(TOOL,))
    reply, body = await asked({"content": "yes", "reasoning": "let me see", "tokens": 9}, prompt)
    assert (reply.text, reply.ended, reply.reasoning) == ("yes", "Stop", "let me see")
    assert (reply.prompt_tokens, reply.output_tokens) == (2, 9)
    assert body["messages"] == [{"role": "user", "content": "w1 w2"}]
    assert body["tools"] == [TOOL]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.0, 1.0, 8)
    assert "structured_outputs" not in body


async def test_a_plain_text_is_continued() -> None:
    reply, body = await asked("w3 w4", Prompt(text="w1"))
    assert (reply.text, body["prompt"]) == ("w3 w4", "w1")
    assert "messages" not in body


async def test_the_sampling_of_serving_sets_nothing_that_a_client_would_leave_out() -> None:
    _, body = await asked("w3", sampling=Sampling.of_serving(16, seed=7))
    assert set(body) == {"model", "messages", "max_tokens", "seed"}


@pytest.mark.parametrize(
    ("constraint", "wanted"),
    [
        (Constraint(choices=("yes", "no")), {"choice": ["yes", "no"]}),
        (Constraint(pattern="[0-9]+"), {"regex": "[0-9]+"}),
        (Constraint(schema={"type": "object"}), {"json": {"type": "object"}}),
    ],
)
async def test_a_constraint_is_asked_for_as_structured_outputs(constraint: Constraint, wanted: dict[str, Any]) -> None:
    _, body = await asked("yes", constraint=constraint)
    assert body["structured_outputs"] == wanted


async def test_a_call_of_a_tool_is_no_text() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    reply, _ = await asked({"content": None, "tool_calls": [call], "finish_reason": "tool_calls"})
    assert (reply.text, reply.ended, reply.tool_calls) == ("", "ToolCalls", (ToolCall("look", '{"at": 1}'),))


async def test_an_answer_that_was_cut_off_says_so() -> None:
    reply, _ = await asked({"content": "w1", "finish_reason": "length"})
    assert reply.ended == "Length"


async def test_a_request_that_the_engine_refuses_is_told_from_an_engine_that_fails() -> None:
    with pytest.raises(BadRequestError, match="not possible"):
        await asked(None)


@pytest.mark.parametrize(
    "said",
    [
        {"content": "w1", "finish_reason": "abort"},
        {"content": ["a list"]},
        {"content": None, "tool_calls": ["no call"]},
        {"content": None, "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]},
        {"content": "w1", "tokens": "many"},
        {"content": "w1", "tokens": None},
    ],
)
async def test_what_cannot_be_read_as_an_answer_is_the_engines_fault(said: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="the engine"):
        await asked(said)


async def choose(prompt: Prompt, choices: list[str], **engine: Any) -> list[float]:
    async with asking(FakeEngine(ORIGINAL, **engine)) as client:
        return await client.choose(prompt, choices)


async def test_a_choice_is_as_likely_as_its_tokens_and_the_end_of_the_answer() -> None:
    """Without the end, a choice that begins another one would always be likelier than it."""
    found = await choose(CHAT, ["w3", "w3 w4"], marks_end=True)
    one = ORIGINAL[2, 3] + ORIGINAL[3, END]
    two = ORIGINAL[2, 3] + ORIGINAL[3, 4] + ORIGINAL[4, END]
    assert found == pytest.approx([one, two], abs=1e-4)


async def test_where_the_end_is_not_known_it_counts_for_no_choice() -> None:
    found = await choose(CHAT, ["w3", "w3 w4"])
    assert found == pytest.approx([ORIGINAL[2, 3], ORIGINAL[2, 3] + ORIGINAL[3, 4]], abs=1e-4)
    plain = await choose(Prompt(text="w1 w2 "), ["w3"])
    assert plain == pytest.approx([ORIGINAL[2, 3]], abs=1e-4)


async def test_a_model_that_computes_nan_has_no_likelihood() -> None:
    async with asking(FakeEngine(np.full_like(ORIGINAL, np.nan))) as client:
        assert all(isnan(value) for value in await client.choose(CHAT, ["w3", "w4"]))


async def test_a_chat_that_the_template_refuses_has_no_choice() -> None:
    with pytest.raises(BadRequestError, match="no such role"):
        await choose(Prompt(messages=({"role": "judge", "content": "w1"},)), ["w3"])
