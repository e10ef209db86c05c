"""AWQ (Lin et al. 2023), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowbit.api.recipes.awq import BITS, ResolvedAWQ
from lowbit.worker.backends.gptqmodel import GPTQModelBackend
from lowbit.worker.losses import ModuleLoss, judge_rows, loss_of

NOT_SCALED = "not applicable"
"""In place of a loss: a module whose inputs AWQ does not scale (the attention's output with grouped queries) has no search."""


class AWQBackend(GPTQModelBackend):
    """4 bits with a zero point, in the layout that vLLM calls awq."""

    config_class = "AWQConfig"
    torch_kernel = "AWQ_TORCH"

    def settings(self, recipe: ResolvedAWQ) -> dict[str, Any]:
        """Asymmetric is what gptqmodel writes as zero_point."""
        return {"bits": BITS, "group_size": recipe.group_size, "sym": False, "format": "gemm"}

    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int) -> list[ModuleLoss]:
        """Every module has a loss, or is one that is not scaled."""
        return judge_rows(rows, layers, read, "use gptq instead")


def read(row: Mapping[str, Any]) -> ModuleLoss:
    """One module. Raises NotQuantizedError."""
    return ModuleLoss.of(row, None if row.get("loss") == NOT_SCALED else loss_of(row))
