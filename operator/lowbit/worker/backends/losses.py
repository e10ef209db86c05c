"""Judges the rows that the quantizer returns for each module: a failure that it only logs must not be served."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from lowbit.api.problem import some
from lowbit.worker.refuse import RefusalError

NO_LOSS = 999999.0
"""gptqmodel writes this number or more if it has no loss."""
SHOWN = 3
"""Modules that a refusal names."""


EXPERT = re.compile(r"\bexperts\.(\d+)\b")


class NotQuantizedError(ValueError):
    """A module was not quantized as requested; says why."""


class RoundedError(NotQuantizedError):
    """A module was rounded to nearest: too few tokens reached it to do better."""


@dataclass(frozen=True)
class ModuleLoss:
    """One quantized module: the mean squared error of its outputs, and how the quantizer got there."""

    name: str
    layer: int
    loss: float | None
    """None if the method measures none for such a module."""
    samples: int
    """Tokens that reached it."""
    damp: float | None = None
    """GPTQ's damping."""
    rounded: bool = False
    """Rounded to nearest instead."""
    seconds: float | None = None
    """Time to quantize it; None if the quantizer does not say."""

    @classmethod
    def of(cls, row: Mapping[str, Any], loss: float | None, damp: float | None = None) -> ModuleLoss:
        """From a row of gptqmodel. Raises NotQuantizedError if its numbers cannot be parsed."""
        try:
            samples = int(float(row.get("samples", 0)))
            return cls(_name(row), int(row["layer"]), loss, samples, damp, seconds=_seconds(row))
        except ValueError:
            raise NotQuantizedError(f"no number of samples ({row.get('samples')})") from None

    def row(self) -> dict[str, Any]:
        """The row for the store's index."""
        return asdict(self)


def judge_rows(
    rows: Sequence[Mapping[str, Any]],
    layers: int,
    read: Callable[[Mapping[str, Any]], ModuleLoss],
    advice: str,
    tolerated: float = 0.0,
) -> list[ModuleLoss]:
    """Every row as a ModuleLoss. Raises RefusalError with the modules that `read` rejects, and the missing layers.

    tolerated: share of the experts (0 to 1) that may be rounded to nearest, because hardly a token chooses them.
    """
    problems: list[str] = []
    modules: list[ModuleLoss] = []
    for row in rows:
        try:
            modules.append(read(row))
        except RoundedError as error:
            if EXPERT.search(str(row.get("module"))):
                modules.append(replace(ModuleLoss.of(row, None), rounded=True))
            else:
                problems.append(f"{_name(row)}: {error}")
        except NotQuantizedError as error:
            problems.append(f"{_name(row)}: {error}")
    rounded, experts = rounded_experts(modules)
    if rounded > tolerated * experts:
        names = [module.name for module in modules if module.rounded]
        problems.append(
            f"{rounded} of {experts} experts were rounded to nearest ({some(names)}), and {tolerated:.2%} may be"
        )
    missing = sorted(set(range(layers)) - {int(row.get("layer", -1)) for row in rows})
    if missing:
        problems.append(f"layers {', '.join(map(str, missing[:5]))} were not quantized")
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise RefusalError(
            "QuantizationFailed",
            f"the quantizer could not do its work on {len(problems)} modules: {'; '.join(problems[:SHOWN])}{more}",
            f"give more, longer and more varied calibration texts (spec.calibration), or {advice}",
        )
    return modules


def loss_of(row: Mapping[str, Any]) -> float:
    """The loss in a row. Raises NotQuantizedError if there is none."""
    text = str(row.get("loss"))
    if "fallback" in text:
        raise RoundedError(f"rounded to nearest instead ({text})")
    try:
        loss = float(text)
    except ValueError:
        raise NotQuantizedError(f"no loss ({text})") from None
    if not isfinite(loss) or loss >= NO_LOSS or loss < 0:
        raise NotQuantizedError(f"loss {text}")
    return loss


def rounded_experts(modules: Sequence[ModuleLoss]) -> tuple[int, int]:
    """How many experts were rounded to nearest in at least one module, and how many there are."""
    of = [(module, match[1]) for module in modules if (match := EXPERT.search(module.name))]
    experts = {(module.layer, number) for module, number in of}
    return len({(module.layer, number) for module, number in of if module.rounded}), len(experts)


def worst(modules: Sequence[ModuleLoss]) -> ModuleLoss | None:
    """The module with the largest loss; None if none was measured."""
    return max((each for each in modules if each.loss is not None), key=lambda each: each.loss or 0.0, default=None)


def _seconds(row: Mapping[str, Any]) -> float | None:
    """The time in a row: it is only shown, so one that cannot be read is none."""
    try:
        seconds = float(row.get("time", "nan"))
    except (TypeError, ValueError):
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _name(row: Mapping[str, Any]) -> str:
    return f"layers.{row.get('layer')}.{row.get('module')}"
