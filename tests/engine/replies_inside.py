"""Runs in the engine's image: a server, asked through Lowbit's own client as a suite asks.

    python -m tests.engine.replies_inside MODEL     MODEL: a Hugging Face folder with a chat template

Prints one line of JSON: what came of each kind of request.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from math import exp, isfinite
from typing import Any

from lowbit.worker.engines.base import BadRequestError, Constraint, EngineClient, Prompt, Sampling
from lowbit.worker.engines.vllm import connect

PORT = 8123
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    },
}
SCHEMA = {
    "type": "object", "properties": {"is_fraud": {"type": "boolean"}}, "required": ["is_fraud"],
    "additionalProperties": False,
}  # fmt: skip
CHAT = Prompt(messages=({"role": "user", "content": "Is the sea blue?"},))
WAIT_SECONDS = 1500.0


def serve(model: str) -> subprocess.Popen[bytes]:
    """The server, as an evaluation starts it, with a parser of calls."""
    line = ["serve", model, "--served-model-name", "model", "--host", "127.0.0.1", "--port", str(PORT)]
    line += ["--enforce-eager", "--max-model-len", "512", "--no-enable-prefix-caching", "--max-logprobs", "100"]
    line += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    starter = [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    return subprocess.Popen([*starter, *line], env=environment, stdout=sys.stderr, stderr=sys.stderr)


async def ask(client: EngineClient) -> dict[str, Any]:
    """Every kind of request."""
    await client.wait_ready(lambda _: None, WAIT_SECONDS)
    plain = Prompt(text="The sea is")
    with_tools = Prompt(messages=CHAT.messages, tools=(TOOL,))
    found: dict[str, Any] = {"read": len(await client.tokenize_prompt(CHAT))}
    greedy = await client.answer(CHAT, Sampling(8))
    found["greedy"] = [asdict(greedy), asdict(await client.answer(CHAT, Sampling(8)))]
    drawn = [await client.answer(CHAT, Sampling.of_serving(8, seed)) for seed in (7, 7, 8)]
    found["serving"] = [reply.text for reply in drawn]
    found["text"] = asdict(await client.answer(plain, Sampling(8, 0.7, 0.8, 20, 1.05, 7)))
    found["tools"] = asdict(await client.answer(with_tools, Sampling(8)))
    constraints = {
        "choice": Constraint(choices=("yes", "no")), "pattern": Constraint(pattern="[0-9]{3}"),
        "schema": Constraint(schema=SCHEMA), "bare schema": Constraint(schema={"type": "boolean"}),
    }  # fmt: skip
    for name, constraint in constraints.items():
        found[name] = (await client.answer(CHAT, Sampling(40), constraint)).text
    found["choose"] = [exp(value) for value in await client.choose(CHAT, ["yes", "no", "yes and no"])]
    found["choose text"] = [isfinite(value) for value in await client.choose(plain, [" blue", " red"])]
    found |= await as_the_harness(client)
    try:
        await client.answer(Prompt(text="w " * 2000), Sampling(8))
    except BadRequestError as error:
        found["too long"] = str(error)
    await client.check_same_process()
    return found


async def as_the_harness(client: EngineClient) -> dict[str, Any]:
    """The two requests that lm-evaluation-harness writes (local-completions), and what the engine says otherwise."""
    tokens = await client.tokenize_text("The sea is blue and the grass is green.")
    body = {"prompt": [tokens], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    echoed = (await client.completions(body))["choices"][0]["logprobs"]
    read = await client.prompt_logprobs(tokens, 1)
    own = [entry[token] for entry, token in zip(read, tokens[1:], strict=True)]
    pairs = list(zip(echoed["token_logprobs"][1:-1], own, strict=True))
    tops = echoed["top_logprobs"][1:-1]
    body = {"prompt": [tokens], "temperature": 0, "max_tokens": 8, "stop": ["\n"], "seed": 1234}
    return {
        "echo": max(abs(one - other) for one, other in pairs),
        "echo tops": [max(top.values()) >= one - 1e-6 for top, (one, _) in zip(tops, pairs, strict=True)],
        "until": (await client.completions(body))["choices"][0]["text"],
    }


async def main(model: str) -> None:
    """Start, ask, end."""
    server = serve(model)
    try:
        async with connect("model", f"http://127.0.0.1:{PORT}") as client:
            print(json.dumps(await ask(client)))
    finally:
        server.terminate()
        server.wait(120)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
