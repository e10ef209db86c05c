"""GPTQ (Frantar et al. 2022), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.worker.backends.gptqmodel import GPTQModelBackend
from lowbit.worker.backends.losses import ModuleLoss, NotQuantizedError, judge_rows, loss_of

WORST_DAMP = 1.0
"""Damping that replaces the Hessian by its diagonal: nothing of the calibration is left in the weights."""


class GPTQBackend(GPTQModelBackend):
    """What gptqmodel only logs is judged: modules that were rounded instead, and Hessians that could not be inverted."""

    config_class = "GPTQConfig"
    torch_kernel = "GPTQ_TORCH"

    def settings(self, recipe: ResolvedGPTQ) -> dict[str, Any]:
        """It orders activations by group only where there are groups, and no order of its own."""
        return {
            "bits": recipe.bits,
            "group_size": recipe.group_size,
            "desc_act": recipe.desc_act,
            "sym": recipe.sym,
            "damp_percent": float(recipe.damp_percent),
            "act_group_aware": not recipe.desc_act and recipe.group_size > 0,
        }

    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int) -> list[ModuleLoss]:
        """Every module has a loss and a damping below WORST_DAMP."""
        return judge_rows(rows, layers, read, "raise gptq.dampPercent")


def read(row: Mapping[str, Any]) -> ModuleLoss:
    """One module. Raises NotQuantizedError."""
    loss = loss_of(row)
    try:
        damp = float(row.get("damp", "nan"))
    except ValueError:
        damp = float("nan")
    if not isfinite(damp) or damp >= WORST_DAMP:
        raise NotQuantizedError(f"its Hessian is not positive definite (damping {row.get('damp')})")
    return ModuleLoss.of(row, loss, damp)
