"""Where models and datasets come from, and references to Secrets (always mounted, never read by the operator)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from lowbit.api.base import OtherName, RelativePath, Wire

Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$", max_length=63)]
Endpoint = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s]*)?$", max_length=512)]


class SecretKeyReference(Wire):
    """One key of a Secret in the same namespace: mounted into the pod that needs it, never read by the operator."""

    name: OtherName
    """Name of the Secret."""
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")
    """Key in the Secret's data."""


class SecretReference(Wire):
    """A Secret in the same namespace, mounted whole."""

    name: OtherName
    """Name of the Secret."""


class HuggingFaceLocation(Wire):
    """A repository on the Hugging Face hub (or a mirror that the platform has set), at one commit."""

    repo: str = Field(pattern=r"^[A-Za-z0-9_.\-]+/[A-Za-z0-9_.\-]+$", max_length=200)
    """The repository, as owner/name."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", max_length=200)
    """The full commit hash (40 hexadecimal digits): a branch can change under you."""
    token_secret_ref: SecretKeyReference | None = None
    """The key of the Secret that holds the access token, for gated and private repositories."""


class HuggingFaceDatasetLocation(HuggingFaceLocation):
    """A dataset repository on the Hugging Face hub, at one commit. Only data files are read; no script is run."""

    config: str | None = Field(default=None, min_length=1, max_length=200)
    """A config (subset) of the dataset; not needed where there is one only, or a default one."""
    split: str | None = Field(default=None, min_length=1, max_length=200)
    """A split, such as train; not needed where there is one only."""
    path: RelativePath | None = None
    """A data file of the repository, or a folder of them, in place of config and split."""


class PVCLocation(Wire):
    """A folder or file on a PersistentVolumeClaim in the same namespace. It is only read."""

    claim_name: OtherName
    """Name of the claim."""
    path: RelativePath | None = None
    """Path below the root of the volume; by default the root itself. In a hub cache the folder of one commit:
    hub/models--org--name/snapshots/<commit>."""


class S3Location(Wire):
    """A prefix or an object in an S3-compatible store."""

    bucket: Bucket
    """Name of the bucket."""
    path: RelativePath | None = None
    """The key of an object, or the prefix below which the files lie."""
    endpoint: Endpoint | None = None
    """URL of the store; by default AWS in the region."""
    region: str | None = Field(default=None, max_length=64)
    """Region of the bucket."""
    credentials_secret_ref: SecretReference | None = None
    """A Secret with accessKeyId and secretAccessKey (and, optionally, sessionToken); else the pod's own identity."""


class ConfigMapLocation(Wire):
    """One key of a ConfigMap in the same namespace."""

    name: OtherName
    """Name of the ConfigMap."""
    key: str = Field(default="data.jsonl", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")
    """Key in the ConfigMap's data."""


class Source(Wire):
    """Where the original model is. Exactly one member."""

    hugging_face: HuggingFaceLocation | None = None
    """A repository on the Hugging Face hub."""
    pvc: PVCLocation | None = None
    """A folder on a volume."""
    s3: S3Location | None = None
    """A prefix in an S3-compatible bucket."""


def one_of(member: Wire) -> str:
    """The name (camelCase) of the one member that is set in a tagged union.

    Raises ValueError when none or several are set.
    """
    chosen = [
        field.alias or name for name, field in type(member).model_fields.items() if getattr(member, name) is not None
    ]
    if len(chosen) != 1:
        raise ValueError(f"exactly one member of {type(member).__name__} has to be set, not {chosen or 'none'}")
    return chosen[0]
