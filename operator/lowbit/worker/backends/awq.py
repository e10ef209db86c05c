"""AWQ (Lin et al. 2023), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from lowbit.api.recipes.awq import BITS, ResolvedAWQ
from lowbit.worker.backends.gptqmodel import GPTQModelBackend
from lowbit.worker.backends.losses import ModuleLoss, judge_rows, loss_of

NOT_SCALED = "not applicable"
"""In place of a loss: AWQ does not scale this module's inputs (the attention output with grouped queries)."""

BLOCKS, BLOCK_TOKENS = 128, 512
"""What AWQ's authors calibrate on. AWQ holds all inputs of a layer in memory: 155 KB a token for a model of 70B."""


class AWQBackend(GPTQModelBackend):
    """4 bits with a zero point, in the layout that vLLM calls awq."""

    config_class = "AWQConfig"
    torch_kernel = "AWQ_TORCH"

    def settings(self, recipe: ResolvedAWQ) -> dict[str, Any]:
        """Settings for gptqmodel. It writes sym=False as zero_point."""
        return {"bits": BITS, "group_size": recipe.group_size, "sym": False, "format": "gemm"}

    def calibration(self, samples: Sequence[list[int]]) -> list[list[int]]:
        """Blocks of equal length: of samples of different lengths, gptqmodel silently uses only the last one."""
        return equal_blocks(samples)

    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int, tolerated: float = 0.0) -> list[ModuleLoss]:
        """Require a loss of every module that AWQ scales."""
        return judge_rows(rows, layers, read, "use gptq instead")


def equal_blocks(samples: Sequence[list[int]]) -> list[list[int]]:
    """The samples, concatenated and cut into blocks of equal length.

    The length is that of the longest sample, at most BLOCK_TOKENS. Returns at most BLOCKS blocks, spread evenly over
    the samples. An incomplete last block is dropped.
    """
    tokens = list(chain.from_iterable(samples))
    length = min(BLOCK_TOKENS, max(map(len, samples)))
    whole = len(tokens) // length
    taken = min(BLOCKS, whole)
    starts = [block * whole // taken * length for block in range(taken)]
    return [tokens[start : start + length] for start in starts]


def read(row: Mapping[str, Any]) -> ModuleLoss:
    """One module from its row. Raises NotQuantizedError."""
    return ModuleLoss.of(row, None if row.get("loss") == NOT_SCALED else loss_of(row))
