"""What a suite may ask of an engine: one file here, named like the engine, and one line in the registry.

Nothing is ever retried: whatever goes wrong makes the whole run invalid (EngineError).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lowbit.api.paths import ENGINE_PORT
from lowbit.worker.refuse import EngineError

ENGINE_URL = f"http://127.0.0.1:{ENGINE_PORT}"
CONCURRENCY = 32
"""Requests at once. The engine batches them; more would only wait inside it, with their answers in memory."""
START_SECONDS = 3600.0
"""An engine that loads a large model over a network needs long; the Job's deadline ends a hopeless one earlier."""
UNKNOWN_VERSION = "unknown"

Logprobs = dict[int, float]
"""Logprobs of the likeliest tokens at one position, by token id."""
Wait = Callable[[str], None]
"""Called with what is being waited for."""


class BadRequestError(EngineError):
    """The engine refused a request, and said why."""


class NotFiniteError(EngineError):
    """The engine computed a number that JSON does not have."""


@dataclass(frozen=True)
class Answer:
    """A greedy answer."""

    tokens: list[int]
    logprobs: list[float]
    """Of each token, from the kernels that generated it."""


@dataclass(frozen=True)
class Decoded:
    """An answer with the likeliest tokens at each of its tokens, from the kernels that generated it."""

    tokens: list[int]
    """With the one that ended it, if any."""
    logprobs: list[Logprobs]
    """Of each token: those of the likeliest, and its own; before sampling."""


@dataclass(frozen=True)
class Prompt:
    """What is asked: a chat, which goes through the model's template, or a plain text. Exactly one of the two."""

    messages: tuple[Mapping[str, Any], ...] | None = None
    text: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools that a chat may call."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. The default is greedy. None leaves a setting to the engine: then a client of serving that
    does not set it gets the same."""

    output_tokens: int
    """The most that are generated."""
    temperature: float | None = 0.0
    top_p: float | None = 1.0
    top_k: int | None = 0
    """0: all."""
    repetition_penalty: float | None = 1.0
    seed: int | None = None

    @classmethod
    def of_serving(cls, output_tokens: int, seed: int | None = None) -> Sampling:
        """What a client of serving gets that asks for no sampling: the model's and the engine's own defaults."""
        return cls(output_tokens, None, None, None, None, seed)


@dataclass(frozen=True)
class Constraint:
    """What an answer must be like: the engine lets it be nothing else. Exactly one of the three."""

    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that the whole answer matches."""
    schema: Mapping[str, Any] | None = None
    """A JSON schema."""


@dataclass(frozen=True)
class ToolCall:
    """A call that a model has asked for."""

    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True)
class Reply:
    """One answer as a client of the served model would get it."""

    text: str
    ended: Literal["Stop", "Length", "ToolCalls"]
    """Length: it was cut off."""
    prompt_tokens: int
    output_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    """What a reasoning parser took out of the text."""


@dataclass(frozen=True)
class Streamed:
    """One streamed answer."""

    first_token_seconds: float
    seconds: float
    tokens: int
    """Generated tokens."""


class EngineClient(ABC):
    """Asks one engine for one served model. Every method raises EngineError where the engine does not answer."""

    clock: Callable[[], float]
    """Seconds."""

    @abstractmethod
    async def wait_ready(self, wait: Wait, limit: float = START_SECONDS) -> None:
        """Wait until the engine has answered one real request. Raises EngineError after limit seconds."""

    @abstractmethod
    async def check_same_process(self) -> None:
        """Raises EngineError if the engine restarted after it was ready."""

    @abstractmethod
    async def version(self) -> str:
        """The engine's version, or UNKNOWN_VERSION."""

    @abstractmethod
    async def max_model_len(self) -> int | None:
        """Longest prompt and answer together, in tokens; None if the engine does not say.

        Raises EngineError if it serves another model.
        """

    @abstractmethod
    async def tokenize_text(self, text: str, special: bool = True) -> list[int]:
        """Token ids of a text. special: with its special tokens, as serving would make them."""

    @abstractmethod
    async def tokenize_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: list[Any] | None = None, answer: bool = False
    ) -> list[int]:
        """Token ids of a whole chat, and of the tools that it may call. answer: up to where an answer begins.

        Raises BadRequestError if the model's template refuses it.
        """

    @abstractmethod
    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special ones too, for people to read."""

    @abstractmethod
    async def prompt_logprobs(self, prompt: Sequence[int], top: int) -> list[Logprobs]:
        """For each token of a prompt but the first: logprobs of the top likeliest tokens there, and its own.

        Only of an engine with the capability PromptLogprobs.
        """

    @abstractmethod
    async def generate(self, prompt: Sequence[int], output_tokens: int) -> Answer | None:
        """The greedy answer of at most output_tokens tokens; None if the engine does not tell ids and logprobs."""

    @abstractmethod
    async def tokenize_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids that answer() has the model read. Raises BadRequestError if the model's template refuses it."""

    @abstractmethod
    async def answer(self, prompt: Prompt, sampling: Sampling, constraint: Constraint | None = None) -> Reply:
        """The answer that a client of serving would get to the same request.

        A constraint needs the capability StructuredOutputs. Raises BadRequestError if the engine refuses the request.
        """

    @abstractmethod
    async def choose(self, prompt: Prompt, choices: Sequence[str]) -> list[float]:
        """Log probability in nats of each choice as the whole answer to a chat; NaN where the engine has no number.

        After a plain text the end of the answer does not count: there each choice is how the answer begins.
        Only of an engine with the capability PromptLogprobs. Raises BadRequestError.
        """

    @abstractmethod
    async def decode(self, prompt: Sequence[int], sampling: Sampling, top: int) -> Decoded | None:
        """An answer, with logprobs of the top likeliest tokens at each of its tokens.

        None if the engine does not tell ids and logprobs, or if they are not finite.
        """

    @abstractmethod
    async def completions(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole answer to a request of the completions API, for a library that writes such requests itself.

        The model's name is filled in. Raises BadRequestError, and NotFiniteError where JSON has no such number.
        """

    @abstractmethod
    async def stream(self, prompt: Sequence[int], output_tokens: int) -> Streamed:
        """Generate exactly output_tokens tokens, and time them."""
