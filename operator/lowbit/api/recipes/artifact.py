"""A model that was quantized elsewhere: prepare brings it into the store, and it is gated like any other."""

from __future__ import annotations

from lowbit.api.base import Digest, Wire
from lowbit.api.recipes.base import Fitting, RecipeKind
from lowbit.api.references import HuggingFaceLocation, PVCLocation, S3Location
from lowbit.api.rule import exactly_one

DIGITS = 10
"""Digits of the digest in the label."""


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


class ResolvedArtifact(Wire):
    """The artifact under its digest, once prepare has it in the store."""

    digest: Digest


class ArtifactKind(RecipeKind[ArtifactRecipe, ResolvedArtifact]):
    """Made elsewhere."""

    name = "artifact"
    description = "Take what somebody else has quantized."
    spec = ArtifactRecipe
    resolved = ResolvedArtifact
    made_here = False
    calibrated = False
    rules = (exactly_one("an artifact", "digest", "pvc", "s3", "huggingFace"),)

    def reads(self, spec: ArtifactRecipe) -> tuple[Wire, ...]:
        """The artifact's own location."""
        return (spec,)

    def label(self, resolved: ResolvedArtifact) -> str:
        """For example artifact-0a1b2c3d4e."""
        return f"artifact-{resolved.digest.removeprefix('sha256:')[:DIGITS]}"

    def draft_label(self, spec: ArtifactRecipe, fitting: Fitting | None) -> str:
        """The label, without a digest until prepare has found it."""
        return "artifact, made elsewhere" if spec.digest is None else self.label(ResolvedArtifact(digest=spec.digest))

    def resolve(self, spec: ArtifactRecipe, fitting: Fitting, found: Digest | None) -> ResolvedArtifact:
        """The artifact that prepare found. Raises KeyError if it found none."""
        if found is None:
            raise KeyError("artifacts")
        return ResolvedArtifact(digest=found)
