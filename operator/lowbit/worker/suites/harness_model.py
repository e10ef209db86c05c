"""lm-evaluation-harness's model `local-completions`, whose requests go through the engine's own client.

So a request that fails ends the run (nothing is retried), and the engine's tokenizer is the one that serving uses. The
library runs in a thread; its requests are made in the loop where the client lives.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nan
from typing import Any, TypeVar

from lm_eval.models.openai_completions import LocalCompletionsAPI

from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient, NotFiniteError
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.together import together

Result = TypeVar("Result")
MOST_TOKENS = 256
"""Of an answer whose task does not say how long it may be: lm-evaluation-harness's default."""


@dataclass
class Bridge:
    """From the library's thread to the engine's client."""

    client: EngineClient
    loop: asyncio.AbstractEventLoop
    what: str
    """The task, for messages."""
    progress: Progress
    requests: int = 1
    """How many there will be."""
    done: int = 0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Called in the thread: what the coroutine returns in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[list[int]]:
        """Token ids of each text; with special tokens where the second is true."""

        async def one(text: str, special: bool) -> list[int]:
            async with self.gate:
                with self.refused("a text"):
                    return await self.client.tokenize_text(text, special)

        return await together(one(*each) for each in texts)

    async def send(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """The answers to requests of the completions API; None where a number is not finite. Raises RefusalError."""

        async def one(body: dict[str, Any]) -> dict[str, Any] | None:
            async with self.gate:
                try:
                    with self.refused("a prompt"):
                        answer = await self.client.completions(body)
                except NotFiniteError:
                    answer = None
            self.done += 1
            share = min(1.0, self.done / max(self.requests, 1))
            self.progress.report(share, f"{self.what}: {self.done} of {self.requests} requests")
            return answer

        return await together(map(one, bodies))

    @contextmanager
    def refused(self, thing: str) -> Iterator[None]:
        """Raise RefusalError where the engine refuses what the task asks."""
        try:
            yield
        except BadRequestError as error:
            problem = f"{self.what}: the engine refuses {thing} of it: {error}"
            action = "raise the engine's maxModelLen, or shorten the task's prompts and answers"
            raise RefusalError("BadTask", problem, action) from error


class EngineModel(LocalCompletionsAPI):  # type: ignore[misc]
    """One model in its engine. max_length: longest prompt and answer together, in tokens."""

    def __init__(self, bridge: Bridge, max_length: int) -> None:
        super().__init__(
            base_url="", model="", tokenizer_backend=None, num_concurrent=CONCURRENCY, max_length=max_length,
            max_gen_toks=MOST_TOKENS, add_bos_token=True,
        )  # fmt: skip
        self.bridge, self.tokenizer_backend, self.tokenized_requests = bridge, "engine", True
        self.tokenizer = self  # only asked whether there is one
        self.known: dict[tuple[str, bool], list[int]] = {}
        self.sent: dict[tuple[str, ...], list[int]] = {}
        """Token ids that the engine has read, by a request's texts."""
        self.cut: set[tuple[str, ...]] = set()
        """Requests that were cut on the left, because the engine takes no more."""

    @property
    def eos_string(self) -> None:
        """The engine ends an answer by itself."""

    @property
    def prefix_token_id(self) -> int:
        """What an answer without a prompt comes after. Raises RefusalError if the model begins a text with nothing."""
        whole, plain = self.tok_encode("a"), self.tok_encode("a", add_special_tokens=False)
        if len(whole) > len(plain):
            begin: int = whole[0]
            return begin
        problem = f"{self.bridge.what}: it asks for an answer to nothing, and this model begins a text with no token"
        raise RefusalError("BadTask", problem, "write a description, or a doc_to_text that is not empty")

    def tok_encode(
        self, string: Any, left_truncate_len: int | None = None, add_special_tokens: bool = True, **_: Any
    ) -> Any:
        """Token ids of a text, or of each of several, with the special tokens that serving would add."""
        several = not isinstance(string, str)
        keys = [(text, add_special_tokens) for text in (string if several else [string])]
        self.learn(keys)
        found = [self.known[key][-(left_truncate_len or 0) :] for key in keys]
        return found if several else found[0]

    def learn(self, texts: Iterable[tuple[str, bool]]) -> None:
        """Ask the engine for the token ids of texts, many at once."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self.known]
        if unknown:
            self.known |= dict(zip(unknown, self.bridge.run(self.bridge.tokenize(unknown)), strict=True))

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log probability of each continuation, and whether it is the greedy one."""
        self.bridge.requests = len(requests)
        texts: list[tuple[str, bool]] = []
        for context, continuation in (request.args for request in requests):
            # As the library splits them: white space at the end of a prompt belongs to what follows.
            texts += [(context + continuation, True), (context.rstrip(), True)] if context else [(continuation, False)]
        self.learn(texts)
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        for texts, context, continuation in requests:
            self.note(texts, context + continuation, self.max_length)
        found: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The greedy answer to each prompt."""
        self.bridge.requests = len(requests)
        self.learn((request.args[0], True) for request in requests)
        for context, how in (request.args for request in requests):
            self.note((context,), self.known[context, True], self.max_length - how.get("max_gen_toks", MOST_TOKENS))
        found: list[str] = super().generate_until(requests, disable_tqdm=True)
        return found

    def note(self, texts: tuple[str, ...], tokens: list[int], room: int) -> None:
        """Remember what is sent: the last `room` tokens of a request."""
        self.sent[tuple(texts)] = tokens[-room:]
        if len(tokens) > room:
            self.cut.add(tuple(texts))

    async def get_batched_requests(
        self, requests: list[list[int]], cache_keys: list[Any], *, generate: bool = True,
        ctxlens: list[int] | None = None, gen_kwargs: dict[str, Any] | None = None, **_: Any,
    ) -> list[list[Any]]:  # fmt: skip
        """Every request answered: texts, or log probabilities with whether they are the greedy one's."""
        bodies = [
            self._create_payload([tokens], generate=generate, gen_kwargs=copy.deepcopy(gen_kwargs), seed=self._seed)
            for tokens in requests
        ]
        work = asyncio.run_coroutine_threadsafe(self.bridge.send(bodies), self.bridge.loop)
        answers = await asyncio.wrap_future(work)
        if generate:
            return [self.parse_generations(answer) if answer is not None else [""] for answer in answers]
        lengths = ctxlens or []
        return [
            self.parse_logprobs(answer, ctxlens=[length]) if answer is not None else [(nan, False)]
            for answer, length in zip(answers, lengths, strict=True)
        ]
