"""vLLM beside the evaluator, over its OpenAI-compatible API on loopback.

An answer other than 200, a broken connection, or a restart of the engine is an EngineError.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from math import nan
from typing import Any

import aiohttp

from lowbit.api.problem import some
from lowbit.worker.engines import vllm_replies
from lowbit.worker.engines.base import (
    ENGINE_URL,
    START_SECONDS,
    UNKNOWN_VERSION,
    Answer,
    BadRequestError,
    Constraint,
    Decoded,
    EngineClient,
    Logprobs,
    NotFiniteError,
    Prompt,
    Reply,
    Sampling,
    Streamed,
    Wait,
)
from lowbit.worker.engines.vllm_answers import (
    Process,
    parse_answer,
    parse_decoded,
    parse_logprobs,
    parse_process,
    readable,
    take,
)
from lowbit.worker.refuse import EngineError

SILENCE_SECONDS = 1800.0
"""A request may wait behind all others. After a longer silence the engine counts as hung."""
POLL_SECONDS = 1.0

VERSION_LIMIT = 100
"""Characters of the engine's version that are kept: it goes into results and messages."""
BAD_REQUEST = (400, 422)
ANSWER_LIMIT = 512 * 2**20
"""Bytes of one answer. The longest text that a suite may have, with 100 logprobs a token, takes half of it."""
ERROR_BYTES = 64 * 1024
"""Of an answer that says what is wrong; its first words are kept."""


NOT_FINITE = "Out of range float values are not JSON compliant"
"""vLLM's answer where a logprob is NaN: it cannot write the number, and the request is not to blame."""


