"""ModelStore: where a namespace keeps models; written once by the platform team."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import OtherName, RelativePath, Tolerant, Wire
from lowbit.api.references import Bucket, Endpoint, SecretReference
from lowbit.api.status import Condition


class PVCStore(Wire):
    """A PersistentVolumeClaim in the namespace."""

    claim_name: OtherName
    """Name of the claim. ReadWriteMany lets pods on several nodes share it."""
    path: RelativePath | None = None
    """Folder below the volume's root; by default the root itself."""


class S3Store(Wire):
    """A prefix of an S3-compatible bucket."""

    bucket: Bucket
    """Name of the bucket; it must exist."""
    prefix: RelativePath | None = None
    """Prefix of all keys; below it each namespace has a prefix of its own, its name."""
    sharing: Literal["Namespace", "Cluster"] = "Namespace"
    """Who shares the files. Namespace: nobody else; the keys lie below PREFIX/NAMESPACE. Cluster: every namespace whose
    ModelStore says so; they lie below PREFIX itself, and whoever writes there decides what all of them serve."""
    endpoint: Endpoint | None = None
    """URL of the store; by default AWS in the region."""
    region: str | None = Field(default=None, max_length=64)
    """Region of the bucket."""
    credentials_secret_ref: SecretReference | None = None
    """A Secret with accessKeyId and secretAccessKey (and, optionally, sessionToken); else the pod's own identity."""


class ModelStoreSpec(Wire):
    """Exactly one of pvc and s3. It cannot be changed: make another ModelStore instead."""

    pvc: PVCStore | None = None
    """A volume."""
    s3: S3Store | None = None
    """A bucket."""


class ModelStoreStatus(Tolerant):
    """Whether the store can be used."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    """Ready."""
    access_modes: list[str] = Field(default_factory=list)
    """Access modes of the claim when it was last read."""
    capacity: str | None = None
    """Capacity of the claim."""


class ModelStore(Tolerant):
    """spec and status, parsed. state/snapshot.py keeps metadata beside them."""

    spec: ModelStoreSpec
    status: ModelStoreStatus = ModelStoreStatus()
