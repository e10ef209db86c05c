"""What an engine answers is somebody's bytes: whatever they are, the evaluator says that the engine gave them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from lowbit.worker.engines import vllm
from lowbit.worker.engines.base import EngineClient, Sampling
from lowbit.worker.engines.vllm import connect
from lowbit.worker.refuse import EngineError

Call = Callable[[EngineClient], Awaitable[object]]
CALLS: dict[str, Call] = {
    "logprobs": lambda client: client.prompt_logprobs([1, 2, 3], 2),
    "answer": lambda client: client.generate([1, 2, 3], 2),
    "decoded": lambda client: client.decode([1, 2, 3], Sampling(2), 5),
    "words": lambda client: client.detokenize([1, 2, 3]),
    "tokens": lambda client: client.tokenize_text("a"),
    "stream": lambda client: client.stream([1, 2, 3], 2),
    "length": lambda client: client.max_model_len(),
}


def answer(**choice: object) -> bytes:
    return json.dumps({"choices": [choice]}).encode()


ANSWERS: dict[str, bytes] = {
    "no text": b"\xff\xfe\xfd",
    "no json": b"<html>",
    "a list": b"[1, 2]",
    "a number for words": b'{"prompt": 7}',
    "nested too deep": b"[" * 200_000,
    "no choices": b"{}",
    "a choice that is none": b'{"choices": [7]}',
    "null everywhere": b'{"choices": null, "data": null, "tokens": null}',
    "words for numbers": answer(prompt_logprobs=[None, {"x": {"logprob": "y"}}, {}], token_ids=["a"],
                                logprobs={"token_logprobs": ["b"]}),
    "lists for maps": answer(prompt_logprobs=[None, [1], [2]], logprobs=[1], token_ids=7),
    "a model of another kind": b'{"data": [{"id": "model", "max_model_len": "long"}], "tokens": ["a"]}',
    "numbers without end": b'{"data": [{"id": "model", "max_model_len": 1e999}], "tokens": [1e999]}',
    "an event without end": b"data: " + b"x" * 300_000,
}  # fmt: skip


@asynccontextmanager
async def engine(body: bytes) -> AsyncIterator[str]:
    """An engine on loopback that answers everything with the same bytes."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("said", ANSWERS)
async def test_an_answer_that_cannot_be_read_is_the_engines_and_no_crash_of_ours(said: str, call: str) -> None:
    async with engine(ANSWERS[said]) as url, connect("model", url) as client:
        try:
            assert not await CALLS[call](client), "nothing can be made of it"
        except EngineError as error:
            assert len(str(error)) < 1000


@pytest.mark.parametrize("likely", [[{"token_id:x": -1}], [7], [{"token_id:1": "y"}], [], [None, None], [{"a": -1}]])
async def test_likely_tokens_that_cannot_be_read_are_none(likely: object) -> None:
    """The answer itself is whole: only what else was likely cannot be read."""
    body = answer(token_ids=[1], logprobs={"token_logprobs": [-1], "top_logprobs": likely})
    async with engine(body) as url, connect("model", url) as client:
        try:
            assert await client.decode([1, 2, 3], Sampling(2), 5) is None
        except EngineError as error:
            assert "cannot be read" in str(error)


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "ANSWER_LIMIT", 100_000)
    async with engine(b'{"tokens": [' + b"1, " * 100_000 + b"1]}") as url, connect("model", url) as client:
        with pytest.raises(EngineError, match="more than 100000 bytes"):
            await client.tokenize_text("a")
