"""Whether a ModelStore can be used: one rule per kind of store. What only a mount can tell, prepare finds out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lowbit.api.modelstore import ModelStore, ModelStoreStatus, PVCStore
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.outcome import Clock
from lowbit.desired.volumes import bucket_prefix
from lowbit.state.plan import Event, Plan, WriteStatus
from lowbit.state.snapshot import Observed

LOOK_AGAIN_READY = 600.0
LOOK_AGAIN_NOT_READY = 30.0
"""Seconds. Claims are not watched: they are the user's, not Lowbit's."""
WRITABLE = ("ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


@dataclass(frozen=True)
class Claim:
    """What is read of a PersistentVolumeClaim."""

    phase: str
    """Pending, Bound, Lost."""
    access_modes: tuple[str, ...]
    capacity: str | None = None


@dataclass(frozen=True)
class Finding:
    """Whether the store is ready, and why."""

    ready: bool
    reason: str
    message: str
    access_modes: tuple[str, ...] = ()
    capacity: str | None = None


def decide_store(store: Observed[ModelStore], claim: Claim | None, now: datetime) -> Plan:
    """The status of a ModelStore. claim is the one that it names, None when there is none (or it is an s3 store)."""
    if store.meta.deleting:
        return Plan()
    finding = judge_store(store, claim)
    clock = Clock(now)
    old = store.body.status
    state = "True" if finding.ready else "False"
    observed = Subject(old.conditions, store.meta.generation, clock)
    ready = condition(observed, "Ready", state, finding.reason, finding.message)
    status = ModelStoreStatus(
        observed_generation=store.meta.generation,
        conditions=[ready],
        access_modes=list(finding.access_modes),
        capacity=finding.capacity,
    )
    again = LOOK_AGAIN_READY if finding.ready else LOOK_AGAIN_NOT_READY
    if status.wire() == old.wire():
        return Plan(requeue_after=again)
    meta = store.meta
    write = WriteStatus("ModelStore", meta.name, meta.uid, meta.resource_version, status.wire())
    before = next((known for known in old.conditions if known.type == "Ready"), None)
    news = before is None or (before.status, before.reason) != (ready.status, ready.reason)
    event = Event("Normal" if finding.ready else "Warning", finding.reason, finding.message)
    return Plan(status=write, events=(event,) if news else (), requeue_after=again)


def judge_store(store: Observed[ModelStore], claim: Claim | None) -> Finding:
    """Whether it can be used."""
    spec = store.body.spec
    if (spec.pvc is None) == (spec.s3 is None):
        return Finding(
            False, "InvalidSpec", "exactly one of spec.pvc and spec.s3 has to be set; make another ModelStore"
        )
    if spec.s3 is not None:
        prefix = bucket_prefix(spec.s3, store.meta.namespace) or "/"
        shared = "; other namespaces may share them (sharing: Cluster)" if spec.s3.sharing == "Cluster" else ""
        return Finding(True, "Ready", f"models are kept in the bucket {spec.s3.bucket}, below {prefix}{shared}")
    assert spec.pvc is not None  # noqa: S101 - the first rule has seen to it
    return _judge_claim(spec.pvc, store.meta.namespace, claim)


def _judge_claim(pvc: PVCStore, namespace: str, claim: Claim | None) -> Finding:
    name = pvc.claim_name
    if claim is None:
        return Finding(
            False,
            "ClaimNotFound",
            f"there is no PersistentVolumeClaim {name} in the namespace {namespace}; create it, with access mode "
            "ReadWriteMany where pods on several nodes are to share it",
        )
    modes = ", ".join(claim.access_modes) or "none"
    if not set(claim.access_modes) & set(WRITABLE):
        return Finding(
            False,
            "ReadOnly",
            f"the PersistentVolumeClaim {name} cannot be written (access modes: {modes}); name a claim with "
            "ReadWriteMany or ReadWriteOnce",
            claim.access_modes,
            claim.capacity,
        )
    if claim.phase == "Lost":
        message = f"the PersistentVolumeClaim {name} has lost its volume; make a new claim and a new ModelStore"
        return Finding(False, "ClaimLost", message, claim.access_modes, claim.capacity)
    # A Pending claim is fine: with WaitForFirstConsumer it is bound by the first Job that mounts it.
    shared = "ReadWriteMany" in claim.access_modes
    note = "" if shared else "; pods that use it must run on the node that it is attached to"
    return Finding(
        True, "Ready", f"models are kept on the claim {name} ({modes}){note}", claim.access_modes, claim.capacity
    )
