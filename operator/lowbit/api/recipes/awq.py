"""AWQ, by gptqmodel.

Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowbit.api.base import Digest, Wire
from lowbit.api.problem import Problem
from lowbit.api.recipes import groups
from lowbit.api.recipes.base import Fitting, RecipeKind

BITS = 4


class AWQ(Wire):
    """Weights quantized by AWQ (Lin et al. 2023): 4 bits with a zero point, after channels that activations make
    important were scaled up."""

    group_size: groups.GroupSize = "Auto"
    """Input channels that share a scale. Auto: the largest of 128, 64, 32 that model and tensor parallel size allow."""


class ResolvedAWQ(Wire):
    """AWQ with every default filled in, as it is frozen in a ModelRevision."""

    group_size: groups.ResolvedGroupSize


class AWQKind(RecipeKind[AWQ, ResolvedAWQ]):
    """4 bits, asymmetric."""

    name = "awq"
    description = "Quantize with AWQ."
    spec = AWQ
    resolved = ResolvedAWQ
    version = 3  # calibrated on blocks of one length, of different texts
    quant_methods = ("awq",)
    loadable = f"4 bits with a zero point, and {groups.LOADABLE}"

    def label(self, resolved: ResolvedAWQ) -> str:
        """For example awq-int4-g64."""
        return _label(resolved.group_size)

    def draft_label(self, spec: AWQ, fitting: Fitting | None) -> str:
        """The label; awq-int4-gAuto while no model is known."""
        size = groups.resolve(spec.group_size, fitting) if fitting is not None else None
        return _label(spec.group_size if size is None else size)

    def resolve(self, spec: AWQ, fitting: Fitting, found: Digest | None) -> ResolvedAWQ:
        """Replace Auto by a group size."""
        return ResolvedAWQ.model_validate({"group_size": groups.resolve(spec.group_size, fitting)})

    def problems(self, spec: AWQ, fitting: Fitting) -> list[Problem]:
        """Groups that do not divide the layers."""
        return groups.problems(spec.group_size, fitting)

    def artifact_bytes(self, spec: AWQ, fitting: Fitting) -> int | None:
        """Estimated bytes, without group indices: rows keep their order."""
        size = groups.resolve(spec.group_size, fitting)
        return None if size is None else groups.packed_bytes(BITS, size, fitting, indices=False)

    def not_loaded(self, settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
        """Settings that are not loaded: other bits, no zero point, groups that do not divide."""
        bits = settings.get("bits", settings.get("w_bit"))
        found = [] if bits == BITS else [f"{bits} bits"]
        found += [] if settings.get("zero_point", True) else ["zero_point false"]
        size = settings.get("group_size", settings.get("q_group_size"))
        return [*found, *groups.not_loaded({"group_size": size}, fitting)]


def _label(size: int | str) -> str:
    return f"awq-int{BITS}-{groups.label(size)}"
