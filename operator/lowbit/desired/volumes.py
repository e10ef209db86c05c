"""Volumes and where they are mounted: the store, what prepare reads, scratch and shared memory.

A volume is writable in at most one container of a pod: what one container writes is untrusted input of the others.

A claim that a pod uses twice is one volume with two mounts: the kubelet waits for ever on a claim in two volumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lowbit.api.documents import PVCStoreAccess, S3StoreAccess, StoreAccess
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.api.modelstore import ModelStoreSpec, S3Store
from lowbit.api.paths import (
    CA_BUNDLE_PATH,
    CONFIG_MAPS_PATH,
    ENGINE_LOG_PATH,
    MODEL_PATH,
    SCRATCH_PATH,
    SECRETS_PATH,
    STORE_PATH,
    TOOLS_PATH,
    VOLUMES_PATH,
)
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest, without_empty
from lowbit.naming.canonical import digest, short

MAX_VOLUME_NAME = 63
STORE_FOLDERS = {"Source": "sources", "Artifact": "artifacts"}
READ_BY_GROUP = 0o440


@dataclass(frozen=True)
class Mount:
    """One volume of a pod, and where one container finds it."""

    name: str
    source: Manifest
    path: str
    read_only: bool = False
    sub_path: str | None = None

    def readable(self) -> Mount:
        """The same mount, read-only."""
        return replace(self, read_only=True)


def volume_mounts(mounts: Sequence[Mount]) -> list[Manifest]:
    """volumeMounts of one container."""
    return [
        without_empty({"name": m.name, "mountPath": m.path, "subPath": m.sub_path})
        | ({"readOnly": True} if m.read_only else {})
        for m in mounts
    ]


def pod_volumes(mounts: Iterable[Mount]) -> list[Manifest]:
    """volumes of a pod, each once."""
    return [{"name": name} | source for name, source in {m.name: m.source for m in mounts}.items()]


def scratch(container: str) -> list[Mount]:
    """Writable volumes of one container, whose root is read-only: HOME and temporary files. No other one has them."""
    folders = {"scratch": SCRATCH_PATH, "tmp": "/tmp"}  # noqa: S108
    return [Mount(f"{container}-{name}", {"emptyDir": {}}, path) for name, path in folders.items()]


def tools() -> Mount:
    """The folder that fetch fills for the engine's probes."""
    return Mount("tools", {"emptyDir": {}}, TOOLS_PATH)


def engine_log() -> Mount:
    """The folder with the copy of the engine's log that the evaluator reads."""
    return Mount("engine-log", {"emptyDir": {}}, ENGINE_LOG_PATH.rpartition("/")[0])


def shared_memory(size: str) -> Mount:
    """Shared memory; an engine dies with the 64 MiB that a container has by default."""
    return Mount("shm", {"emptyDir": {"medium": "Memory", "sizeLimit": size}}, "/dev/shm")  # noqa: S108


def claim(name: str, path: str, *, read_only: bool = False, sub_path: str | None = None) -> Mount:
    """A PersistentVolumeClaim."""
    return Mount(_volume_name("pvc", name), {"persistentVolumeClaim": {"claimName": name}}, path, read_only, sub_path)


def secret(name: str, keys: Iterable[str] | None = None) -> Mount:
    """A Secret below SECRETS_PATH under its own name: whole, or only these keys."""
    source: Manifest = {"secretName": name, "defaultMode": READ_BY_GROUP}
    if keys is not None:
        source["items"] = [{"key": key, "path": key} for key in sorted(keys)]
    return Mount(_volume_name("secret", name), {"secret": source}, f"{SECRETS_PATH}/{name}", True)


def config_map(name: str) -> Mount:
    """A ConfigMap below CONFIG_MAPS_PATH under its own name."""
    return Mount(_volume_name("configmap", name), {"configMap": {"name": name}}, f"{CONFIG_MAPS_PATH}/{name}", True)


def data_claim(name: str) -> Mount:
    """A claim that is only read, below VOLUMES_PATH under its own name."""
    return claim(name, f"{VOLUMES_PATH}/{name}", read_only=True)


def ca_bundle(platform: Platform) -> list[Mount]:
    """The platform's CA bundle, where it has one."""
    if platform.ca_bundle_config_map is None:
        return []
    folder = CA_BUNDLE_PATH.rpartition("/")[0]
    return [Mount("ca", {"configMap": {"name": platform.ca_bundle_config_map}}, folder, True)]


def store_mounts(store: ModelStoreSpec) -> list[Mount]:
    """The store: the claim at STORE_PATH, or the Secret with the bucket's credentials."""
    if store.pvc is not None:
        return [claim(store.pvc.claim_name, STORE_PATH)]
    return store_credentials(store)


def store_credentials(store: ModelStoreSpec) -> list[Mount]:
    """The Secret with the bucket's credentials; none for a claim, or where the pod has an identity of its own."""
    if store.s3 is not None and store.s3.credentials_secret_ref is not None:
        return [secret(store.s3.credentials_secret_ref.name)]
    return []


def store_access(store: ModelStoreSpec, namespace: str) -> StoreAccess:
    """How a worker of a namespace reaches the store. Raises ValueError for a store that is neither pvc nor s3."""
    if store.pvc is not None:
        return StoreAccess(pvc=PVCStoreAccess(path=store.pvc.path or ""))
    if store.s3 is None:
        raise ValueError("a ModelStore has exactly one of pvc and s3")
    s3 = store.s3
    credentials = s3.credentials_secret_ref.name if s3.credentials_secret_ref else None
    return StoreAccess(
        s3=S3StoreAccess(
            bucket=s3.bucket,
            prefix=bucket_prefix(s3, namespace),
            endpoint=s3.endpoint,
            region=s3.region,
            credentials=credentials,
        )
    )


def bucket_prefix(store: S3Store, namespace: str) -> str:
    """Prefix of the keys of one namespace: its own, unless the store is said to be shared."""
    parts = [store.prefix or "", *([namespace] if store.sharing == "Namespace" else [])]
    return "/".join(part.strip("/") for part in parts if part)


def model_mount(store: ModelStoreSpec, model: EvaluatedModel) -> Mount:
    """The model's folder at MODEL_PATH: the store's own, or (s3) a folder that fetch fills."""
    if store.pvc is None:
        return Mount("model", {"emptyDir": {}}, MODEL_PATH)
    parts = [store.pvc.path or "", STORE_FOLDERS[model.kind], model.digest.removeprefix("sha256:")]
    sub_path = "/".join(part.strip("/") for part in parts if part)
    return claim(store.pvc.claim_name, MODEL_PATH, read_only=True, sub_path=sub_path)


def _volume_name(prefix: str, name: str) -> str:
    """A name by which a person recognises the volume, or a hash where that is too long or not a DNS label."""
    readable = f"{prefix}-{name}"
    if len(readable) <= MAX_VOLUME_NAME and "." not in readable:
        return readable
    return f"{prefix}-{short(digest('volume', name))}"
