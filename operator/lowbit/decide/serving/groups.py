"""The other pods of each group that serves: made for a leader's pod as soon as it has an address."""

from __future__ import annotations

from lowbit.api.engines import engine_of
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.decide.serving.serve import context_of, in_queue, served
from lowbit.decide.serving.target import Target
from lowbit.desired.group.followers import Leader
from lowbit.desired.topology import topology_of
from lowbit.naming.names import LEADER_ANNOTATION, REVISION_LABEL, followers_name
from lowbit.state.plan import Action, Create, Delete
from lowbit.state.snapshot import PodView, Snapshot

ENDED = ("Succeeded", "Failed")
"""Phases of a pod that leads nothing any more."""


def follow(snapshot: Snapshot, store: ModelStoreSpec, target: Target) -> tuple[Action, ...]:
    """Make the followers of every leader that has none; remove those that look for it where it is no more.

    They are never changed: followers of another template have another leader. Kubernetes removes them with it.
    """
    spec = snapshot.model.body.spec
    if spec.serving is None:
        return ()
    engine = engine_of(spec.original_engine if target.source else spec.engine)[1]
    what = served(target, in_queue(snapshot, spec.serving), engine)
    topology, context = topology_of(what.revision.engine), context_of(snapshot, store, target, spec.serving)
    actions: list[Action] = []
    for pod in (each for each in snapshot.pods if leads(each, target.label)):
        seen = snapshot.children.get(("StatefulSet", followers_name(snapshot.model.meta.name, pod.meta.uid)))
        if seen is None:
            leader = Leader(pod.meta.name, pod.meta.uid, pod.address or "")
            made = topology.followers(context, snapshot.model.meta.name, what, leader)
            actions += [Create(made)] if made is not None else []
            continue
        meta = seen["metadata"]
        moved = (meta.get("annotations") or {}).get(LEADER_ANNOTATION) != pod.address
        if moved and not meta.get("deletionTimestamp"):
            actions.append(Delete("StatefulSet", str(meta["name"]), str(meta["uid"]), str(meta["resourceVersion"])))
    return tuple(actions)


def leads(pod: PodView, label: str) -> bool:
    """Whether a pod of the revision may have followers."""
    mine = pod.meta.labels.get(REVISION_LABEL) == label
    return mine and pod.address is not None and not pod.meta.deleting and pod.phase not in ENDED
