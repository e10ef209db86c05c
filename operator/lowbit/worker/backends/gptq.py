"""GPTQ (Frantar et al. 2022), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.worker.backends.gptqmodel import GPTQModelBackend
from lowbit.worker.backends.losses import ModuleLoss, NotQuantizedError, judge_rows, loss_of

WORST_DAMP = 1.0
"""Damping at which the diagonal replaces the Hessian: the calibration no longer affects the weights."""


class GPTQBackend(GPTQModelBackend):
    """GPTQ. Refuses what gptqmodel only logs: modules that it rounded instead, Hessians that it could not invert."""

    config_class = "GPTQConfig"
    torch_kernel = "GPTQ_TORCH"

    def settings(self, recipe: ResolvedGPTQ) -> dict[str, Any]:
        """Settings for gptqmodel. act_group_aware needs groups, and excludes desc_act."""
        return {
            "bits": recipe.bits,
            "group_size": recipe.group_size,
            "desc_act": recipe.desc_act,
            "sym": recipe.sym,
            "damp_percent": float(recipe.damp_percent),
            "act_group_aware": not recipe.desc_act and recipe.group_size > 0,
        }

    def tolerated(self, recipe: ResolvedGPTQ) -> float:
        """The recipe's own share."""
        return float(recipe.max_rounded_experts)

    def judge(self, rows: Sequence[Mapping[str, Any]], layers: int, tolerated: float = 0.0) -> list[ModuleLoss]:
        """Require a loss, and a damping below WORST_DAMP, of every module but rounded experts."""
        return judge_rows(rows, layers, read, "raise gptq.dampPercent or gptq.maxRoundedExperts", tolerated)


def read(row: Mapping[str, Any]) -> ModuleLoss:
    """One module from its row. Raises NotQuantizedError."""
    loss = loss_of(row)
    try:
        damp = float(row.get("damp", "nan"))
    except ValueError:
        damp = float("nan")
    if not isfinite(damp) or damp >= WORST_DAMP:
        raise NotQuantizedError(f"its Hessian is not positive definite (damping {row.get('damp')})")
    return ModuleLoss.of(row, loss, damp)