class VLLMClient(EngineClient):
    """Made by connect()."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        model: str,
        url: str = ENGINE_URL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session, self.model, self.url, self.clock = session, model, url, clock
        self._process: Process | None = None
        self._choices: dict[str, list[int]] = {}

    async def wait_ready(self, wait: Wait, limit: float = START_SECONDS) -> None:
        """Wait until /health is 200 and one real completion succeeds: /health alone can be 200 on a broken engine."""
        begin = self.clock()
        while not await self._healthy():
            if self.clock() - begin > limit:
                raise EngineError(f"the engine at {self.url} was not healthy within {limit:.0f} s; read its log")
            wait("waiting for the engine")
            await asyncio.sleep(POLL_SECONDS)
        wait("asking the engine for a first completion")
        await self.complete([1, 2, 3], max_tokens=1)
        self._process = await self.process()

    async def check_same_process(self) -> None:
        """Raises EngineError if the engine restarted after it was ready."""
        before, now = self._process, await self.process()
        if before is None:
            raise EngineError("the engine was never ready")
        if before.started != now.started or now.prompt_tokens < before.prompt_tokens:
            raise EngineError("the engine restarted while it was being measured, so the run is invalid")

    async def complete(self, prompt: Sequence[int], **parameters: Any) -> dict[str, Any]:
        """The first choice of a completion of these token ids, at temperature 0. Raises EngineError."""
        answer = await self._json("POST", "/v1/completions", self._body(prompt, parameters))
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise EngineError("the engine's answer to a completion has no choice")
        choice: dict[str, Any] = choices[0]
        return choice

    async def tokenize_text(self, text: str, special: bool = True) -> list[int]:
        """Token ids. special: with the special tokens that the tokenizer adds."""
        return await self._tokenize({"prompt": text, "add_special_tokens": special})

    async def tokenize_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: list[Any] | None = None, answer: bool = False
    ) -> list[int]:
        """Token ids by the model's template, which adds its own special tokens. Raises BadRequestError."""
        body = {"messages": list(messages), "add_generation_prompt": answer, "add_special_tokens": False}
        return await self._tokenize(body if tools is None else body | {"tools": tools})

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """By /detokenize."""
        answer = await self._json("POST", "/detokenize", {"model": self.model, "tokens": list(tokens)})
        text = answer.get("prompt")
        if not isinstance(text, str):
            raise EngineError("the engine's answer to /detokenize has no prompt")
        return text

    async def prompt_logprobs(self, prompt: Sequence[int], top: int) -> list[Logprobs]:
        """From vLLM's prompt_logprobs: per token a map from token ids to {"logprob": ...}, null for the first."""
        try:
            choice = await self.complete(prompt, max_tokens=1, prompt_logprobs=top)
        except NotFiniteError:
            return [{token: nan} for token in prompt[1:]]
        positions = choice.get("prompt_logprobs")
        if not isinstance(positions, list) or len(positions) != len(prompt):
            got = len(positions) if isinstance(positions, list) else "no"
            raise EngineError(f"the engine gave {got} prompt logprobs for a text of {len(prompt)} tokens")
        return [parse_logprobs(entry) for entry in positions[1:]]

    async def generate(self, prompt: Sequence[int], output_tokens: int) -> Answer | None:
        """Token ids come by one of two parameters, depending on vLLM's version."""
        try:
            choice = await self.complete(
                prompt, max_tokens=output_tokens, logprobs=1, return_tokens_as_token_ids=True, return_token_ids=True
            )
        except NotFiniteError:
            return None
        with readable("completion"):
            return parse_answer(choice)

    async def tokenize_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids that answer() has the model read. Raises BadRequestError."""
        if prompt.messages is None:
            return await self.tokenize_text(prompt.text or "")
        return await self._tokenize({**vllm_replies.asked_of(prompt), "add_generation_prompt": True})

    async def answer(self, prompt: Prompt, sampling: Sampling, constraint: Constraint | None = None) -> Reply:
        """Over /v1/chat/completions, or for a plain text /v1/completions. Raises BadRequestError."""
        path = vllm_replies.CHAT_PATH if prompt.messages is not None else vllm_replies.TEXT_PATH
        body = {"model": self.model, **vllm_replies.request_body(prompt, sampling, constraint)}
        return vllm_replies.parse_reply(await self._json("POST", path, body))

    async def choose(self, prompt: Prompt, choices: Sequence[str]) -> list[float]:
        """Teacher forcing: the engine reads the prompt with each choice after it."""
        return await vllm_replies.choose(self, prompt, choices, self._ids_of_choice)

    async def _ids_of_choice(self, choice: str) -> list[int]:
        if choice not in self._choices:
            body = {"prompt": choice, "add_special_tokens": False}
            self._choices[choice] = await self._tokenize(body)
        return self._choices[choice]

    async def decode(self, prompt: Sequence[int], sampling: Sampling, top: int) -> Decoded | None:
        """vLLM's logprobs are those of the model itself, before temperature and penalties (logprobs_mode)."""
        parameters: dict[str, Any] = {
            "max_tokens": sampling.output_tokens, "temperature": sampling.temperature, "logprobs": top,
            "return_tokens_as_token_ids": True, "return_token_ids": True,
        }  # fmt: skip
        parameters |= {} if sampling.seed is None else {"seed": sampling.seed}
        try:
            choice = await self.complete(prompt, **parameters)
        except NotFiniteError:
            return None
        with readable("completion"):
            return parse_decoded(choice)

    async def completions(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Over /v1/completions. Raises BadRequestError."""
        return await self._json("POST", vllm_replies.TEXT_PATH, {**body, "model": self.model})

    async def stream(self, prompt: Sequence[int], output_tokens: int) -> Streamed:
        """Generate exactly output_tokens tokens, and time them. Raises EngineError."""
        parameters = {
            "max_tokens": output_tokens, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True},
        }  # fmt: skip
        begin = self.clock()
        first: float | None = None
        chunks, reported = 0, 0
        async for event in self._events(self._body(prompt, parameters)):
            with readable("event of a stream"):
                if event.get("error"):
                    raise EngineError(f"the engine broke off a stream: {str(event['error'])[:200]}")
                if event.get("choices"):
                    first = self.clock() if first is None else first
                    chunks += 1
                usage = event.get("usage")
                if isinstance(usage, Mapping):
                    reported = int(usage.get("completion_tokens") or reported)
        end = self.clock()
        if first is None:
            raise EngineError("the engine ended a stream without a token")
        return Streamed(first - begin, end - begin, reported or chunks)

    async def max_model_len(self) -> int | None:
        """Longest prompt and answer together, in tokens; None if the engine does not say.

        Raises EngineError if it serves another model.
        """
        answer = await self._json("GET", "/v1/models")
        with readable("list of models"):
            models = {str(one.get("id")): one for one in answer.get("data", []) if isinstance(one, dict)}
            if self.model not in models:
                raise EngineError(f"the engine serves {some(sorted(models)) or 'nothing'}, not {self.model}")
            limit = models[self.model].get("max_model_len")
            return int(limit) if limit else None

    async def version(self) -> str:
        """The engine's version, or UNKNOWN_VERSION."""
        try:
            return str((await self._json("GET", "/version")).get("version", UNKNOWN_VERSION))[:VERSION_LIMIT]
        except EngineError:
            return UNKNOWN_VERSION

    async def process(self) -> Process:
        """Start time and counter of prompt tokens."""
        return parse_process(await self._text("GET", "/metrics"))

    async def _tokenize(self, body: Mapping[str, Any]) -> list[int]:
        tokens = (await self._json("POST", "/tokenize", {"model": self.model, **body})).get("tokens")
        if not isinstance(tokens, list):
            raise EngineError("the engine's answer to /tokenize has no tokens")
        with readable("tokens"):
            return [int(token) for token in tokens]

    def _body(self, prompt: Sequence[int], parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "prompt": list(prompt), "temperature": 0, **parameters}

    async def _healthy(self) -> bool:
        try:
            async with self.session.get(f"{self.url}/health") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        text = await self._text(method, path, body)
        with readable(f"answer to {path}"):
            answer = json.loads(text)
        if not isinstance(answer, dict):
            raise EngineError(f"the engine's answer to {path} is no object: {text[:200]}")
        return answer

    async def _text(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        async with self._request(method, path, body) as response:
            data = await take(response.content, ANSWER_LIMIT)
        if len(data) > ANSWER_LIMIT:
            raise EngineError(f"the engine answered more than {ANSWER_LIMIT} bytes to {path}")
        return data.decode(errors="replace")

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events. Raises EngineError if they end without [DONE]: the request was dropped."""
        async with self._request("POST", "/v1/completions", body) as response:
            while line := await self._line(response.content):
                data = line.decode(errors="replace").strip().removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                if data:
                    with readable("event of a stream"):
                        event = json.loads(data)
                    yield event
            raise EngineError("the engine broke off a stream before its end")

    async def _line(self, content: aiohttp.StreamReader) -> bytes:
        with readable("line of a stream"):  # aiohttp takes no line without end
            return await content.readline()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self.session.request(method, f"{self.url}{path}", json=body) as response:
                if response.status != 200:
                    text = (await take(response.content, ERROR_BYTES)).decode(errors="replace")[:300]
                    kind = BadRequestError if response.status in BAD_REQUEST else EngineError
                    kind = NotFiniteError if NOT_FINITE in text else kind
                    raise kind(f"the engine answered {response.status} to {path}: {text}")
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise EngineError(f"the engine dropped a request to {path}: {what}") from error


@asynccontextmanager
async def connect(
    model: str, url: str = ENGINE_URL, clock: Callable[[], float] = time.monotonic, token: str | None = None
) -> AsyncIterator[EngineClient]:
    """A client that lives as long as the block. token: sent as a Bearer token, where a guard asks for it."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    # A new connection per request: a kept one that the engine closes meanwhile looks like a dropped request.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=SILENCE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False, headers=headers) as session:
        yield VLLMClient(session, model, url, clock)
