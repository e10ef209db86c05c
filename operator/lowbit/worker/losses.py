"""The rows that the quantizer gives for each module, judged: what it only logs would otherwise be served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from lowbit.worker.refuse import RefusalError

WORST_DAMP = 1.0
"""Damping that replaces the Hessian by its diagonal: nothing of the calibration is left in the weights."""
NO_LOSS = 999999.0
"""gptqmodel writes such a number where it has none."""


@dataclass(frozen=True)
class ModuleLoss:
    """One quantized module: the mean squared error that GPTQ left in its outputs, and how it came to it."""

    name: str
    layer: int
    loss: float
    samples: int
    """Tokens that reached it."""
    damp: float

    def row(self) -> dict[str, Any]:
        """As it is kept in the store's index."""
        return asdict(self)


def judge(rows: Sequence[Mapping[str, Any]], layers: int) -> list[ModuleLoss]:
    """Every row as a ModuleLoss. Raises RefusalError where a module was not quantized by GPTQ, or not at all."""
    problems: list[str] = []
    modules: list[ModuleLoss] = []
    for row in rows:
        name = f"layers.{row.get('layer')}.{row.get('module')}"
        problem, module = _read(name, row)
        if problem:
            problems.append(f"{name}: {problem}")
        elif module:
            modules.append(module)
    missing = sorted(set(range(layers)) - {int(row.get("layer", -1)) for row in rows})
    if missing:
        problems.append(f"layers {', '.join(map(str, missing[:5]))} were not quantized")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise RefusalError(
            "QuantizationFailed",
            f"the quantizer could not do its work on {len(problems)} modules: {'; '.join(problems[:3])}{more}",
            "give more, longer and more varied calibration texts (spec.calibration), or raise gptq.dampPercent",
        )
    return modules


def worst(modules: Sequence[ModuleLoss]) -> ModuleLoss:
    """The module with the largest loss."""
    return max(modules, key=lambda module: module.loss)


def _read(name: str, row: Mapping[str, Any]) -> tuple[str | None, ModuleLoss | None]:
    text = str(row.get("loss"))
    if "fallback" in text:
        return f"rounded to nearest instead ({text})", None
    try:
        loss, damp, samples = float(text), float(row.get("damp", "nan")), int(float(row.get("samples", 0)))
    except ValueError:
        return f"no loss ({text})", None
    if not isfinite(loss) or loss >= NO_LOSS or loss < 0:
        return f"loss {text}", None
    if not isfinite(damp) or damp >= WORST_DAMP:
        return f"its Hessian is not positive definite (damping {row.get('damp')})", None
    return None, ModuleLoss(name, int(row["layer"]), loss, samples, damp)
