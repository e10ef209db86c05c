"""Quantized layers in the CPU engine compute what their format says on any x86-64 CPU, by vLLM's or Lowbit's kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import run_inside

FAST, OURS = "CPUWNA16LinearKernel", "LowbitUnpackedLinearKernel"
WAYS: dict[str, tuple[list[str], dict[str, str]]] = {
    "as this CPU is": ([], {}),
    "with the fast kernel switched off": ([], {"VLLM_DISABLED_KERNELS": FAST}),
    "with the library for CPUs without AVX-512": (["avx2"], {}),
}
TOLERANCE = 0.01
"""Of the largest output. bfloat16 keeps 8 bits; a wrong zero point or order would be off by the whole."""


def has_avx512() -> bool:
    """What vLLM goes by."""
    return "avx512f" in Path("/proc/cpuinfo").read_text()


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, engine_image: str) -> tuple[str, dict[str, Any]]:
    """How the engine is run, and what came out."""
    words, environment = WAYS[request.param]
    return request.param, run_inside(engine_image, "kernels_inside", *words, environment=environment)


def test_every_weight_only_format_is_computed_as_a_plain_dequantization(way: tuple[str, dict[str, Any]]) -> None:
    results = way[1]["results"]
    assert len(results) == 28
    assert {name: row["difference"] for name, row in results.items() if row["difference"] > TOLERANCE} == {}


def test_the_fast_kernel_runs_where_the_cpu_has_it_and_lowbits_everywhere_else(way: tuple[str, dict[str, Any]]) -> None:
    name, told = way
    fast = name == "as this CPU is" and has_avx512()
    kernels = {case: row["kernel"] for case, row in told["results"].items()}
    assert {kernel for case, kernel in kernels.items() if "-int8-" in case} == {OURS}
    assert {kernel for case, kernel in kernels.items() if "-int4-" in case} == {FAST if fast else OURS}
    if "without AVX-512" in name:
        assert not told["fast"], "this library has no int4 kernel"
