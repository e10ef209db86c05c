"""GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization"), by gptqmodel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lowbit.api.base import DecimalString, Digest, Wire
from lowbit.api.problem import Problem
from lowbit.api.recipes import groups
from lowbit.api.recipes.base import Fitting, RecipeKind
from lowbit.api.rule import Rule, between

BITS = (4, 8)


class GPTQ(Wire):
    """Weights quantized by GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization")."""

    bits: Literal[4, 8] = 4
    """Bits per weight: 4 or 8."""
    group_size: groups.GroupSize = "Auto"
    """Input channels that share a scale. Auto: the largest of 128, 64, 32 that model and tensor parallel size allow."""
    desc_act: bool = False
    """Quantize columns by falling activation. vLLM loads this only with groupSize -1."""
    sym: bool = True
    """Symmetric quantization. vLLM loads no other."""
    damp_percent: DecimalString = "0.01"
    """Share of the mean diagonal that is added to the Hessian, above 0 and below 1."""
    max_rounded_experts: DecimalString = "0.01"
    """Share of a mixture's experts that may be rounded to nearest, because hardly a token reaches them: 0 to 1."""


class ResolvedGPTQ(Wire):
    """GPTQ with every default filled in, as it is frozen in a ModelRevision."""

    bits: Literal[4, 8]
    group_size: groups.ResolvedGroupSize
    desc_act: bool
    sym: bool
    damp_percent: DecimalString
    max_rounded_experts: DecimalString = "0.01"


class GPTQKind(RecipeKind[GPTQ, ResolvedGPTQ]):
    """4 or 8 bits, symmetric."""

    name = "gptq"
    version = 2  # calibrated on different texts
    description = "Quantize with GPTQ."
    spec = GPTQ
    resolved = ResolvedGPTQ
    quant_methods = ("gptq",)
    loadable = f"4 or 8 bits, sym, {groups.LOADABLE}, and desc_act only with group size -1"
    rules = (
        Rule(
            "!has(self.descAct) || !self.descAct || !has(self.groupSize) || self.groupSize == 'Auto' || "
            "self.groupSize == -1",
            "vLLM loads descAct only without groups: write groupSize: -1, or leave descAct out",
            lambda gptq: not gptq.desc_act or gptq.group_size in ("Auto", groups.WHOLE_ROW),
            "descAct",
        ),
        Rule(
            "!has(self.sym) || self.sym",
            "vLLM loads no asymmetric GPTQ: leave sym out, or write sym: true",
            lambda gptq: bool(gptq.sym),
            "sym",
        ),
        between("dampPercent", "damp_percent", "{x} > 0.0 && {x} < 1.0", lambda x: 0 < x < 1,
                'dampPercent is a share above 0 and below 1: write "0.01", for one percent'),
        between("maxRoundedExperts", "max_rounded_experts", "{x} >= 0.0 && {x} <= 1.0", lambda x: 0 <= x <= 1,
                'maxRoundedExperts is a share from 0 to 1: write "0.01", for one percent'),
    )  # fmt: skip

    def label(self, resolved: ResolvedGPTQ) -> str:
        """For example gptq-int4-g64, gptq-int4-channel-desc-act."""
        return _label(resolved.bits, resolved.group_size, resolved.desc_act)

    def draft_label(self, spec: GPTQ, fitting: Fitting | None) -> str:
        """The label; gptq-int4-gAuto while no model is known."""
        size = _group_size(spec, fitting) if fitting is not None else None
        return _label(spec.bits, spec.group_size if size is None else size, spec.desc_act)

    def resolve(self, spec: GPTQ, fitting: Fitting, found: Digest | None) -> ResolvedGPTQ:
        """Replace Auto by a group size."""
        return ResolvedGPTQ.model_validate(dict(spec) | {"group_size": _group_size(spec, fitting)})

    def problems(self, spec: GPTQ, fitting: Fitting) -> list[Problem]:
        """Groups that do not divide the layers."""
        return [] if spec.desc_act else groups.problems(spec.group_size, fitting)

    def artifact_bytes(self, spec: GPTQ, fitting: Fitting) -> int | None:
        """Estimated bytes, with a group index for each row."""
        size = _group_size(spec, fitting)
        return None if size is None else groups.packed_bytes(spec.bits, size, fitting, indices=True)

    def not_loaded(self, settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
        """Settings that are not loaded: other bits, asymmetric, groups that do not divide, desc_act with groups."""
        bits, size = settings.get("bits"), settings.get("group_size")
        found = [] if bits in BITS else [f"{bits} bits"]
        found += [] if settings.get("sym", True) else ["sym false"]
        if settings.get("desc_act") and size != groups.WHOLE_ROW:
            return [*found, f"desc_act with group_size {size}"]
        return [*found, *groups.not_loaded(settings, fitting)]


def _group_size(spec: GPTQ, fitting: Fitting) -> int | None:
    """The group size; descAct allows only whole rows."""
    return groups.WHOLE_ROW if spec.desc_act else groups.resolve(spec.group_size, fitting)


def _label(bits: int, size: int | str, desc_act: bool) -> str:
    return f"gptq-int{bits}-{groups.label(size)}{'-desc-act' if desc_act else ''}"
