"""A quantized model in the CPU engine, without AVX-512, answers; vLLM alone dies at the first request."""

from __future__ import annotations

import json
import re

from tests.engine.conftest import MODEL, run_inside

LARGEST = 0.5
"""Nats of one token's logprob, bfloat16 against float32. A wrong zero point or group would be off by several nats."""

ALLOWED = re.compile(r'\{\s*("is_fraud"\s*:\s*((true|false)\s*\}?)?)?')
"""What the schema allows, whole or cut: a model may spend its tokens on white space."""


def test_int4_and_int8_answer_without_avx512_what_the_same_weights_answer_unpacked(engine_image: str) -> None:
    in_one_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    told = run_inside(engine_image, "answers_inside", f"/models/{MODEL}", environment=in_one_process)
    assert not told["fast"], "this library has no int4 kernel"
    assert set(told["differences"]) == {"int4", "int8"}
    assert max(told["differences"].values()) < LARGEST, told


def test_the_engine_answers_what_a_suite_asks(engine_image: str) -> None:
    told = run_inside(engine_image, "replies_inside", f"/models/{MODEL}")
    one, again = told["greedy"]
    assert one == again, "greedy answers are the same each time"
    assert one["prompt_tokens"] == told["read"], "tokenize_prompt tells what answer() has the model read"
    assert one["ended"] in ("Stop", "Length")
    assert 0 < one["output_tokens"] <= 8
    assert told["serving"][0] == told["serving"][1] != "", "one seed, one answer"
    assert told["text"]["text"]
    assert told["tools"]["prompt_tokens"] >= told["read"]
    assert told["choice"] in ("yes", "no")
    assert told["pattern"].isdigit()
    assert len(told["pattern"]) == 3
    assert ALLOWED.fullmatch(told["schema"])
    assert isinstance(json.loads(told["bare schema"]), bool), "where a schema leaves no room for white space"
    assert all(0 < share < 1 for share in told["choose"])
    assert sum(told["choose"]) <= 1, "whole answers exclude each other"
    assert told["choose text"] == [True, True]
    assert "400" in told["too long"]
    assert told["echo"] < LARGEST, "lm-evaluation-harness reads the logprobs that fidelity reads"
    assert all(told["echo tops"])
    assert told["until"]
