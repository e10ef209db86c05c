"""The model store: models, datasets and results, on a volume or in a bucket, behind one interface."""

from __future__ import annotations

from pathlib import Path

from lowbit.api.documents import StoreAccess
from lowbit.api.paths import SCRATCH_PATH, SECRETS_PATH, STORE_PATH
from lowbit.naming.store_keys import Kind
from lowbit.worker.store.base import Store

__all__ = ["Kind", "Store", "open_store"]


def open_store(
    access: StoreAccess,
    *,
    mount: Path = Path(STORE_PATH),
    scratch: Path = Path(SCRATCH_PATH),
    secrets: Path = Path(SECRETS_PATH),
) -> Store:
    """The store that a document names. Raises ValueError unless it names exactly one."""
    if (access.pvc is None) == (access.s3 is None):
        raise ValueError("a store is exactly one of pvc and s3")
    if access.pvc is not None:
        from lowbit.worker.store.pvc import PVCStore

        return PVCStore(mount / access.pvc.path if access.pvc.path else mount)
    assert access.s3 is not None  # noqa: S101 - for the type checker
    from lowbit.worker.s3client import make_client
    from lowbit.worker.store.s3 import S3Store

    client = make_client(access.s3.endpoint, access.s3.region, access.s3.credentials, secrets)
    return S3Store(client, access.s3.bucket, access.s3.prefix, scratch)
