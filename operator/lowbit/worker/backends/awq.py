"""AWQ (Lin et al. 2023), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from lowbit.api.recipes.awq import BITS, ResolvedAWQ
from lowbit.worker.backends.gptqmodel import GPTQModelBackend
from lowbit.worker.backends.losses import ModuleLoss, judge_rows, loss_of

NOT_SCALED = "not applicable"
"""In place of a loss: a module whose inputs AWQ does not scale (the attention's output with grouped queries) has no search."""

BLOCKS, BLOCK_TOKENS = 128, 512
"""What AWQ's authors calibrate on. It holds all inputs of a layer at once: these are 155 KB a token for a model of 70B."""


class AWQBackend(GPTQModelBackend):
    """4 bits with a zero point, in the layout that vLLM calls awq."""

    config_class = "AWQConfig"
    torch_kernel = "AWQ_TORCH"

    def settings(self, recipe: ResolvedAWQ) -> dict[str, Any]:
        """Asymmetric is what gptqmodel writes as zero_point."""
        return {"bits": BITS, "group_size": recipe.group_size, "sym": False, "format": "gemm"}

    def calibration(self, samples: Sequence[list[int]]) -> list[list[int]]:
        """Blocks of one length. Of samples that differ in length gptqmodel takes the last one alone, and drops the others in silence."""
        return equal_blocks(samples)

    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int) -> list[ModuleLoss]:
        """Every module has a loss, or is one that is not scaled."""
        return judge_rows(rows, layers, read, "use gptq instead")


def equal_blocks(samples: Sequence[list[int]]) -> list[list[int]]:
    """The samples one behind the other, cut into blocks of one length: that of the longest sample, at most
    BLOCK_TOKENS.

    At most BLOCKS of them, spread evenly over the samples. What does not fill the last block is left out.
    """
    tokens = list(chain.from_iterable(samples))
    length = min(BLOCK_TOKENS, max(map(len, samples)))
    whole = len(tokens) // length
    taken = min(BLOCKS, whole)
    starts = [block * whole // taken * length for block in range(taken)]
    return [tokens[start : start + length] for start in starts]


def read(row: Mapping[str, Any]) -> ModuleLoss:
    """One module. Raises NotQuantizedError."""
    return ModuleLoss.of(row, None if row.get("loss") == NOT_SCALED else loss_of(row))
