"""Shared objects carry a plain owner reference to every QuantizedModel that uses them."""

from __future__ import annotations

from lowbit.desired.common import OwnerReference
from lowbit.state.plan import Delete, SetOwners
from lowbit.state.snapshot import Metadata, Owner, Snapshot


def controller(snapshot: Snapshot) -> OwnerReference:
    """The QuantizedModel as the only, controlling owner."""
    meta = snapshot.model.meta
    return OwnerReference(kind="QuantizedModel", name=meta.name, uid=meta.uid, controller=True)


def user(snapshot: Snapshot) -> OwnerReference:
    """The QuantizedModel as one user among others."""
    meta = snapshot.model.meta
    return OwnerReference(kind="QuantizedModel", name=meta.name, uid=meta.uid, controller=False)


def owns(snapshot: Snapshot, meta: Metadata) -> bool:
    """Whether the object has an owner reference to this QuantizedModel."""
    return any(owner.uid == snapshot.model.meta.uid for owner in meta.owners)


def adopt(snapshot: Snapshot, kind: str, meta: Metadata) -> tuple[SetOwners, ...]:
    """Add this QuantizedModel to a shared object's owners, if it is not among them."""
    if owns(snapshot, meta) or meta.deleting:
        return ()
    mine = Owner("QuantizedModel", snapshot.model.meta.name, snapshot.model.meta.uid)
    return (SetOwners(kind, meta.name, meta.uid, meta.resource_version, (*meta.owners, mine)),)


def release(snapshot: Snapshot, kind: str, meta: Metadata) -> SetOwners | Delete:
    """Give up a shared object: the last user deletes it."""
    others = tuple(owner for owner in meta.owners if owner.uid != snapshot.model.meta.uid)
    if others:
        return SetOwners(kind, meta.name, meta.uid, meta.resource_version, others)
    return Delete(kind, meta.name, meta.uid, meta.resource_version)
