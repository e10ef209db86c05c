"""A quantized model in the CPU engine, without AVX-512, answers; vLLM alone dies at the first request."""

from __future__ import annotations

from tests.engine.conftest import MODEL, run_inside

LARGEST = 0.5
"""Nats of one token's logprob, bfloat16 against float32. A wrong zero point or group would be off by several nats."""


def test_int4_and_int8_answer_without_avx512_what_the_same_weights_answer_unpacked(engine_image: str) -> None:
    in_one_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    told = run_inside(engine_image, "answers_inside", f"/models/{MODEL}", environment=in_one_process)
    assert not told["fast"], "this library has no int4 kernel"
    assert set(told["differences"]) == {"int4", "int8"}
    assert max(told["differences"].values()) < LARGEST, told
