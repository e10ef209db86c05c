"""Recipes: what is made of the original. A tagged union with exactly one member."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import DecimalString, Digest, Wire
from lowbit.api.references import HuggingFaceLocation, PVCLocation, S3Location

GroupSize = Literal["Auto"] | Literal[-1, 32, 64, 128]
LEGAL_GROUP_SIZES = (128, 64, 32)
"""What Auto chooses from, the largest first."""


class GPTQ(Wire):
    """Weights quantized by GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization")."""

    bits: Literal[4, 8] = 4
    """Bits per weight: 4 or 8."""
    group_size: GroupSize = "Auto"
    """Input channels that share a scale. Auto: the largest of 128, 64, 32 that model and tensor parallel size allow."""
    desc_act: bool = False
    """Quantize columns by falling activation. vLLM loads this only with groupSize -1."""
    sym: bool = True
    """Symmetric quantization. vLLM loads no other."""
    damp_percent: DecimalString = "0.01"
    """Share of the mean diagonal that is added to the Hessian, above 0 and below 1."""


class ArtifactRecipe(Wire):
    """A model that was quantized elsewhere. It is evaluated and gated like any other. Exactly one member."""

    digest: Digest | None = None
    """An artifact that the store already holds."""
    pvc: PVCLocation | None = None
    """A folder on a volume, copied into the store."""
    s3: S3Location | None = None
    """A prefix in an S3-compatible bucket, copied into the store."""
    hugging_face: HuggingFaceLocation | None = None
    """A repository on the Hugging Face hub, copied into the store."""


class Recipe(Wire):
    """One candidate. Exactly one member."""

    gptq: GPTQ | None = None
    """Quantize with GPTQ."""
    artifact: ArtifactRecipe | None = None
    """Take what somebody else has quantized."""


class ResolvedGPTQ(Wire):
    """GPTQ with nothing left open, as it is frozen in a ModelRevision."""

    bits: Literal[4, 8]
    group_size: Literal[-1, 32, 64, 128]
    desc_act: bool
    sym: bool
    damp_percent: DecimalString


class ResolvedRecipe(Wire):
    """A recipe with nothing left open. Exactly one member."""

    gptq: ResolvedGPTQ | None = None
    artifact: Digest | None = None
    """The digest of the artifact, once prepare has it in the store."""


Candidates = list[Recipe]
MAX_CANDIDATES = Field(min_length=1, max_length=8)
