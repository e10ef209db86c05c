"""What is read out of an engine's log: lines as vLLM 0.32 and 0.33 write them."""

from __future__ import annotations

import pytest

from lowbit.api.enginelog import LAST_LIMIT, LINE_LIMIT, error_in, kernels_in, last_lines

STARTS = """INFO 11-27 02:25:38 [vllm.entrypoints:214] Using max model len 512
(EngineCore pid=71) INFO 11-27 02:25:40 [cpu.py:120] Using CPU_ATTN for MMEncoderAttention.
INFO 11-27 02:25:41 [vllm.model_executor.kernels.linear:923] Using CPUWNA16LinearKernel for mixed-precision linear
INFO 11-27 02:25:41 [vllm.model_executor.layers.quantization.auto_gptq:352] Using CPUWNA16LinearKernel for \
AutoGPTQLinearMethod
INFO 11-27 02:25:42 [x:1] Selected CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8
INFO 11-27 02:25:42 [x:1] Using MarlinLinearKernel for NVFP4 GEMM
INFO 11-27 02:25:42 [x:1] Using MarlinLinearKernel for NVFP4 GEMM
INFO 11-27 02:25:43 [x:1] Using configuration from /a.json for W8A8 Block FP8 kernel.
"""


def test_the_kernels_of_quantized_layers_are_named_each_once_and_nothing_else() -> None:
    assert kernels_in(STARTS) == [
        "CPUWNA16LinearKernel for AutoGPTQLinearMethod",
        "CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8",
        "MarlinLinearKernel for NVFP4 GEMM",
    ]
    assert kernels_in("INFO 11-27 02:25:41 [x:9] Using XLinearKernel for mixed-precision linear") == [
        "XLinearKernel for mixed-precision linear"
    ]
    assert kernels_in("nothing of that") == []


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("vllm serve: error: unrecognized arguments: --no-such",
         "vllm serve: error: unrecognized arguments: --no-such"),
        ("Fatal Python error: Illegal instruction\n\nThread 0x1 (most recent call first):",
         "Fatal Python error: Illegal instruction"),
        (
            "(EngineCore pid=9) ERROR 11-27 02:26:01 [core.py:1] "
            "ValueError: Failed to find a kernel that can implement the WNA16\n"
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: Failed to find a kernel that can implement the WNA16",
        ),
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above)",
         "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above)"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
         "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        ("INFO 11-27 02:25:38 [x:1] all is well\nand then it was killed", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_error_is_the_cause_and_not_what_other_processes_say_of_it(log: str, error: str | None) -> None:
    assert error_in(log) == error


def test_what_is_kept_is_short_whatever_the_log_holds() -> None:
    log = "\n".join(["x" * 5000, f"ValueError: {'y' * 5000}"] * 50)
    assert len(error_in(log) or "") == LINE_LIMIT
    assert len(last_lines(log)) <= LAST_LIMIT


def test_the_last_lines_are_without_what_stands_before_each() -> None:
    said = '(EngineCore pid=9) ERROR 11-27 02:26:01 [core.py:1]   File "a.py", line 1\n\x1b[31mred\x1b[0m\n\n'
    assert last_lines(said) == '  File "a.py", line 1\nred'
