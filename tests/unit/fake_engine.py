"""An engine on loopback that speaks vLLM's API over a next-token distribution that is known exactly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web

VOCABULARY = 48
MODEL = "model"
END = 0
"""The token that ends an answer."""
Matrix = npt.NDArray[np.float64]


def log_softmax(logits: Matrix) -> Matrix:
    """Rows of logprobs."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Matrix = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def distribution(seed: int, sharpness: float = 2.0) -> Matrix:
    """Logprobs of the next token (column) after each token (row)."""
    return log_softmax(np.random.default_rng(seed).normal(0, sharpness, (VOCABULARY, VOCABULARY)))


def damaged(logprobs: Matrix, noise: float, seed: int = 1) -> Matrix:
    """The same model after a loss of precision."""
    return log_softmax(logprobs + np.random.default_rng(seed).normal(0, noise, logprobs.shape))


def ids_of(text: str) -> list[int]:
    """Words w0, w1, ... are tokens; any other word is the token of its first letter."""
    known = [word.removeprefix("w") for word in text.split()]
    return [int(word) if word.isdigit() else 1 + ord(word[0]) % (VOCABULARY - 1) for word in known if word]


@dataclass
class FakeEngine:
    """Behaves as told, and remembers what it was asked."""

    logprobs: Matrix
    max_model_len: int = 512
    started: float = 1000.0
    release: str = "0.33.0"
    fail_after: int | None = None
    """Completions after which every other one is answered with 500."""
    drop_after: int | None = None
    """Completions after which connections are closed without an answer."""
    restart_after: int | None = None
    """Completions after which the engine is another process."""
    unhealthy: int = 0
    """How often /health answers 503 first."""
    prompts: list[list[int]] = field(default_factory=list)
    together: int = 1
    """Answers to texts are held back until so many were asked for at once."""
    at_once: int = 0
    requests: int = 0
    today: str = ""
    """What the template writes first, such as the date."""
    marks_begin: bool = False
    """Whether the template shows where an answer begins."""
    marks_end: bool = False
    """Whether the template shows how an answer ends, by the token END."""
    roles: tuple[str, ...] = ("user", "assistant")
    """Those that the chat template knows; none where the model has no template."""
    refuses_nan: bool = True
    """As vLLM does: a number that JSON does not have is answered with 400."""
    decoding: Matrix | None = None
    """The distribution of its decode kernels, which give all tokens of an answer but the first; None: the same."""
    late: tuple[int, Matrix] | None = None
    """Another distribution at tokens with more than so many before them."""
    noise: float = 0.0
    """Deviation of all logits, other ones at each request: an engine whose sums depend on the batch."""
    seed: int = 0
    """Of the noise: engines with other ones are shaken otherwise."""
    all_here: asyncio.Event = field(default_factory=asyncio.Event)
    say: Callable[[dict[str, Any]], Any] | None = None
    """Answers a request of a chat or of a plain text: a text, or a dict with some of content, tool_calls, reasoning,
    finish_reason and tokens. By default: what the distribution would."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests that say() has answered."""

    @property
    def completions(self) -> int:
        return len(self.prompts)

    def row(self, last: int, before: int, *, decoding: bool = False) -> Matrix:
        """Logprobs of the token behind last, which has before tokens before it."""
        logprobs = self.decoding if decoding and self.decoding is not None else self.logprobs
        if self.late is not None and before > self.late[0]:
            logprobs = self.late[1]
        row: Matrix = logprobs[last]
        if self.noise:
            row = damaged(row[None], self.noise, seed=(self.seed * 1000 + self.completions) * 10_000 + before)[0]
        return row

    def top(self, row: Matrix, count: int, *also: int) -> dict[int, float]:
        order = np.lexsort((np.arange(VOCABULARY), -row))[:count]
        return {int(token): float(np.float32(row[token])) for token in [*order, *also]}

    def prompt_logprobs(self, prompt: list[int], count: int) -> list[Any]:
        answer: list[Any] = [None]
        for place, (before, token) in enumerate(pairwise(prompt), start=1):
            entry = self.top(self.row(before, place), count, token)
            answer.append(
                {
                    str(t): {"logprob": v, "rank": i + 1, "decoded_token": f"w{t}"}
                    for i, (t, v) in enumerate(entry.items())
                }
            )
        return answer

    def generate(self, prompt: list[int], count: int) -> tuple[list[int], list[Matrix]]:
        """The greedy answer, and the logprobs at each of its tokens."""
        tokens, rows, last = [], [], prompt[-1]
        for step in range(count):
            row = self.row(last, len(prompt) + step, decoding=step > 0)
            last = int(row.argmax())
            rows.append(row)
            tokens.append(last)
        return tokens, rows

    async def tokenize(self, request: web.Request) -> web.Response:
        """Words w0, w1, ... are the tokens."""
        body = await request.json()
        assert body["model"] == MODEL
        messages = body.get("messages", [])
        if any(message["role"] not in self.roles for message in messages):
            return web.json_response({"error": {"message": "the template knows no such role"}}, status=400)
        if not messages:
            return web.json_response({"tokens": ids_of(body["prompt"])})
        if body["add_generation_prompt"]:
            # The template's mark where an answer begins.
            return web.json_response({"tokens": ids_of(self.rendered(messages)) + [0] * self.marks_begin})
        assert not body["add_special_tokens"]
        end = [END] if messages[-1]["role"] == "assistant" and len(messages) > 1 and self.marks_end else []
        return web.json_response({"tokens": ids_of(self.rendered(messages)) + end})

    def rendered(self, messages: list[dict[str, Any]]) -> str:
        """A chat by the template: all contents."""
        return " ".join([self.today, *(str(message.get("content") or "") for message in messages)])

    async def detokenize(self, request: web.Request) -> web.Response:
        """The words of the tokens."""
        body = await request.json()
        assert body["model"] == MODEL
        return web.json_response({"prompt": " ".join(f"w{token}" for token in body["tokens"])})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """As a client of serving asks."""
        body = await request.json()
        assert body["model"] == MODEL
        if any(message["role"] not in self.roles for message in body["messages"]):
            return web.json_response({"error": {"message": "the template knows no such role"}}, status=400)
        return self.said(request, body, ids_of(self.rendered(body["messages"])))

    def said(self, request: web.Request, body: dict[str, Any], prompt: list[int]) -> web.StreamResponse:
        """What say() answers, as a chat's or a text's completion."""
        self.prompts.append(prompt)
        self.asked.append(body)
        if (trouble := self.trouble(request, len(prompt) + body["max_tokens"])) is not None:
            return trouble
        told = self.say(body) if self.say else " ".join(f"w{t}" for t in self.generate(prompt, body["max_tokens"])[0])
        if told is None:
            return web.json_response({"error": {"message": "what is asked for is not possible"}}, status=400)
        told = {"content": told} if isinstance(told, str) else dict(told)
        words = str(told.get("content") or "").split()
        ended = told.pop("finish_reason", "length" if len(words) >= body["max_tokens"] else "stop")
        usage = {"prompt_tokens": len(prompt), "completion_tokens": told.pop("tokens", len(words) + 1)}
        message = {"message": {"role": "assistant", **told}} if "messages" in body else {"text": told["content"]}
        return web.json_response({"choices": [{"index": 0, "finish_reason": ended, **message}], "usage": usage})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = body["prompt"]
        assert body["model"] == MODEL
        if isinstance(prompt, str):
            return self.said(request, body, ids_of(prompt))
        if isinstance(prompt[0], list):
            # lm-evaluation-harness's form: a batch of one.
            (prompt,) = prompt
            if not body.get("echo"):
                return self.said(request, body, prompt)
        self.prompts.append(prompt)
        self.at_once += 1
        if self.at_once >= self.together:
            self.all_here.set()
        try:
            if body.get("prompt_logprobs", 1) > 1 or body.get("echo"):
                await self.all_here.wait()
            return await self.answer(request, body, prompt)
        finally:
            self.at_once -= 1

    def trouble(self, request: web.Request, tokens: int) -> web.Response | None:
        """What is answered instead, if something is wrong."""
        if self.fail_after is not None and self.completions > self.fail_after:
            return web.json_response({"error": "out of memory"}, status=500)
        if self.drop_after is not None and self.completions > self.drop_after:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if self.restart_after is not None and self.completions > self.restart_after:
            self.started = 2000.0
        if tokens > self.max_model_len:
            return web.json_response({"error": "too long"}, status=400)
        return None

    async def answer(self, request: web.Request, body: dict[str, Any], prompt: list[int]) -> web.StreamResponse:
        if (trouble := self.trouble(request, len(prompt) + body["max_tokens"])) is not None:
            return trouble
        tokens, rows = self.generate(prompt, body["max_tokens"])
        if body.get("stream"):
            return await self.stream(request, tokens)
        choice: dict[str, Any] = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = self.prompt_logprobs(prompt, body["prompt_logprobs"])
        if "logprobs" in body:
            values = [float(row[token]) for token, row in zip(tokens, rows, strict=True)]
            tops = [self.top(row, body["logprobs"], token) for token, row in zip(tokens, rows, strict=True)]
            choice["logprobs"] = {
                "tokens": [f"token_id:{t}" for t in tokens], "token_logprobs": values,
                "top_logprobs": [{f"token_id:{t}": value for t, value in top.items()} for top in tops],
            }  # fmt: skip
        if body.get("echo"):
            choice["logprobs"] = self.echoed(prompt, tokens, rows, choice["logprobs"])
        if self.refuses_nan and "NaN" in json.dumps(choice):
            message = "Out of range float values are not JSON compliant: nan"
            return web.json_response({"error": {"message": message}}, status=400)
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": len(tokens)}})

    def echoed(self, prompt: list[int], tokens: list[int], rows: list[Matrix], own: dict[str, Any]) -> dict[str, Any]:
        """The logprobs of the prompt before those of the answer, by the tokens' texts."""
        before = [None, *self.prompt_logprobs(prompt, 1)[1:]]
        values = [entry and entry[str(token)]["logprob"] for entry, token in zip(before, prompt, strict=True)]
        tops = [entry and {f"w{t}": each["logprob"] for t, each in entry.items()} for entry in before]
        return {
            "tokens": [f"w{token}" for token in [*prompt, *tokens]],
            "token_logprobs": values + own["token_logprobs"],
            "top_logprobs": tops + [{f"w{row.argmax()}": float(row.max())} for row in rows],
        }

    async def stream(self, request: web.Request, tokens: list[int]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for token in tokens:
            event = {"choices": [{"index": 0, "text": f"w{token}"}], "usage": None}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        usage = {"choices": [], "usage": {"completion_tokens": len(tokens)}}
        await response.write(f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode())
        return response

    async def health(self, _: web.Request) -> web.Response:
        if self.unhealthy > 0:
            self.unhealthy -= 1
            return web.Response(status=503)
        return web.Response()

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL, "max_model_len": self.max_model_len}]})

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self.release})

    async def metrics(self, _: web.Request) -> web.Response:
        count = sum(len(prompt) for prompt in self.prompts)
        return web.Response(
            text="# TYPE process_start_time_seconds gauge\n"
            f"process_start_time_seconds {self.started}\n"
            "# TYPE vllm:prompt_tokens_total counter\n"
            f'vllm:prompt_tokens_total{{model_name="{MODEL}"}} {count}\n'
        )

    @web.middleware
    async def count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests += 1
        response: web.StreamResponse = await handler(request)
        return response


@asynccontextmanager
async def serve(engine: FakeEngine) -> AsyncIterator[str]:
    """The engine's URL, while the block runs."""
    app = web.Application(middlewares=[engine.count])
    app.router.add_post("/v1/completions", engine.complete)
    app.router.add_post("/v1/chat/completions", engine.chat)
    app.router.add_post("/tokenize", engine.tokenize)
    app.router.add_post("/detokenize", engine.detokenize)
    app.router.add_get("/health", engine.health)
    app.router.add_get("/v1/models", engine.models)
    app.router.add_get("/version", engine.version)
    app.router.add_get("/metrics", engine.metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
